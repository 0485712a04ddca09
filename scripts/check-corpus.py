#!/usr/bin/env python3
"""Imports a corpus of odd, broken and hostile pictures and compares the gallery with what other decoders show.

The promise is: whatever lies in a folder, an import ends, within its memory, with a line for each file; what other
programs show, the gallery shows too, and in the same colours. This checks it on files that broke other programs:

  - the whole corpus is imported in one go: exit code 0 or 1, peak memory and time within bounds, one line a file, with
    a reason where it is not imported, and none that speaks of a panic; `verify --deep` finds nothing afterwards;
  - bombs, and files whose line was long in coming, are imported once more alone, for their own time and memory;
  - a FIFO, a socket, symlinks that lead nowhere or round, and as root device nodes, are passed over at once;
  - each file is decoded by Pillow, then by vips, then by ImageMagick, strictly: what a warning goes with is not
    sound. What one of them shows must have been imported, and what was imported must look the same: first frame,
    upright, in sRGB, over black and over white; an animation with the same frames at the same times.

A picture agrees when it agrees with one of the references: they differ among themselves on odd files. Where just one
of several decodes a file that imagepool refuses, the file is listed as doubtful, which fails the check only with --strict.
Differences that were looked into and are right stand in EXCEPTIONS below, each with its reason, and are printed.

Needs Python 3.9 with Pillow (11.3 or newer for AVIF) and numpy; vips (libvips-tools) and convert (imagemagick) are
used where installed. The corpus comes from scripts/fetch-corpus.sh. An hour on two cores is ample.

  scripts/check-corpus.py [--binary FILE] [--markdown FILE] [--json FILE] CORPUS
"""

import argparse
import collections
import fnmatch
import json
import os
import queue
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings

# Kind of violation, path below the corpus (both patterns of fnmatch), then why it is right. The first match counts.
EXCEPTIONS = [
    ("refused", "bombs/[!s]*", "what it claims is over a limit or not there"),
    ("pixels", "gdk-pixbuf/*/gif-test-suite/dispose-restore-background.gif", "browsers show what is behind where no frame draws"),
    ("pixels", "gdk-pixbuf/*/gif-test-suite/image*-bg.gif", "browsers show what is behind where no frame draws"),
    ("pixels", "gdk-pixbuf/*/gif-test-suite/images-combine.gif", "browsers show what is behind where no frame draws"),
    ("pixels", "gdk-pixbuf/*/gif-test-suite/missing-pixels.gif", "browsers show what is behind where no frame draws"),
    ("pixels", "gdk-pixbuf/*/gif-test-suite/invalid-colors.gif", "pixels of colours that its palette does not have"),
    ("pixels", "pypi-pillow/Tests/images/dispose_bgnd*.gif", "disposed of to transparent, as browsers do, not to a colour"),
    ("pixels", "pypi-pillow/Tests/images/dispose_prev_first_frame.gif", "browsers show what is behind where no frame draws"),
    ("pixels", "libgd2/tests/gif/unitialized_memory_read.gif", "browsers show what is behind where no frame draws"),
    ("pixels", "pypi-pillow/Tests/images/apng/mode_*.png", "Pillow pastes translucent frames; APNG has them blended"),
    ("pixels", "pypi-pillow/Tests/images/apng/blend_op_over_near_transparent.png", "Pillow pastes; APNG blends"),
    ("pixels", "pypi-pillow/Tests/images/1_trns.png", "its tRNS is no colour of 1 bit: libpng passes it over"),
    ("pixels", "pypi-pillow/Tests/images/mmap_error.bmp", "its palette reaches into its pixels"),
    ("pixels", "netsurf/libnsbmp/test/afl-bmp/*", "pixels of colours that its palette does not have"),
    ("pixels", "*[-_]?444*.bmp", "ImageMagick 6 shifts four bits up where they are to be scaled, and Pillow refuses it"),
    ("pixels", "pypi-pillow/Tests/images/bmp/q/rgb16-231.bmp", "ImageMagick 6 shifts bits up, and Pillow refuses it"),
    ("pixels", "netsurf/libnsbmp/test/icons/monitor.ico", "its first entry says 128 x 128 and has 16 x 16"),
    ("pixels", "*_[13][62]f.jxl", "floats, which vips takes as they are; djxl shows what imagepool does"),
    ("pixels", "pypi-pillow-jxl-plugin/*_f16.jxl", "floats, which vips takes as they are"),
    ("pixels", "pypi-pillow-jxl-plugin/*_float.jxl", "floats, which vips takes as they are"),
    ("pixels", "pypi-pillow-heif/tests/images/heif/*A_*.heif", "vips and ImageMagick multiply by alpha; libheif's own tool agrees"),
    ("pixels", "kimageformats/autotests/read/heif/rgba.heif", "vips and ImageMagick multiply by alpha; libheif's own tool agrees"),
    ("pixels", "libheif/fuzzing/corpus/colors-with-alpha*.heic", "vips and ImageMagick multiply by alpha; libheif's own tool agrees"),
    ("pixels", "pypi-pillow/Tests/images/avif/star.avifs", "of a sequence the primary picture is taken"),
    ("pixels", "pypi-pillow/Tests/images/16bit.s.tif", "its largest sample is the largest that 16 bits with a sign hold: white here"),
    ("pixels", "pypi-pillow/Tests/images/exif_imagemagick_orientation.png", "browsers do not look for orientation in text either"),
    ("pixels", "vips/test/test-suite/images/garden.gif", "its 36th frame is broken and left out; vips stops before it"),
    ("pixels", "pypi-pillow/Tests/images/hopper_bad_exif.jpg", "its data is damaged from the first rows on: no two decoders agree"),
    ("refused", "netsurf/libnsgif/test/ns-afl-gif/*", "made by a fuzzer"),
    ("refused", "netsurf/libnsbmp/test/afl-bmp/*", "made by a fuzzer"),
    ("refused", "gdk-pixbuf/tests/test-images/fail/*", "it is there to be refused"),
    ("unreadable", "pypi-pillow-heif/tests/images/heif_special/200MP.heic", "more pixels than the references are allowed"),
    ("unreadable", "pypi-thumbor/tests/fixtures/images/1638?x1638?.png", "more pixels than the references are allowed"),
    ("refused", "qtbase*/qtbug13653-no_eoi.jpg", "its end is missing"),
    ("refused", "golang*/invalid-noend.png", "its end is missing"),
    ("refused", "qtbase*/earth.gif", "its end is missing"),
    ("pixels", "qtbase*/*.ico", "of entries of one size the references take the first, imagepool the one of most colours"),
]

