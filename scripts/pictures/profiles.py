"""ICC profiles made by formula, so that what a picture must look like is known without a library.

They are small: a header and the tags that a decoder reads. The curves are of all three sorts (one
gamma, a table, a parametric function), because decoders read each with other code.
"""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

Array = np.ndarray
Primaries = tuple[tuple[float, float], ...]

D50 = np.array([0.9642, 1.0, 0.8249])
D65 = (0.3127, 0.3290)
SRGB: Primaries = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), D65)
# Primaries and white, gamma (None is sRGB's curve), and the version of the profile.
SPACES: dict[str, tuple[Primaries, float | None, int]] = {
    "Display P3": (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65), None, 4),
    "Adobe RGB": (((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), D65), 563 / 256, 2),
    "ProPhoto": (
        ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), (0.3457, 0.3585)),
        1.8,
        2,
    ),
}
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
# Which primary each channel stands for, where channels lie in each other's place.
SWAPPED = (1, 2, 0)
# What each ink of a press that never was leaves of red, green and blue, taken from 1.
TAKES = np.array([[0.85, 0.35, 0.10], [0.10, 0.85, 0.45], [0.02, 0.12, 0.85], [0.87, 0.88, 0.89]])


def to_linear(encoded: Array) -> Array:
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def from_linear(linear: Array) -> Array:
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def xyz_of(x: float, y: float) -> Array:
    return np.array([x / y, 1, (1 - x - y) / y])


def matrix(primaries: Primaries) -> Array:
    """Linear RGB to XYZ as seen in D50."""
    *corners, white_point = primaries
    white = xyz_of(*white_point)
    columns = np.stack([xyz_of(*corner) for corner in corners], axis=1)
    columns = columns * np.linalg.solve(columns, white)
    scale = np.diag((BRADFORD @ D50) / (BRADFORD @ white))
    return np.linalg.inv(BRADFORD) @ scale @ BRADFORD @ columns


def in_space(rgb: Array, name: str) -> Array:
    """sRGB colours, 0 to 1, as another space writes them."""
    primaries, gamma, _ = SPACES[name]
    linear = to_linear(rgb) @ (np.linalg.inv(matrix(primaries)) @ matrix(SRGB)).T
    linear = np.clip(linear, 0, 1)
    return from_linear(linear) if gamma is None else linear ** (1 / gamma)


def lab_of(xyz: Array) -> Array:
    scaled = xyz / D50
    f = np.where(scaled > 216 / 24389, np.cbrt(scaled), (24389 / 27 * scaled + 16) / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def printed(inks: Array) -> Array:
    """sRGB, 0 to 1, of inks, 0 to 1: each takes its colour away, none of them wholly."""
    return np.prod(1 - inks[..., None] * TAKES, axis=-2)


# --- the file ---


def fixed(values: Sequence[float] | Array) -> bytes:
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)


def xyz_tag(values: Array) -> bytes:
    return b"XYZ \0\0\0\0" + fixed(values)


def gamma_tag(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def table_tag(steps: int = 1024) -> bytes:
    curve = np.rint(to_linear(np.linspace(0, 1, steps)) * 65535).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", steps) + curve.tobytes()


def parametric_tag() -> bytes:
    curve = [2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045]
    return b"para\0\0\0\0\0\3\0\0" + fixed(curve)


def text_tag(text: str, version: int) -> bytes:
    if version >= 4:
        data = text.encode("utf-16-be")
        head = struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(data), 28)
        return b"mluc\0\0\0\0" + head + data
    data = text.encode() + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(data)) + data + b"\0" * 78


def profile(
    space: bytes, device: bytes, connection: bytes, version: int, name: str, tags: dict
) -> bytes:
    tags = {b"desc": text_tag(name, version), b"wtpt": xyz_tag(D50), **tags}
    tags[b"cprt"] = text_tag("none", version) if version >= 4 else b"text\0\0\0\0none\0"
    index, data = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for key, tag in tags.items():
        index += key + struct.pack(">II", start + len(data), len(tag))
        data += tag + b"\0" * (-len(tag) % 4)
    size = start + len(data)
    head = struct.pack(">I4xI4s4s4s", size, version << 24, device, space, connection)
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + fixed(D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + index + data


def rgb_profile(
    name: str, primaries: Primaries, curve: bytes, version: int = 2, order: Sequence = (0, 1, 2)
) -> bytes:
    """`order` says which primary each channel stands for."""
    columns = matrix(primaries).T
    keys = (b"r", b"g", b"b")
    tags = {key + b"XYZ": xyz_tag(columns[order[i]]) for i, key in enumerate(keys)}
    tags |= {key + b"TRC": curve for key in keys}
    return profile(b"RGB ", b"mntr", b"XYZ ", version, name, tags)


def grey_profile(name: str, gamma: float) -> bytes:
    return profile(b"GRAY", b"mntr", b"XYZ ", 2, name, {b"kTRC": gamma_tag(gamma)})


def lut_tag(channels: int, points: int, colours_of: Callable[[Array], Array]) -> bytes:
    """A table of 8-bit Lab; `colours_of` gives sRGB, 0 to 1, for device values on the grid."""
    axes = np.meshgrid(*[np.linspace(0, 1, points)] * channels, indexing="ij")
    rgb = colours_of(np.stack([axis.reshape(-1) for axis in axes], axis=-1))
    lab = lab_of(to_linear(rgb) @ matrix(SRGB).T)
    grid = np.clip(np.rint(lab * [2.55, 1, 1] + [0, 128, 128]), 0, 255).astype(np.uint8)
    identity = bytes(range(256))
    head = b"mft1\0\0\0\0" + bytes([channels, 3, points, 0]) + fixed(np.eye(3).reshape(-1))
    return head + identity * channels + grid.tobytes() + identity * 3


def named(name: str) -> bytes:
    """The profile that before-after.toml calls so."""
    if name in SPACES:
        primaries, gamma, version = SPACES[name]
        curve = parametric_tag() if gamma is None else gamma_tag(gamma)
        return rgb_profile(name, primaries, curve, version)
    if name.startswith("gamma "):
        return grey_profile(name, float(name.removeprefix("gamma ")))
    if name == "swapped by a matrix":
        return rgb_profile("swapped", SRGB, table_tag(), order=SWAPPED)
    if name == "swapped by a table":
        inverse = np.argsort(SWAPPED)
        tag = lut_tag(3, 33, lambda device: device[:, inverse])
        return profile(b"RGB ", b"prtr", b"Lab ", 2, name, {b"A2B0": tag})
    if name == "sRGB, cut":
        return named("sRGB")[:200]
    if name == "sRGB":
        return rgb_profile(name, SRGB, table_tag())
    if name == "made press":
        tags = {b"A2B0": lut_tag(4, 17, printed)}
        return profile(b"CMYK", b"prtr", b"Lab ", 2, "a press that never was", tags)
    return Path(name).read_bytes()


def installed(folders: Sequence[str], space: bytes) -> Path | None:
    """The first printer's profile of a colour space (four letters), by name; None without one."""
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.ic[cm]")):
            head = path.read_bytes()[:128]
            if head[16:20] == space and head[36:40] == b"acsp" and head[12:16] == b"prtr":
                return path
    return None
