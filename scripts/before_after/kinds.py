"""All kinds, in the order of the sheet."""

from .format_kinds import bmps, icons, modern, pnms, tgas, tiffs
from .kind import MOST_SIDE, Kind, Maker
from .moving_kinds import apngs, gifs, webps
from .still_kinds import cmyk, colour, drawings, jpegs, orientation, pngs, private, sizes

__all__ = ["MOST_SIDE", "Kind", "make_all"]

GROUPS = (
    orientation, colour, cmyk, jpegs, pngs, drawings, gifs, apngs, webps, tiffs, bmps, icons, tgas, pnms, modern, sizes,
    private,
)  # fmt: skip


def make_all(folder, profile_folders):
    maker = Maker(folder, profile_folders)
    for group in GROUPS:
        group(maker)
    return maker.kinds
