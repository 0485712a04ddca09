"""Samples to be written into files, named by a few words as before-after.toml has them.

The first words are a picture and the bits of a sample (8 when none are named); what is done to it
follows behind commas: "rgb 16", "grey+alpha, turned 6", "palette 16", "rgb, swapped". What it must
look like stays known all the way, so no decoder's opinion is asked.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from . import profiles

Array = np.ndarray

# Odd, and no multiple of 8: rows end within a byte, and blocks within a row.
WIDTH, HEIGHT = 249, 165
LUMA = np.array([[0.299], [0.587], [0.114]])
SKY = ((70, 235), (130, 205), (210, 170))  # red, green and blue at the top and at the bottom
PATCHES = (
    (220, 20, 20),
    (20, 170, 40),
    (30, 50, 210),
    (20, 180, 190),
    (200, 40, 170),
    (230, 220, 30),
)


@dataclass
class Samples:
    """What is written, height x width x channels, and what it must look like in 8 bits."""

    array: Array
    truth: Array
    bits: int = 8
    palette: Array | None = None  # then the samples are its indices

    @property
    def most(self) -> int:
        return (1 << self.bits) - 1


def drawn(width: int, height: int) -> Image.Image:
    """An uneven picture: turned, mirrored or with swapped channels nothing of it looks the same."""
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    for y in range(height):
        colour = tuple(round(a + (b - a) * y / height) for a, b in SKY)
        draw.line([(0, y), (width, y)], fill=colour)

    def place(*points: tuple[float, float]) -> list[tuple[int, int]]:
        return [(round(x * width), round(y * height)) for x, y in points]

    draw.ellipse(place((0.72, 0.08), (0.88, 0.32)), fill=(250, 210, 60))
    draw.polygon(place((0, 0.8), (0.3, 0.42), (0.55, 0.8)), fill=(60, 105, 80))
    draw.polygon(place((0.35, 0.8), (0.68, 0.35), (1, 0.72), (1, 0.8)), fill=(95, 80, 120))
    letter_f = (0.06, 0.08, 0.11, 0.5), (0.11, 0.08, 0.3, 0.15), (0.11, 0.25, 0.24, 0.32)
    for left, top, right, bottom in letter_f:
        draw.rectangle(place((left, top), (right, bottom)), fill=(200, 30, 40))
    for number, colour in enumerate(PATCHES):
        draw.rectangle(place((number * 0.1, 0.8), (number * 0.1 + 0.1, 1)), fill=colour)
    for number in range(8):
        left, grey = 0.6 + number * 0.05, round(number * 255 / 7)
        draw.rectangle(place((left, 0.8), (left + 0.05, 1)), fill=(grey, grey, grey))
    return image


@cache
def scene_float(width: int = WIDTH, height: int = HEIGHT) -> Array:
    """RGB from 0 to 1, smoothed: it has values between those of 8 bits."""
    fine = np.asarray(drawn(width * 4, height * 4), np.float64) / 255
    return fine.reshape(height, 4, width, 4, 3).mean(axis=(1, 3))


def scene(width: int = WIDTH, height: int = HEIGHT) -> Array:
    return np.rint(scene_float(width, height) * 255).astype(np.int64)


def alpha_ramp(most: int = 255, width: int = WIDTH, height: int = HEIGHT) -> Array:
    """Opaque within an egg, clear outside, soft between; the top left corner is opaque again."""
    y, x = np.mgrid[0:height, 0:width]
    away = np.hypot((x / width - 0.5) * 2, (y / height - 0.55) * 2)
    alpha = np.clip((1.05 - away) / 0.4, 0, 1)
    alpha[: height // 4, : width // 3] = 1
    return np.rint(alpha * most).astype(np.int64)[..., None]


def joined(*planes: Array) -> Array:
    return np.concatenate(planes, axis=2)


def to_8(samples: Array, most: int) -> Array:
    return np.rint(samples * (255 / most)).astype(np.uint8)


def palette_scene(colours: int, width: int = WIDTH, height: int = HEIGHT) -> tuple[Array, Array]:
    """Indices, and the palette of so many colours."""
    image = Image.fromarray(scene(width, height).astype(np.uint8))
    image = image.quantize(colours, dither=Image.Dither.NONE)
    palette = np.asarray(image.getpalette(), np.uint8).reshape(-1, 3)[:colours]
    palette = np.pad(palette, ((0, colours - len(palette)), (0, 0)))
    return np.asarray(image)[..., None].astype(np.int64), palette


def screenshot() -> Image.Image:
    """A drawing, which few colours make small without loss."""
    image = Image.new("RGB", (400, 260), (248, 248, 248))
    draw = ImageDraw.Draw(image)
    draw.rectangle([0, 0, 400, 28], fill=(40, 44, 52))
    for number, colour in enumerate(((255, 95, 86), (255, 189, 46), (39, 201, 63))):
        draw.ellipse([10 + number * 18, 9, 20 + number * 18, 19], fill=colour)
    for line in range(14):
        words = f"fn line_{line}() -> u32 {{ {line * 7919} }}"
        draw.text((14 + line % 3 * 14, 40 + line * 15), words, fill=(30, 60, 150))
    draw.rectangle([280, 60, 380, 120], outline=(200, 0, 0), width=1)
    draw.line([280, 120, 380, 60], fill=(0, 120, 0), width=1)
    return image


# --- by name ---


def picture_float(name: str) -> Array:
    """Red, green, blue or grey, and alpha, from 0 to 1; one of the names in `pictures`."""
    rgb = scene_float()
    ramp = alpha_ramp()[..., :1]
    colours = rgb @ LUMA if name.startswith("grey") else rgb
    _, _, alpha = name.partition("+")
    planes = {"": [], "alpha": [ramp], "clear": [0 * ramp], "opaque": [0 * ramp + 255]}[alpha]
    return joined(colours, *(plane / 255 for plane in planes))


def numbered(name: str, bits: int) -> Samples:
    most = (1 << bits) - 1
    floats = picture_float(name)
    array = np.rint(floats * most).astype(np.int64)
    if name.endswith("+alpha"):
        array[..., -1:] = alpha_ramp(most)
    return Samples(array, to_8(array, most), bits)


def bilevel() -> Samples:
    """1 is white. Dots stand for grey, as in a newspaper."""
    image = Image.fromarray(numbered("grey", 8).array[..., 0].astype(np.uint8)).convert("1")
    array = np.asarray(image).astype(np.int64)[..., None]
    return Samples(array, array * 255, 1)


def indexed(colours: int) -> Samples:
    indices, palette = palette_scene(colours)
    bits = next(bits for bits in (1, 2, 4, 8) if 1 << bits >= colours)
    return Samples(indices, palette[indices[..., 0]], bits, palette)


def inks(bits: int) -> Samples:
    """Cyan, magenta, yellow and black, and how they look without a profile."""
    rgb = scene_float()
    black = np.minimum(1 - rgb.max(axis=2, keepdims=True), 0.7) * 0.8
    array = np.rint(joined(1 - rgb / (1 - black), black).clip(0, 1) * 255)
    looks = (255 - array[..., :3]) * (255 - array[..., 3:]) / 255
    return Samples(array.astype(np.int64) * (257 if bits == 16 else 1), np.rint(looks), bits)


def shot(name: str) -> Samples:
    if name == "lettering":
        array = np.asarray(screenshot().convert("L")).astype(np.int64)[..., None] // 128
        return Samples(array, array * 255, 1)
    array = np.asarray(screenshot()).astype(np.int64)
    if name == "screenshot+alpha":
        array = joined(array, np.full_like(array[..., :1], 255))
        array[:40, 350:, 3] = 0
    return Samples(array, array)


def samples(words: str) -> Samples:
    """The samples that the words name; see the top of this file."""
    base, *changes = words.split(", ")
    name, _, bits = base.partition(" ")
    if bits == "float":
        found = replace(numbered(name, 8), array=picture_float(name), bits=32)
    elif name == "palette":
        found = indexed(int(bits))
    elif name == "inks":
        found = inks(int(bits or 8))
    elif name in ("screenshot", "screenshot+alpha", "lettering"):
        found = shot(name)
    elif name == "grey" and bits == "1":
        found = bilevel()
    else:
        found = numbered(name, int(bits or 8))
    for change in changes:
        verb, _, argument = change.partition(" ")
        found = CHANGES[verb](found, argument)
    return found


# --- changes ---


def turned(array: Array, orientation: int) -> Array:
    """The stored pixels that an EXIF orientation makes upright."""
    if orientation in (5, 6, 7, 8):
        array = np.swapaxes(array, 0, 1)
    if orientation in (3, 4, 6, 7):
        array = array[::-1]
    if orientation in (2, 3, 7, 8):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def in_space(of: Samples, name: str) -> Samples:
    """Stored as a colour space has it; it must look as before."""
    array = of.array.copy()
    if name in profiles.SPACES:
        encoded = profiles.in_space(scene_float(), name)
        array[..., :3] = np.rint(encoded * of.most).astype(np.int64)
        return replace(of, array=array)
    gamma = round(float(name.removeprefix("gamma ")) * 256) / 256
    linear = profiles.to_linear(scene_float() @ LUMA)
    array[..., :1] = np.rint(linear ** (1 / gamma) * of.most).astype(np.int64)
    shown = np.rint(profiles.from_linear((array[..., :1] / of.most) ** gamma) * 255)
    return replace(of, array=array, truth=joined(shown, of.truth[..., 1:]))


def swapped(of: Samples, _: str) -> Samples:
    """Red, green and blue in each other's place, for a profile to put back."""
    order = list(profiles.SWAPPED)
    if of.palette is not None:
        return replace(of, palette=of.palette[:, order])
    array = of.array.copy()
    array[..., :3] = array[..., order]
    return replace(of, array=array)


