"""Kinds of stills that are no row of before-after.toml."""

import struct

import numpy as np

from . import profiles, writers
from .kinds import Maker, write_jpeg, write_tiff
from .scene import Samples, alpha_ramp, joined, palette_scene, samples, scene, to_8

Array = np.ndarray


def press_profile(make: Maker) -> None:
    """A real press's profile, if one is installed."""
    found = profiles.installed(make.profile_folders, b"CMYK")
    if not found:
        return make.skip("JPEG, press profile", "no CMYK profile is installed (--profiles)")
    inks, name = samples("inks"), f"press profile {found.stem}"
    # Colour engines interpolate such tables each in its own way.
    make.add(f"JPEG, {name}", "jpg", write_jpeg(inks, icc=str(found)), None, loose=2)
    data = write_tiff(inks, icc=str(found), photometric="separated")
    return make.add(f"TIFF, {name}", "tiff", data, None, loose=2)


def transparent_pngs(make: Maker) -> None:
    """Transparency by tRNS: of a palette's entries, or of one colour."""
    some = np.full(16, 255)
    some[::3] = 0
    some[1::4] = 120
    ramp = np.where(np.arange(200) < 90, np.arange(200) * 2, 255)
    beyond = "entries beyond tRNS are opaque"
    for name, colours, alpha, entries, says in (
        ("palette 4 bit, tRNS", 16, some, 16, ""),
        ("palette 8 bit, short tRNS", 200, ramp, 90, beyond),
    ):
        of = samples(f"palette {colours}")
        truth = joined(of.truth, alpha[of.array])
        transparent = bytes(alpha[:entries].tolist())
        data = writers.png(of.array, of.bits, palette=of.palette, transparent=transparent)
        make.add(name, "png", data, truth, says=says)
    for depth in (8, 16):
        of = samples(f"rgb {depth}")
        key = np.array([220, 20, 20]) * (of.most // 255)  # the first patch
        rgb = of.array.copy()
        rgb[140:150, 5:15] = key + ([0, 0, 1] if depth == 16 else [0, 0, 2])
        clear = (rgb == key).all(axis=2, keepdims=True)
        truth = joined(to_8(rgb, of.most), np.where(clear, 0, 255))
        data = writers.png(rgb, depth, transparent=struct.pack(">3H", *key.tolist()))
        says = "a square beside the transparent colour, one step off, stays" if depth == 16 else ""
        make.add(f"RGB {depth} bit, tRNS", "png", data, truth, says=says)
    for depth in (1, 2, 8, 16):
        of = samples(f"grey {depth}")
        truth = joined(of.truth, np.where(of.array == of.most, 0, 255))
        data = writers.png(of.array, depth, transparent=struct.pack(">H", of.most))
        make.add(f"grey {depth} bit, tRNS", "png", data, truth)


# --- icons ---


def icon_picture(side: int) -> Array:
    return joined(scene(side, side), alpha_ramp(255, side, side))


def hard_mask(side: int) -> Array:
    """Where an icon is wholly clear; elsewhere it is opaque."""
    return alpha_ramp(255, side, side)[..., 0] < 128


def bitmap_32(side: int) -> tuple[int, int, bytes]:
    rgba = icon_picture(side)
    return side, 32, writers.icon_bitmap(rgba, 32, rgba[..., 3] == 0)


def masked(side: int, bits: int) -> tuple[bytes, Samples]:
    """A bitmap whose alpha is its mask: of a palette, in colour, or with an empty fourth byte."""
    opaque = np.where(hard_mask(side), 0, 255)[..., None]
    if bits < 24:
        indices, palette = palette_scene(1 << bits, side, side)
        bitmap = writers.icon_bitmap(indices, bits, hard_mask(side), palette)
        return bitmap, Samples(indices, joined(palette[indices[..., 0]], opaque))
    rgb = scene(side, side)
    array = joined(rgb, 0 * opaque) if bits == 32 else rgb
    return writers.icon_bitmap(array, bits, hard_mask(side)), Samples(array, joined(rgb, opaque))


def icons(make: Maker) -> None:
    def add(name: str, entries: list, truth: Array, says: str = "", cursor: bool = False) -> None:
        suffix = "cur" if cursor else "ico"
        make.add(name, suffix, writers.icon(entries, cursor), truth, says=says)

    png = (256, 32, writers.png(icon_picture(256)))
    entries = [bitmap_32(16), bitmap_32(32), bitmap_32(48), png]
    add("several sizes, PNG of 256 within", entries, icon_picture(256), "the largest counts")
    backwards = [bitmap_32(64), bitmap_32(48), bitmap_32(16)]
    add("several sizes, largest first", backwards, icon_picture(64))
    add("32 bit BMP", [bitmap_32(64)], icon_picture(64))
    lie = bytearray(writers.icon([bitmap_32(64)]))
    lie[6:8] = 128, 32
    says = "it says 128 x 32"
    make.add("an entry of another size", "ico", bytes(lie), icon_picture(64), says=says)
    for bits, name, says in (
        (
            32,
            "32 bit BMP, alpha all 0, mask",
            "old programs left alpha empty: then the mask counts",
        ),
        (24, "24 bit BMP with mask", ""),
        (1, "1 bit BMP with mask", ""),
        (4, "4 bit BMP with mask", ""),
        (8, "8 bit BMP with mask", ""),
    ):
        bitmap, of = masked(64, bits)
        add(name, [(64, bits, bitmap)], of.truth, says)
    flat = (64, 4, masked(64, 4)[0])
    add("two depths of one size", [flat, bitmap_32(64)], icon_picture(64), "the deeper counts")
    add("CUR, 32 bit", [bitmap_32(64)], icon_picture(64), cursor=True)
