"""What gamma and primaries make of the samples of a PNG, for decoders that do not obey them.

Browsers do, and so does imagepool; Pillow, vips and ImageMagick give the samples as they are.
"""

import re
import struct
from collections.abc import Callable

import numpy as np

Array = np.ndarray
# White, red, green and blue, as x and y.
SRGB = np.array([[0.3127, 0.329], [0.64, 0.33], [0.3, 0.6], [0.15, 0.06]])
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def chunks_before_pixels(path: str) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    with open(path, "rb") as file:
        file.seek(8)
        while head := re.fullmatch(rb"(....)([A-Za-z]{4})", file.read(8), re.DOTALL):
            (length,), kind = struct.unpack(">I", head[1]), head[2]
            if kind == b"IDAT":
                break
            found.setdefault(kind, file.read(length))
            file.seek(4, 1)
    return found


def light(points: Array) -> Array:
    """XYZ of a luminance of 1 for each x and y."""
    x, y = points.T
    return np.stack([x / y, np.ones_like(x), (1 - x - y) / y])


def to_xyz(primaries: Array) -> Array:
    """The matrix from RGB to XYZ, adapted to the white of sRGB."""
    white, colours = light(primaries[:1]), light(primaries[1:])
    matrix = colours * np.linalg.solve(colours, white).T
    cones = (BRADFORD @ light(SRGB[:1])) / (BRADFORD @ white)
    return np.linalg.inv(BRADFORD) @ (cones * (BRADFORD @ matrix))


def conversion(path: str) -> Callable[[Array], Array] | None:
    """A function that makes RGBA of 8 bits sRGB, or None if it is that already."""
    chunks = chunks_before_pixels(path)
    if any(kind in chunks for kind in (b"iCCP", b"sRGB", b"cICP")) or b"gAMA" not in chunks:
        return None
    gamma = int.from_bytes(chunks[b"gAMA"], "big") / 100_000
    primaries = SRGB
    if len(chunks.get(b"cHRM", b"")) == 32:
        primaries = np.array(struct.unpack(">8I", chunks[b"cHRM"])).reshape(4, 2) / 100_000
    is_srgb = abs(gamma * 2.2 - 1) < 0.05 and np.abs(primaries - SRGB).max() <= 0.01
    if not 0.1 <= gamma <= 10 or is_srgb or primaries.min() <= 0:
        return None
    matrix = np.linalg.inv(to_xyz(SRGB)) @ to_xyz(primaries)

    def convert(rgba: Array) -> Array:
        linear = np.clip((rgba[..., :3] / 255.0) ** (1 / gamma) @ matrix.T, 0, 1)
        bent = 1.055 * linear ** (1 / 2.4) - 0.055
        encoded = np.where(linear <= 0.003_130_8, 12.92 * linear, bent)
        rgb = np.round(encoded * 255).astype(np.uint8)
        return np.concatenate([rgb, rgba[..., 3:]], axis=2)

    return convert
