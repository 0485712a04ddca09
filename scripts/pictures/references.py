"""What other decoders show of a file, and whether a stored picture agrees with one of them.

The decoders are Pillow, vips and ImageMagick, asked strictly: what a warning goes with is not
sound. What they decode may kill them, so `judge` is to be run in a process of its own.
"""

import io
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from . import compare, display, png_colours
from .display import Refused

Array = np.ndarray

# The formats that imagepool promises to read; a reference that shows another obliges nobody.
TAKEN = "JPEG PNG GIF WebP BMP TIFF ICO TGA QOI PNM AVIF JXL HEIC".split()
ANIMATED = {"GIF", "PNG", "WebP", "AVIF"}
# What vips reads by itself; all else it hands to ImageMagick, which would then be asked twice.
VIPS_READS = {"JPEG", "PNG", "GIF", "WebP", "TIFF", "PNM", "AVIF", "JXL", "HEIC"}
# The first bytes of each format, and of some that are not taken.
SIGNATURES = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "WebP": rb"RIFF....WEBP",
    "BMP": rb"BM",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "ICO": rb"\0\0\x01\0",
    "QOI": rb"qoif",
    "PNM": rb"P[1-7]\s",
    "PFM": rb"P[fF]",
    "AVIF": rb"....ftypavi[fs]",
    "HEIC": rb"....ftyp(hei|hev|mif|msf)",
    "JXL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "PSD": rb"8BPS",
    "SVG": rb"\s*(<svg|<\?xm)",
}
# Formats without a signature, or whose signature others have, by their names.
NAMES = {".tga": "TGA", ".svg": "SVG", ".svgz": "SVG"}

WEBP_SIDE = 16_383
PIXEL_LIMIT = 128 << 20
# Differences are of 255, between the means of blocks of 8 x 8 pixels: lossy WebP halves the
# resolution of colour, so that single pixels may differ by much and blocks may not.
BLOCK = 8
MEAN_DIFFERENCE = 2.0
BLOCK_DIFFERENCE_99 = 10.0
# Of pictures with fewer blocks than this the largest counts.
FEW_BLOCKS = 200
BLOCK_DIFFERENCE_LARGEST = 14.0
# Quality of our WebP, and of the references' pictures where those are made WebP for comparison.
QUALITY = 95
SAMPLED_FRAMES = 8
# A lossy animation leaves in place what has changed little from one frame to the next.
ANIMATION_SLACK = 2.0
# Longest time of another program, in seconds; of a file all references together take three such.
TOOL_SECONDS = 20


def sniff(path: str) -> str:
    """The format by content, as the report's table names it, else by the file's name."""
    with open(path, "rb") as file:
        head = file.read(32)
    suffix = Path(path).suffix.lower()
    if suffix == ".cur" and head[:4] == b"\0\0\2\0":
        return "CUR"
    found = (name for name, first in SIGNATURES.items() if re.match(first, head, re.DOTALL))
    return next(found, NAMES.get(suffix, "other"))


class Opened:
    """A picture as one reference sees it: frames on demand, and how long each lasts, in ms."""

    def __init__(self, path: str, animated: bool) -> None:
        self.path, self.kept, self.conversion = path, (None, None), None
        with Image.open(path) as image:
            self.format = image.format
            if image.width * image.height > PIXEL_LIMIT:
                raise Refused(f"over the limit: {image.width} x {image.height}")
            count = getattr(image, "n_frames", 1) if animated else 1
            # An APNG's default image that is not part of its animation is a frame to Pillow.
            self.first = 1 if image.info.get("default_image") and count > 1 else 0
            self.managed = bool(image.info.get("icc_profile"))
            self.durations = []
            for number in range(self.first, count):
                if count > 1:
                    image.seek(number)
                image.load()
                self.durations.append(image.info.get("duration", 0) or 0)
        self.count = len(self.durations)

    def frame(self, number: int, intent: int = ImageCms.Intent.RELATIVE_COLORIMETRIC) -> Array:
        """Opened anew for each: after frames in turn Pillow composes an APNG's later ones wrong."""
        if self.kept[0] != (number, intent):
            with Image.open(self.path) as image:
                if self.count > 1 or self.first:
                    image.seek(number + self.first)
                shown = display.frame_of(image, intent)
                self.kept = (number, intent), self.conversion(shown) if self.conversion else shown
        return self.kept[1]

    def ends(self) -> Array:
        return np.cumsum(self.durations)