# The formats that the contract names; a reference that shows another one obliges nobody.
TAKEN = "JPEG PNG GIF WebP BMP TIFF ICO TGA QOI PNM AVIF JXL HEIC".split()
ANIMATED = {"GIF", "PNG", "WebP", "AVIF"}
# What vips reads by itself; all else it hands to ImageMagick, which would then be asked twice.
VIPS_READS = {"JPEG", "PNG", "GIF", "WebP", "TIFF", "PNM", "AVIF", "JXL", "HEIC"}
WEBP_SIDE = 16_383
PIXEL_LIMIT = 128 << 20

# Differences are of 255, between the means of blocks of 8 x 8 pixels: lossy WebP halves the resolution of colour, so that
# single pixels may differ by much and blocks may not.
MEAN_DIFFERENCE = 2.0
BLOCK_DIFFERENCE_99 = 10.0
# Of pictures with fewer blocks than this the largest counts.
FEW_BLOCKS = 200
BLOCK_DIFFERENCE_LARGEST = 14.0
# Both of our WebP and of the references' pictures where those are made WebP for comparison.
REFERENCE_QUALITY = 95
SAMPLED_FRAMES = 8
# A lossy animation leaves in place what has changed little from one frame to the next.
ANIMATION_SLACK = 2.0

STAND_ALONE_SECONDS = 2.0
REFERENCE_SECONDS = 60
REFERENCE_MEMORY = 6 << 30


