"""What a picture looks like, as other programs decode it, and how far two pictures are apart.

Pictures are compared as viewers show them: upright, in sRGB, 8 bits, as RGBA.
"""

import io
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from . import profiles

Image.MAX_IMAGE_PIXELS = None
BLOCK = 16
# Of version 2: with a profile of version 4, lcms stretches the darkest ink to black, which browsers do not.
SRGB = ImageCms.ImageCmsProfile(io.BytesIO(profiles.rgb_profile("sRGB", profiles.SRGB, profiles.table_tag(4096))))


@dataclass
class Picture:
    """RGBA frames. A still has one and no durations; `loops` 0 is for ever."""

    frames: list
    durations: list = field(default_factory=list)  # milliseconds
    loops: int | None = None

    @property
    def size(self):
        height, width = self.frames[0].shape[:2]
        return width, height

    def at(self, moment):
        """The frame that is shown so many milliseconds after the start."""
        for frame, duration in zip(self.frames, self.durations):
            moment -= duration
            if moment < 0:
                return frame
        return self.frames[-1]


def still(array):
    """A picture of one frame, from grey, grey with alpha, RGB or RGBA of 8 bits."""
    array = np.asarray(array)
    if array.ndim == 2:
        array = array[..., None]
    if array.shape[2] < 3:
        array = np.concatenate([np.repeat(array[..., :1], 3, axis=2), array[..., 1:]], axis=2)
    if array.shape[2] == 3:
        array = np.pad(array, ((0, 0), (0, 0), (0, 1)), constant_values=255)
    return Picture([array.astype(np.uint8)])


# --- decoders ---


def decode(path):
    """By Pillow, or by the tool of the format where Pillow has none. None when nothing here can."""
    tool = {".heic": "heif-convert", ".jxl": "djxl"}.get(path.suffix)
    if tool:
        return decode_with(tool, path)
    try:
        return decode_with_pillow(path)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return None


def decode_with(tool, path):
    """The tools turn the picture upright themselves; they may copy the tag that asked for it."""
    if not shutil.which(tool):
        return None
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / ("out.apng" if "animat" in path.stem else "out.png")
        run = subprocess.run([tool, path, out], capture_output=True)
        return decode_with_pillow(out, turn=False) if run.returncode == 0 and out.exists() else None


def decode_with_pillow(path, turn=True):
    with Image.open(path) as image:
        # The pages of a TIFF, a MPO or an icon are not frames of an animation.
        animated = getattr(image, "is_animated", False) and image.format in ("GIF", "PNG", "WEBP", "AVIF")
        profile = image.info.get("icc_profile")
        frames, durations = [], []
        for number in range(image.n_frames if animated else 1):
            if animated:
                image.seek(number)
            image.load()
            frame = image.copy()
            durations.append(round(image.info.get("duration", 0)))
            if turn:
                frame = ImageOps.exif_transpose(frame)
            frames.append(to_rgba(frame, profile))
        loops = image.info.get("loop") if animated else None
    return Picture(frames, durations if animated else [], loops)


def to_rgba(image, profile=None):
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64)
        image = Image.fromarray(np.clip(np.rint(grey / 257), 0, 255).astype(np.uint8))
    if image.mode == "F":
        image = Image.fromarray(np.clip(np.rint(np.asarray(image) * 255), 0, 255).astype(np.uint8))
    alpha = None
    if "transparency" in image.info or image.mode in ("LA", "PA", "RGBA", "La", "RGBa"):
        alpha = image.convert("RGBA").getchannel("A")
    if image.mode in ("P", "PA", "RGBA", "1") or (image.mode == "L" and "transparency" in image.info):
        grey = image.mode in ("1", "L")
        image = image.convert("L" if grey else "RGBA").convert("L" if grey else "RGB")
    if image.mode == "LA":
        image = image.getchannel("L")
    if profile:
        image = to_srgb(image, profile)
    image = image.convert("RGB")
    if alpha is not None:
        image.putalpha(alpha)
    return np.asarray(image.convert("RGBA"))


def to_srgb(image, profile):
    """By the intent that the profile asks for. A profile for other colours than the picture's is no use."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    spaces = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
    if source.profile.xcolor_space != spaces.get(image.mode):
        return image
    intent = ImageCms.getDefaultIntent(source)
    return ImageCms.profileToProfile(image, source, SRGB, intent, "RGB")


# --- WebP, as it is stored ---


@dataclass
class Stored:
    """What the chunks of a WebP say."""

    chunks: list
    durations: list
    loops: int | None
    coding: str

    @property
    def metadata(self):
        return sorted({name for name in self.chunks if name in ("EXIF", "XMP ", "ICCP")})


def riff(data):
    at = 12
    while at + 8 <= len(data):
        size = struct.unpack_from("<I", data, at + 4)[0]
        yield data[at : at + 4].decode("latin-1"), data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def inspect(data):
    chunks, durations, codings, loops = [], [], set(), None
    for name, body in riff(data):
        chunks.append(name)
        inner = []
        if name == "ANIM":
            loops = struct.unpack_from("<H", body, 4)[0]
        if name == "ANMF":
            durations.append(int.from_bytes(body[12:15], "little"))
            inner = [part for part, _ in riff(b"\0" * 12 + body[16:])]
        for part in [name, *inner]:
            codings |= {"VP8 ": {"lossy"}, "VP8L": {"lossless"}, "ALPH": {"alpha"}}.get(part, set())
    return Stored(chunks, durations, loops, ", ".join(sorted(codings, reverse=True)))


def decode_stored(path):
    """The pixels by libwebp in Pillow; durations and loops from the file, where nothing rounds them."""
    picture = decode_with_pillow(path)
    stored = inspect(path.read_bytes())
    picture.durations, picture.loops = stored.durations, stored.loops
    return picture, stored


# --- differences ---


@dataclass
class Difference:
    """Of 255. The mean tells of noise. The worst block, a mean of 16 x 16 pixels and signed, tells of a colour
    or a place that is wrong, which noise is not."""

    mean: float = 0.0
    block: float = 0.0

    def worse(self, other):
        return Difference(max(self.mean, other.mean), max(self.block, other.block))


def on(background, rgba):
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + background * (1 - alpha)


def difference(first, second):
    """On black and on white, the worse of both: so alpha counts, and colours that nobody sees do not."""
    worst = Difference()
    for background in (0, 255):
        apart = on(background, first) - on(background, second)
        height, width = apart.shape[:2]
        rows = range(0, height, BLOCK)
        sums = np.add.reduceat(np.add.reduceat(apart, rows, axis=0), range(0, width, BLOCK), axis=1)
        counts = np.outer(np.diff([*rows, height]), np.diff([*range(0, width, BLOCK), width]))
        # A sliver at the edge is too few pixels to average noise away.
        blocks = np.abs(sums / counts[..., None])[counts >= BLOCK * BLOCK // 2]
        block = float(blocks.max()) if blocks.size else 0.0
        worst = worst.worse(Difference(float(np.abs(apart).mean()), block))
    return worst


def shrink(picture, size):
    return Picture(
        [np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)) for frame in picture.frames],
        picture.durations,
        picture.loops,
    )