# --- the references ---


def by_tool(command: list[str], path: str, link: Path, made: Path) -> Opened:
    """Another decoder's picture; whatever it says on stderr makes the file unsound."""
    # Names may have square brackets, which would be options.
    link.unlink(missing_ok=True)
    link.symlink_to(path)
    try:
        run = subprocess.run(command, capture_output=True, timeout=TOOL_SECONDS)
    except subprocess.TimeoutExpired:
        raise Refused("took too long") from None
    words = " ".join(run.stderr.decode(errors="replace").split())
    if run.returncode != 0 or words or not made.exists():
        raise Refused((words or f"exit code {run.returncode}")[:200])
    return Opened(str(made), False)


def by_vips(path: str, kind: str, scratch: Path) -> Opened:
    link, made = scratch / f"source.{kind.lower()}", scratch / "vips.png"
    size = ["10000000", "--height", "10000000", "--size", "down"]
    strict = ["--export-profile", "srgb", "--fail-on", "warning"]
    return by_tool(["vips", "thumbnail", str(link), str(made), *size, *strict], path, link, made)


def by_imagemagick(path: str, kind: str, scratch: Path) -> Opened:
    coder = {"JPEG": "jpg"}.get(kind, kind.lower())
    link, made = scratch / "source", scratch / "imagemagick.tif"
    tool = shutil.which("magick") or shutil.which("convert")
    command = [tool, "-limit", "memory", "2GiB", f"{coder}:{link}[0]", "-auto-orient"]
    return by_tool([*command, "-depth", "8", f"tiff:{made}"], path, link, made)


def installed() -> list[str]:
    found = {"Pillow": True, "vips": shutil.which("vips")}
    found["ImageMagick"] = shutil.which("magick") or shutil.which("convert")
    return [name for name, there in found.items() if there]


def shown(path: str, kind: str, scratch: Path) -> Iterator[tuple[str, Opened | None, str]]:
    """The name of each reference and its picture, or its words when it has none."""
    for name in installed():
        if name == "vips" and kind not in VIPS_READS:
            continue
        try:
            if name == "Pillow":
                theirs = Opened(path, kind in ANIMATED)
            else:
                tool = by_vips if name == "vips" else by_imagemagick
                theirs = tool(path, kind, scratch)
            theirs.conversion = png_colours.conversion(path) if kind == "PNG" else None
            theirs.frame(0)
        except Refused as refusal:
            yield name, None, str(refusal)
        except Exception as error:  # Whatever a decoder says of a hostile file is its refusal.
            yield name, None, f"{type(error).__name__}: {error}"[:200]
        else:
            yield name, theirs, ""


# --- comparing ---


def difference(ours: Array, theirs: Array, slack: float = 1.0) -> str | None:
    """None if both look alike, else what differs. SLACK times the usual difference passes."""
    if ours.shape != theirs.shape:
        return "{1} x {0} instead of {3} x {2}".format(*ours.shape[:2], *theirs.shape[:2])
    words = difference_of_pixels(ours, theirs, slack)
    # Saturated colours in a few pixels suffer from any lossy WebP: what the reference's own
    # picture becomes is as good.
    return words and difference_of_pixels(ours, through_webp(theirs), slack) and words


def through_webp(rgba: Array) -> Array:
    written = io.BytesIO()
    Image.fromarray(rgba).save(written, "WEBP", quality=QUALITY, method=4)
    return np.asarray(Image.open(written).convert("RGBA"))


def difference_of_pixels(ours: Array, theirs: Array, slack: float) -> str | None:
    worst = 0.0, None
    for apart in compare.apart(ours, theirs, BLOCK):
        mean, largest = float(apart.blocks.mean()), apart.blocks.max(axis=1)
        few = largest.size < FEW_BLOCKS
        high = float(largest.max() if few else np.percentile(largest, 99))
        most = slack * (BLOCK_DIFFERENCE_LARGEST if few else BLOCK_DIFFERENCE_99)
        if (mean > slack * MEAN_DIFFERENCE or high > most) and (
            worst[1] is None or mean > worst[0]
        ):
            first, second = apart.averages
            words = f"differs by {mean:.1f} (blocks {high:.0f}) of 255"
            worst = mean, f"{words}; averages {first} for {second}"
    return worst[1]