def cropped(of: Samples, size: str) -> Samples:
    """To the top left, or tiled to be as large."""
    width, height = (int(side) for side in size.split(" x "))
    wanted = -(-height // HEIGHT), -(-width // WIDTH), 1
    array, truth = (np.tile(each, wanted)[:height, :width] for each in (of.array, of.truth))
    return replace(of, array=array, truth=truth)


def multiplied(of: Samples, _: str) -> Samples:
    colours = np.rint(of.array[..., :3] * of.array[..., 3:] / 255).astype(np.int64)
    return replace(of, array=joined(colours, of.array[..., 3:]))


def reduced(of: Samples, depths: str) -> Samples:
    """Red, green and blue of so many bits each, as whole pixels have them."""
    most = (1 << np.array([int(depth) for depth in depths.split()])) - 1
    array = np.rint(of.array * most / 255).astype(np.int64)
    return replace(of, array=array, truth=np.rint(array * 255 / most))


def up_to(of: Samples, most: str) -> Samples:
    """From 0 to a number that is no power of two less 1."""
    number = int(most.removeprefix("to "))
    floats = scene_float() if of.array.shape[2] == 3 else scene_float() @ LUMA
    array = np.rint(floats * number).astype(np.int64)
    return replace(of, array=array, truth=to_8(array, number))


CHANGES: dict[str, Callable[[Samples, str], Samples]] = {
    "turned": lambda of, number: replace(of, array=turned(of.array, int(number))),
    "in": in_space,
    "swapped": swapped,
    "sized": cropped,
    "multiplied": multiplied,
    "inverted": lambda of, _: replace(of, array=of.most - of.array),
    "reduced": reduced,
    "up": up_to,
    "printed": lambda of, _: replace(of, truth=np.rint(profiles.printed(of.array / 255) * 255)),
}