def sniff(path):
    """The format by content, as the report's table names it; TGA, which has no signature, by its name."""
    with open(path, "rb") as file:
        head = file.read(32)
    brand = head[8:12]
    signatures = [
        (head[:3] == b"\xff\xd8\xff", "JPEG"),
        (head[:8] == b"\x89PNG\r\n\x1a\n", "PNG"),
        (head[:6] in (b"GIF87a", b"GIF89a"), "GIF"),
        (head[:4] == b"RIFF" and brand == b"WEBP", "WebP"),
        (head[:2] == b"BM", "BMP"),
        (head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF"),
        (head[:4] == b"\0\0\1\0", "ICO"),
        (head[:4] == b"\0\0\2\0" and path.lower().endswith(".cur"), "CUR"),
        (head[:4] == b"qoif", "QOI"),
        (head[:1] == b"P" and head[1:2] in b"1234567" and head[2:3].isspace(), "PNM"),
        (head[:2] in (b"Pf", b"PF"), "PFM"),
        (head[4:8] == b"ftyp" and brand in (b"avif", b"avis"), "AVIF"),
        (head[4:8] == b"ftyp" and brand[:3] in (b"hei", b"hev", b"mif", b"msf"), "HEIC"),
        (head[:2] == b"\xff\x0a" or head[:8] == b"\0\0\0\x0cJXL ", "JXL"),
        (head[:8] == b"\0\0\0\x0cjP  " or head[:4] == b"\xff\x4f\xff\x51", "JPEG 2000"),
        (head[:4] == b"8BPS", "PSD"),
        (head.lstrip()[:4] in (b"<svg", b"<?xm") or path.lower().endswith((".svg", ".svgz")), "SVG"),
        (path.lower().endswith(".tga"), "TGA"),
    ]
    return next((name for found, name in signatures if found), "other")


# ---------------------------------------------------------------------------------------------------------------------
# The reference worker: a process of its own, for what it decodes may kill it.


class Refused(Exception):
    """A reference that does not decode a file, with its words."""


class Unasked(Exception):
    """A reference that has no decoder of its own for a format."""


def to_display(image, intent):
    """8-bit RGBA in sRGB, upright. Refused where Pillow has no agreed way to show the samples."""
    import numpy
    from PIL import Image, ImageOps

    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM", None)):
        samples = numpy.asarray(image).astype(numpy.uint32)
        if samples.max(initial=0) > 65_535:
            raise Refused("samples of 32 bits")
        key = image.info.get("transparency")
        grey = ((samples + 128) // 257).astype(numpy.uint8)
        alpha = numpy.full_like(grey, 255) if key is None else numpy.where(samples == key, 0, 255).astype(numpy.uint8)
        return Image.fromarray(numpy.dstack([grey, grey, grey, alpha]))
    if image.mode in ("I", "F"):
        raise Refused(f"samples of mode {image.mode}")
    if profile:
        image = managed(image, profile, intent)
    if image.mode in ("LAB", "HSV"):
        image = image.convert("RGB")
    return image.convert("RGBA")


def managed(image, profile, intent):
    """The image in sRGB by the named intent, if its profile fits its samples."""
    import io

    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    except (OSError, ImageCms.PyCMSError):
        return image
    space = source.profile.xcolor_space.strip()
    alpha = None
    if image.mode in ("P", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode in ("RGBA", "LA"):
        alpha = image.getchannel("A")
        image = image.convert(image.mode[:-1])
    if image.mode == "1":
        image = image.convert("L")
    if image.mode == "YCbCr" and space == "RGB":
        image = image.convert("RGB")
    if {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}.get(space) == image.mode:
        intents = {"relative": ImageCms.Intent.RELATIVE_COLORIMETRIC, "perceptual": ImageCms.Intent.PERCEPTUAL}
        try:
            image = ImageCms.profileToProfile(
                image, source, ImageCms.createProfile("sRGB"), intents[intent], "RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
        except ImageCms.PyCMSError:
            pass
    if alpha is not None:
        image = image.convert("RGB")
        image.putalpha(alpha)
    return image


class Opened:
    """A picture as one reference sees it: frames on demand, and when each of them ends, in milliseconds."""

    def __init__(self, path, animated):
        self.path = path
        self.at = None
        self.open()
        self.format = self.image.format
        if self.image.width * self.image.height > PIXEL_LIMIT:
            raise Refused(f"over the limit: {self.image.width} x {self.image.height}")
        count = getattr(self.image, "n_frames", 1) if animated else 1
        # An APNG's default image that is not part of its animation is a frame to Pillow.
        self.first = 1 if self.image.info.get("default_image") and count > 1 else 0
        self.count = count - self.first
        self.managed = bool(self.image.info.get("icc_profile"))
        self.ends = []
        total = 0
        for number in range(self.count):
            self.seek(number)
            total += self.image.info.get("duration", 0) or 0
            self.ends.append(total)
        if self.count > 1:
            self.open()
            self.at = None

    def open(self):
        from PIL import Image

        self.image = Image.open(self.path)

    def seek(self, number):
        if self.count > 1 or self.first:
            self.image.seek(number + self.first)
            self.at = number
        self.image.load()

    def frame(self, number, intent="relative"):
        # Opened anew for each: after frames loaded in turn Pillow composes an APNG's later ones wrong.
        if self.count > 1 and self.at != number:
            self.open()
        self.seek(number)
        return to_display(self.image, intent)


def by_pillow(path, kind, _):
    return Opened(path, kind in ANIMATED)


def converted(command, made, seconds=REFERENCE_SECONDS / 3):
    """Runs another decoder that writes MADE; whatever it says on stderr makes the file unsound."""
    try:
        run = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise Refused("took too long") from None
    words = " ".join(run.stderr.decode(errors="replace").split())
    if run.returncode != 0 or words or not os.path.exists(made):
        raise Refused((words or f"exit code {run.returncode}")[:200])
    return Opened(made, False)


def by_vips(path, kind, scratch):
    # Square brackets in a name would be options to vips.
    if kind not in VIPS_READS:
        raise Unasked
    link = os.path.join(scratch, "source." + kind.lower())
    made = os.path.join(scratch, "vips.png")
    link_to(path, link, made)
    return converted(
        ["vips", "thumbnail", link, made, "10000000", "--height", "10000000", "--size", "down",
         "--export-profile", "srgb", "--fail-on", "warning"], made)


def by_imagemagick(path, kind, scratch):
    coder = {"JPEG": "jpg", "WebP": "webp", "TIFF": "tiff", "HEIC": "heic"}.get(kind, kind.lower())
    link = os.path.join(scratch, "source")
    made = os.path.join(scratch, "imagemagick.tif")
    link_to(path, link, made)
    tool = shutil.which("magick") or shutil.which("convert")
    return converted(
        [tool, "-limit", "memory", "2GiB", f"{coder}:{link}[0]", "-auto-orient", "-depth", "8", f"tiff:{made}"], made)


def link_to(path, link, made):
    for old in (link, made):
        if os.path.lexists(old):
            os.remove(old)
    os.symlink(path, link)


def references():
    found = [("Pillow", by_pillow)]
    if shutil.which("vips"):
        found.append(("vips", by_vips))
    if shutil.which("magick") or shutil.which("convert"):
        found.append(("ImageMagick", by_imagemagick))
    return found


def block_means(difference):
    """Means over blocks of 8 x 8 pixels; what is left over at the right and below is a smaller block."""
    import numpy

    rows, columns = (numpy.arange(0, length, 8) for length in difference.shape[:2])
    sums = numpy.add.reduceat(numpy.add.reduceat(difference, rows, axis=0), columns, axis=1)
    heights, widths = (numpy.diff(numpy.append(starts, length)) for starts, length in zip((rows, columns), difference.shape))
    return sums / (heights[:, None] * widths[None, :])[:, :, None]


def difference(ours, theirs, slack=1.0):
    """None if both look alike, else what differs. SLACK times the usual difference passes."""
    if ours.size != theirs.size:
        return f"{ours.width} x {ours.height} instead of {theirs.width} x {theirs.height}"
    words = difference_of_pixels(ours, theirs, slack)
    # Saturated colours in a few pixels suffer from any lossy WebP: what the reference's own picture becomes is as good.
    return words and difference_of_pixels(ours, through_webp(theirs), slack) and words


def through_webp(image):
    import io

    from PIL import Image

    written = io.BytesIO()
    image.save(written, "WEBP", quality=REFERENCE_QUALITY, method=4)
    return Image.open(written).convert("RGBA")


def difference_of_pixels(ours, theirs, slack):
    import numpy

    worst = None
    for ground in (0.0, 255.0):
        blocks = []
        averages = numpy.zeros((2, 3))
        # In bands, for a picture of a hundred megapixels is four times its size in floating point.
        for top in range(0, ours.height, 512):
            area = (0, top, ours.width, min(top + 512, ours.height))
            bands = [numpy.asarray(image.crop(area)).astype(numpy.float32) for image in (ours, theirs)]
            over = [band[..., :3] * (band[..., 3:] / 255) + ground * (1 - band[..., 3:] / 255) for band in bands]
            blocks.append(numpy.abs(block_means(over[0] - over[1])))
            averages += [band.sum(axis=(0, 1), dtype=float) for band in over]
        averages = (averages / (ours.width * ours.height)).round().astype(int).tolist()
        blocks = numpy.concatenate(blocks)
        mean = float(blocks.mean())
        largest = blocks.max(axis=2)
        few = largest.size < FEW_BLOCKS
        high = float(largest.max() if few else numpy.percentile(largest, 99))
        most = slack * (BLOCK_DIFFERENCE_LARGEST if few else BLOCK_DIFFERENCE_99)
        if mean > slack * MEAN_DIFFERENCE or high > most:
            words = f"differs by {mean:.1f} (blocks {high:.0f}) of 255; averages {averages[0]} for {averages[1]}"
            if worst is None or mean > worst[0]:
                worst = (mean, words)
    return worst and worst[1]


def compare(ours, theirs):
    """None if an exported picture and a reference's look alike, else what differs."""
    size = theirs.frame(0).size
    if max(size) > WEBP_SIDE:
        # Scaled down by rule; the proportions are what can be compared.
        got = ours.frame(0).size
        same = max(got) <= WEBP_SIDE and abs(got[0] * size[1] - got[1] * size[0]) <= max(size)
        return None if same else f"{got[0]} x {got[1]} of {size[0]} x {size[1]}"
    if theirs.count == 1:
        words = difference(ours.frame(0), theirs.frame(0))
        if words and theirs.managed:
            # Profiles by tables have two ways to squeeze their colours into sRGB, and programs use either.
            words = difference(ours.frame(0), theirs.frame(0, "perceptual")) and words
        return words if words or ours.count == 1 else f"{ours.count} frames instead of 1"
    if ours.count == 1 and theirs.count > 1:
        first = difference(ours.frame(0), theirs.frame(0))
        same = all(difference(theirs.frame(0), theirs.frame(n)) is None for n in range(1, min(theirs.count, SAMPLED_FRAMES)))
        if first is None and same:
            return None
        return f"1 frame instead of {theirs.count}" + (f", and it {first}" if first else "")
    # A viewer shows nothing for ten milliseconds or less: browsers make a tenth of a second of it.
    lengths = [end - start for start, end in zip([0, *theirs.ends], theirs.ends)]
    browser = sum(length if length > 10 else 100 for length in lengths)
    total = ours.ends[-1]
    if theirs.ends[-1] and all(abs(total - wanted) > max(2, wanted // 100) for wanted in (theirs.ends[-1], browser)):
        return f"lasts {total} ms instead of {theirs.ends[-1]} ms ({ours.count} frames for {theirs.count})"
    by_time = ours.count != theirs.count
    if by_time and (abs(total - theirs.ends[-1]) > 2 or not total):
        return f"{ours.count} frames instead of {theirs.count}"
    for sample in range(min(theirs.count, SAMPLED_FRAMES)):
        number = sample * theirs.count // min(theirs.count, SAMPLED_FRAMES)
        mine = number
        if by_time:
            # Frames that look the same may have become one; what counts is what is seen at a time.
            middle = theirs.ends[number] - lengths[number] / 2
            mine = next(n for n, end in enumerate(ours.ends) if end >= middle)
        words = difference(ours.frame(mine), theirs.frame(number), ANIMATION_SLACK)
        if words:
            return f"frame {number} of {theirs.count} {words}"
    return None


def judge(job, scratch):
    """What the references say of one file, and whether an exported picture agrees with one of them."""
    verdict = {"shown": {}, "refused": {}, "differences": {}, "agrees": None}
    ours = None
    if job["exported"]:
        try:
            ours = Opened(job["exported"], True)
            ours.frame(0)
        except Exception as error:
            verdict["unreadable"] = f"{type(error).__name__}: {error}"[:200]
            return verdict
    for name, reference in references():
        try:
            theirs = reference(job["path"], job["kind"], scratch)
            if job["kind"] not in ("TGA", "other") and theirs.format is None:
                raise Refused("not recognised")
            try:
                theirs.frame(0)
            except Refused:
                theirs = None
        except Unasked:
            continue
        except Exception as error:  # Whatever a decoder says of a hostile file is its refusal.
            verdict["refused"][name] = f"{type(error).__name__}: {error}"[:200] if not isinstance(error, Refused) else str(error)
            continue
        if theirs is None:
            verdict["refused"][name] = "shows it in no agreed way"
            continue
        first = theirs.frame(0)
        verdict["shown"][name] = [first.width, first.height, theirs.count]
        if ours is None:
            continue
        try:
            words = compare(ours, theirs)
        except Exception as error:
            words = f"not compared: {type(error).__name__}: {error}"[:200]
        if words is None:
            verdict["agrees"] = name
            return verdict
        verdict["differences"][name] = words
    return verdict


def serve_references():
    """Reads jobs as JSON lines and answers each with a line."""
    resource.setrlimit(resource.RLIMIT_AS, (REFERENCE_MEMORY, REFERENCE_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory(prefix="check-corpus-reference.") as scratch:
        for line in sys.stdin:
            try:
                verdict = judge(json.loads(line), scratch)
            except Exception as error:  # The next file is to be judged all the same.
                verdict = {"broken": f"{type(error).__name__}: {error}"[:300]}
            answers.write(json.dumps(verdict) + "\n")
            answers.flush()


class ReferenceWorker:
    """A process that judges files one after the other, started anew when it dies or hangs."""

    def __init__(self):
        self.process = None

    def ask(self, job):
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, os.path.abspath(__file__), "--serve-references"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True)
        timer = threading.Timer(REFERENCE_SECONDS, self.kill, [self.process])
        timer.start()
        try:
            self.process.stdin.write(json.dumps(job) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        timer.cancel()
        if answer:
            return json.loads(answer)
        self.kill(self.process)
        self.process.wait()
        self.process = None
        return {"broken": "the reference died or took too long"}

    @staticmethod
    def kill(process):
        # Its own session: the decoders that it started go with it.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def stop(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()


# ---------------------------------------------------------------------------------------------------------------------
# imagepool under watch.


class Run:
    """One run of the binary: its exit, its peak memory, its time, and when lines came into its report."""

    def __init__(self, binary, gallery, arguments, seconds, report=None):
        self.arrivals = []
        self.memory = []
        started = time.monotonic()
        with tempfile.TemporaryFile() as words:
            process = subprocess.Popen(
                [binary, "--gallery", gallery, *arguments], stdin=subprocess.DEVNULL, stdout=words, stderr=words)
            status, usage = self.watch(process.pid, started, seconds, report)
            process.returncode = 0
            words.seek(0)
            self.words = words.read().decode(errors="replace")
        self.seconds = time.monotonic() - started
        self.signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        self.code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        self.peak_mb = usage.ru_maxrss / 1024

    def watch(self, pid, started, seconds, report):
        lines = 0
        while True:
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if ended:
                return status, usage
            now = time.monotonic() - started
            if now > seconds:
                os.kill(pid, signal.SIGKILL)
                _, status, usage = os.wait4(pid, 0)
                return status, usage
            if report and os.path.exists(report):
                with open(report, "rb") as file:
                    count = file.read().count(b"\n")
                if count > lines:
                    self.arrivals.append((now, lines, count))
                    lines = count
            self.memory.append((now, resident_mb(pid), lines))
            time.sleep(0.02 if now < 5 else 0.2)

    def ending(self):
        return f"signal {self.signal}" if self.signal else f"exit code {self.code}"

    def ended_well(self):
        return self.code in (0, 1)


def resident_mb(pid):
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
    except (OSError, IndexError, ValueError):
        return 0.0


def read_report(path):
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return [json.loads(line) for line in file]


class Check:
    def __init__(self, options):
        self.options = options
        self.corpus = os.path.abspath(options.corpus)
        self.work = tempfile.mkdtemp(prefix="check-corpus.", dir=options.work)
        self.violations = []
        self.excepted = []
        self.doubtful = []
        self.lenient = []
        self.facts = []
        self.files = {}

    def relative(self, path):
        return os.path.relpath(path, self.corpus)

    def fact(self, words):
        print(words, file=sys.stderr, flush=True)
        self.facts.append(words)

    def violate(self, kind, path, words):
        for kinds, pattern, reason in EXCEPTIONS:
            if path and fnmatch.fnmatchcase(kind, kinds) and fnmatch.fnmatchcase(path, pattern):
                self.excepted.append((kind, path, words, reason))
                return
        self.violations.append((kind, path, words))

    def run(self, gallery, arguments, seconds, report=None):
        return Run(self.options.binary, gallery, arguments, seconds, report)

    def import_(self, source, name, seconds, jobs=None):
        gallery = os.path.join(self.work, name + ".pool")
        report = os.path.join(self.work, name + ".jsonl")
        arguments = ["import", "--quality", str(self.options.quality), "--report", report, "--quiet", "--no-dir-tags"]
        if jobs:
            arguments += ["--jobs", str(jobs)]
        run = self.run(gallery, [*arguments, source], seconds, report)
        lines = read_report(report) if os.path.exists(report) else []
        return gallery, run, lines

    # -- (a), (b): the import itself

    def import_everything(self):
        gallery, run, lines = self.import_(self.corpus, "all", self.options.time_limit)
        self.fact(f"import: {run.ending()}, {run.seconds:.1f} s, peak {run.peak_mb:.0f} MB, {len(lines)} lines")
        if not run.ended_well():
            self.violate("ending", None, f"import ended with {run.ending()}: {run.words[-500:]}")
        if run.peak_mb > self.options.max_rss:
            self.violate("memory", None, f"import took {run.peak_mb:.0f} MB, more than {self.options.max_rss}")
        self.read_lines(lines)
        suspects = self.suspects(run, lines)
        verify = self.run(gallery, ["verify", "--deep"], self.options.time_limit)
        self.fact(f"verify --deep: {verify.ending()}, {verify.seconds:.1f} s")
        if verify.code != 0:
            self.violate("verify", None, f"verify --deep: {verify.ending()}: {verify.words[-1000:]}")
        self.exports = os.path.join(self.work, "exports")
        os.mkdir(self.exports)
        export = self.run(gallery, ["export", "--all", self.exports], self.options.time_limit)
        if export.code != 0:
            self.violate("export", None, f"export --all: {export.ending()}: {export.words[-500:]}")
        return suspects

    def read_lines(self, lines):
        expected = {}
        for folder, _, names in os.walk(self.corpus):
            for name in names:
                path = os.path.join(folder, name)
                # The report shows names that are not UTF-8 with replacement characters.
                expected[os.fsencode(path).decode(errors="replace")] = path
        counted = collections.Counter(line["path"] for line in lines)
        for shown, path in expected.items():
            if counted[shown] != 1:
                self.violate("lines", self.relative(path), f"{counted[shown]} lines in the report")
        for line in lines:
            path = expected.get(line["path"])
            if path is None:
                self.violate("lines", None, f"a line for {line['path']}, which is not in the corpus")
                continue
            relative = self.relative(path)
            self.files[relative] = {"path": path, "kind": sniff(path), "line": line}
            reason = line.get("reason") or ""
            if line["status"] in ("failed", "not_image") and not reason:
                self.violate("reason", relative, f"{line['status']} without a reason")
            if "panicked" in reason or "gave up" in reason:
                self.violate("panic", relative, reason)
            in_gallery = line["status"] in ("imported", "already_present", "duplicate")
            if in_gallery and relative.startswith("bombs/truncated."):
                self.violate("truncated", relative, "was imported though half of it is missing")
            if not in_gallery and relative.startswith("bombs/sound-") and "--memory" not in reason:
                self.violate("bomb", relative, f"was refused, and not for the memory that it takes: {reason}")
            if in_gallery and relative.startswith("bombs/claims-"):
                self.violate("bomb", relative, "was imported though it claims a size that it does not have")

    def suspects(self, run, lines):
        """Bombs, and files whose lines came late or while memory was high."""
        if self.options.each:
            return sorted(self.files)
        chosen = {path for path in self.files if path.startswith("bombs/")}
        previous = 0.0
        for now, first, last in run.arrivals:
            if now - previous > STAND_ALONE_SECONDS:
                chosen |= {self.relative(line["path"]) for line in lines[first : min(last, first + 20)]}
            previous = now
        high = 0.7 * self.options.max_rss
        for _, memory, first in run.memory:
            if memory > high:
                chosen |= {self.relative(line["path"]) for line in lines[first : first + 10]}
        return sorted(chosen & self.files.keys())

    def import_alone(self, suspects):
        for relative in suspects:
            entry = self.files[relative]
            _, run, lines = self.import_(entry["path"], "alone", 2 * self.options.file_limit)
            entry["alone"] = {"seconds": round(run.seconds, 2), "peak_mb": round(run.peak_mb)}
            if not run.ended_well():
                self.violate("ending", relative, f"alone: {run.ending()} after {run.seconds:.1f} s: {run.words[-300:]}")
            if run.seconds > self.options.file_limit:
                self.violate("time", relative, f"alone: {run.seconds:.1f} s, more than {self.options.file_limit}")
            if run.peak_mb > self.options.max_rss:
                self.violate("memory", relative, f"alone: {run.peak_mb:.0f} MB, more than {self.options.max_rss}")
            if len(lines) != 1:
                self.violate("lines", relative, f"alone: {len(lines)} lines in the report")
            for name in os.listdir(self.work):
                if name.startswith("alone."):
                    os.remove(os.path.join(self.work, name))

    def import_special_files(self):
        """Files that are none: whoever opens a FIFO waits for ever, and /dev/zero has no end."""
        folder = os.path.join(self.work, "special")
        os.makedirs(os.path.join(folder, "below"))
        os.mkfifo(os.path.join(folder, "fifo.png"))
        os.mkfifo(os.path.join(folder, "below", "fifo"))
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.path.join(folder, "socket.jpg"))
        os.symlink("nowhere.png", os.path.join(folder, "dangling.png"))
        os.symlink("round.png", os.path.join(folder, "round.png"))
        os.symlink("..", os.path.join(folder, "below", "up"))
        os.symlink("fifo.png", os.path.join(folder, "to-fifo.png"))
        os.symlink("/dev/zero", os.path.join(folder, "to-zero.png"))
        if os.geteuid() == 0:
            for name, number in (("null.png", (1, 3)), ("zero.png", (1, 5)), ("terminal.png", (5, 0))):
                try:
                    os.mknod(os.path.join(folder, name), 0o020666, os.makedev(*number))
                except OSError as error:
                    self.fact(f"no device nodes: {error}")
                    break
        with open(os.path.join(folder, "text.png"), "w") as file:
            file.write("no picture\n")
        _, run, lines = self.import_(folder, "specials", 20)
        listener.close()
        self.fact(f"special files: {run.ending()}, {run.seconds:.1f} s")
        for line in lines:
            self.fact(f"  {os.path.relpath(line['path'], folder)}: {line['status']}, {line['reason']}")
        if not run.ended_well() or run.seconds > 10:
            self.violate("special", None, f"FIFOs, sockets and devices: {run.ending()} after {run.seconds:.1f} s")
        if any(line["status"] not in ("not_image", "failed") for line in lines):
            self.violate("special", None, "something that is no file was imported")

    # -- (c): the references

    def ask_references(self):
        jobs = queue.Queue()
        for relative, entry in sorted(self.files.items()):
            exported = None
            if entry["line"].get("id"):
                exported = os.path.join(self.exports, entry["line"]["id"] + ".webp")
                if not os.path.exists(exported):
                    self.violate("export", relative, f"{entry['line']['id']} was not exported")
                    exported = None
            jobs.put((relative, {"path": entry["path"], "kind": entry["kind"], "exported": exported}))

        def work():
            worker = ReferenceWorker()
            while True:
                try:
                    relative, job = jobs.get_nowait()
                except queue.Empty:
                    break
                self.files[relative]["verdict"] = worker.ask(job)
            worker.stop()

        threads = [threading.Thread(target=work) for _ in range(self.options.jobs)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            threads[0].join(30)
            print(f"  {jobs.qsize()} files to compare", file=sys.stderr, flush=True)
            for thread in threads:
                thread.join(0.1)

    def weigh(self):
        available = len(references())
        for relative, entry in sorted(self.files.items()):
            verdict, line, kind = entry.get("verdict", {}), entry["line"], entry["kind"]
            shown = verdict.get("shown", {})
            imported = bool(line.get("id"))
            entry["shown"] = bool(shown)
            entry["imported"] = imported
            entry["agrees"] = imported and bool(verdict.get("agrees"))
            words = ", ".join(f"{name} shows {w} x {h}" + (f", {n} frames" if n > 1 else "") for name, (w, h, n) in shown.items())
            if verdict.get("broken"):
                self.lenient.append((relative, kind, f"not compared: {verdict['broken']}"))
            elif verdict.get("unreadable"):
                self.violate("unreadable", relative, f"{kind} {line['id']}.webp can't be read: {verdict['unreadable']}")
            elif not imported and shown and kind in TAKEN:
                refusals = "; ".join(f"{name}: {why}" for name, why in verdict["refused"].items())
                said = f"{kind} {line['status']}: {line['reason']} -- but {words}"
                if len(shown) == 1 and available > 1 and verdict["refused"]:
                    self.doubtful.append((relative, f"{said} ({refusals})"))
                    if self.options.strict:
                        self.violate("refused", relative, said)
                else:
                    self.violate("refused", relative, said)
            elif imported and shown and not verdict["agrees"]:
                differences = "; ".join(f"{name}: {why}" for name, why in verdict["differences"].items())
                self.violate("pixels", relative, f"{kind} {differences}")
            elif imported and not shown:
                refusals = "; ".join(f"{name}: {why}" for name, why in verdict["refused"].items())
                self.lenient.append((relative, kind, refusals))

    # -- (d): what is said

    def table(self):
        rows = collections.defaultdict(lambda: [0, 0, 0, 0, 0])
        for entry in self.files.values():
            row = rows[entry["kind"] if entry["kind"] in TAKEN else "other"]
            row[0] += 1
            row[1] += entry["shown"]
            row[2] += entry["imported"]
            row[3] += entry["shown"] and entry["imported"]
            row[4] += entry["agrees"]
        yield "| format | files | a reference shows it | imported | both | and they agree |"
        yield "|---|---:|---:|---:|---:|---:|"
        for kind in [*TAKEN, "other"]:
            if kind in rows:
                yield f"| {kind} | " + " | ".join(map(str, rows[kind])) + " |"
        yield "| all | " + " | ".join(str(sum(row[n] for row in rows.values())) for n in range(5)) + " |"

    def markdown(self):
        yield "# imagepool on a corpus of odd, broken and hostile files"
        yield ""
        yield from (f"- {fact}" for fact in self.facts)
        yield ""
        yield from self.table()
        yield ""
        yield f"## Violations ({len(self.violations)})"
        yield ""
        for kind, path, words in sorted(self.violations, key=lambda v: (v[0], v[1] or "")):
            yield f"- {kind}: {f'`{path}`: ' if path else ''}{words}"
        yield ""
        yield f"## Argued exceptions ({len(self.excepted)})"
        yield ""
        for kind, path, words, reason in self.excepted:
            yield f"- {kind}: `{path}`: {words}. Right, because: {reason}"
        yield ""
        yield f"## Doubtful: refused, and one reference of several shows it ({len(self.doubtful)})"
        yield ""
        yield from (f"- `{path}`: {words}" for path, words in self.doubtful)
        yield ""
        yield f"## Imported or unknown, and no reference shows it ({len(self.lenient)})"
        yield ""
        yield from (f"- `{path}`: {kind}: {words}" for path, kind, words in self.lenient)
        yield ""
        yield "## Alone"
        yield ""
        yield "| file | seconds | peak MB |"
        yield "|---|---:|---:|"
        alone = [(path, entry["alone"]) for path, entry in self.files.items() if "alone" in entry]
        for path, cost in sorted(alone, key=lambda item: -item[1]["peak_mb"])[:40]:
            yield f"| `{path}` | {cost['seconds']} | {cost['peak_mb']} |"

    def save(self):
        text = "\n".join(self.markdown()) + "\n"
        text = text.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")
        if self.options.markdown:
            with open(self.options.markdown, "w", encoding="utf-8") as file:
                file.write(text)
        else:
            print(text)
        if self.options.json:
            with open(self.options.json, "w", encoding="utf-8") as file:
                json.dump({"facts": self.facts, "violations": self.violations, "excepted": self.excepted,
                           "doubtful": self.doubtful, "lenient": self.lenient, "files": self.files}, file, indent=1)

    def whole(self):
        suspects = self.import_everything()
        self.import_special_files()
        self.import_alone(suspects)
        if not self.options.import_only:
            self.ask_references()
            self.weigh()
        else:
            for entry in self.files.values():
                entry.update(shown=False, imported=bool(entry["line"].get("id")), agrees=False)
        self.save()
        if self.options.keep:
            print(f"kept {self.work}", file=sys.stderr)
        else:
            shutil.rmtree(self.work)
        return 1 if self.violations else 0


def arguments():
    checkout = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser = argparse.ArgumentParser(description="Imports a corpus and compares the gallery with reference decoders.")
    parser.add_argument("corpus", help="folder made by scripts/fetch-corpus.sh")
    parser.add_argument("--binary", default=os.path.join(checkout, "target/release/imagepool"))
    parser.add_argument("--work", help="folder for galleries and exported pictures (a temporary one)")
    parser.add_argument("--keep", action="store_true", help="leave galleries and exported pictures there")
    parser.add_argument("--max-rss", type=int, default=1000, help="peak memory of an import, in MB (1000)")
    parser.add_argument("--time-limit", type=int, default=1800, help="of the import of all, in seconds (1800)")
    parser.add_argument("--file-limit", type=float, default=20, help="of any file alone, in seconds (20)")
    parser.add_argument("--quality", type=int, default=REFERENCE_QUALITY,
                        help="of the WebP, high so that noise hides nothing (95)")
    parser.add_argument("--jobs", type=int, default=2, help="reference decoders at once (2)")
    parser.add_argument("--import-only", action="store_true", help="ask no reference decoder")
    parser.add_argument("--each", action="store_true", help="import each file alone too, not only the suspicious")
    parser.add_argument("--strict", action="store_true", help="doubtful files are violations too")
    parser.add_argument("--markdown", help="file for the result (stdout)")
    parser.add_argument("--json", help="file for everything, for programs")
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve-references"]:
        serve_references()
        sys.exit(0)
    sys.exit(Check(arguments()).whole())