def compared(ours: Opened, theirs: Opened) -> str | None:
    """None if a stored picture and a reference's look alike, else what differs."""
    height, width = theirs.frame(0).shape[:2]
    if max(width, height) > WEBP_SIDE:
        # Scaled down by rule; the proportions are what can be compared.
        tall, wide = ours.frame(0).shape[:2]
        fits = max(wide, tall) <= WEBP_SIDE
        same = fits and abs(wide * height - tall * width) <= max(width, height)
        return None if same else f"{wide} x {tall} of {width} x {height}"
    if theirs.count == 1:
        words = difference(ours.frame(0), theirs.frame(0))
        if words and theirs.managed:
            # Profiles by tables squeeze colours into sRGB in two ways, and programs use either.
            other = theirs.frame(0, ImageCms.Intent.PERCEPTUAL)
            words = difference(ours.frame(0), other) and words
        return words if words or ours.count == 1 else f"{ours.count} frames instead of 1"
    if ours.count == 1:
        return compared_with_still(ours.frame(0), theirs)
    return compared_times(ours, theirs) or compared_frames(ours, theirs)


def compared_with_still(still: Array, theirs: Opened) -> str | None:
    words = difference(still, theirs.frame(0))
    count = min(theirs.count, SAMPLED_FRAMES)
    numbers = range(1, count)
    if words is None and not any(difference(still, theirs.frame(n)) for n in numbers):
        return None
    return f"1 frame instead of {theirs.count}" + (f", and it {words}" if words else "")


def compared_times(ours: Opened, theirs: Opened) -> str | None:
    # A viewer shows nothing for ten milliseconds or less: browsers make 100 of it.
    browser = sum(length if length > 10 else 100 for length in theirs.durations)
    total, wanted = sum(ours.durations), sum(theirs.durations)
    right = (abs(total - each) <= max(2, each // 100) for each in (wanted, browser))
    if wanted and not any(right):
        frames = f"({ours.count} frames for {theirs.count})"
        return f"lasts {total} ms instead of {wanted} ms {frames}"
    if ours.count != theirs.count and (abs(total - wanted) > 2 or not total):
        return f"{ours.count} frames instead of {theirs.count}"
    return None


def compared_frames(ours: Opened, theirs: Opened) -> str | None:
    samples = min(theirs.count, SAMPLED_FRAMES)
    for number in (sample * theirs.count // samples for sample in range(samples)):
        mine = number
        if ours.count != theirs.count:
            # Frames that look the same may have become one; what is seen at a time counts.
            middle = theirs.ends()[number] - theirs.durations[number] / 2
            mine = int(np.argmax(ours.ends() >= middle))
        words = difference(ours.frame(mine), theirs.frame(number), ANIMATION_SLACK)
        if words:
            return f"frame {number} of {theirs.count} {words}"
    return None


def judge(job: tuple[str, str, str | None]) -> dict:
    """What the references say of one file, and whether a stored picture agrees with one of them.

    The job is the file, its format, and the stored picture if there is one.
    """
    path, kind, stored = job
    verdict: dict = {"shown": {}, "refused": {}, "differences": {}, "agrees": None}
    ours = None
    if stored:
        try:
            ours = Opened(stored, True)
            ours.frame(0)
        except Exception as error:
            return verdict | {"unreadable": f"{type(error).__name__}: {error}"[:200]}
    with tempfile.TemporaryDirectory(prefix="check-corpus-reference.") as scratch:
        for name, theirs, words in shown(os.path.abspath(path), kind, Path(scratch)):
            if theirs is None:
                verdict["refused"][name] = words
                continue
            height, width = theirs.frame(0).shape[:2]
            verdict["shown"][name] = [width, height, theirs.count]
            if ours is None:
                continue
            try:
                differs = compared(ours, theirs)
            except Exception as error:
                differs = f"not compared: {type(error).__name__}: {error}"[:200]
            if differs is None:
                return verdict | {"agrees": name}
            verdict["differences"][name] = differs
    return verdict
