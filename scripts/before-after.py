#!/usr/bin/env python3
"""Shows what imagepool makes of every kind of picture, and checks it.

    scripts/before-after.py OUT [--binary FILE] [--only WORDS]... [--profiles DIR]...

Makes a source picture of every kind in before-after.toml (orientations, colour profiles, bit
depths, disposals, headers and so on), imports them all into a gallery in a scratch folder, exports
them, and writes OUT/index.html: a row for each kind with the picture before, after, and their
difference.

A kind is right when it was imported, has its size, frames, times and loops, carries no metadata,
and differs from what it must look like by no more than lossy coding does: --mean on average,
--block in any block of 16 x 16 pixels.

Exits 1 when a kind is wrong, and 2 when the import could not be run.

Needs Python 3.11 with numpy, Pillow 12 or newer, tifffile, imagecodecs and jinja2 (pip). The Debian
packages imagemagick, libvips-tools, libavif-bin, libheif-examples and libjxl-tools make some of the
sources, and icc-profiles-free or ghostscript has a press's colour profile; a kind that needs a
program or profile that is missing is shown as skipped.
"""

import argparse
import json
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

# Importing the package leaves no files in the checkout.
sys.dont_write_bytecode = True

import jinja2  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image, UnidentifiedImageError  # noqa: E402

from pictures import compare, display, kinds  # noqa: E402

HERE = Path(__file__).resolve().parent
BLOCK = 16
# A sliver at the edge is too few pixels to average noise away.
LEAST_BLOCK_PIXELS = BLOCK * BLOCK // 2
# A rendering that is exact in alpha may still round a colour that is all but transparent.
EXACT = 0.02
AMPLIFIED = 8
CODINGS = {"VP8 ": "lossy", "VP8L": "lossless", "ALPH": "alpha"}


@dataclass
class Stored:
    """A stored WebP, and what its chunks say."""

    data: bytes
    picture: display.Picture
    chunks: set[str]
    coding: str


@dataclass
class Result:
    """What became of a kind, and what is wrong with it."""

    kind: kinds.Kind
    report: dict
    before: display.Picture | None = None
    after: display.Picture | None = None
    stored: Stored | None = None
    mean: float | None = None
    block: float | None = None
    moments: list[tuple] = field(default_factory=list)  # number of the frame, before, after
    wrong: list[str] = field(default_factory=list)
    images: dict = field(default_factory=dict)  # addresses on the page


def main() -> int:
    options = parse()
    out = options.out
    for name in ("sources", "stored", "shown"):
        shutil.rmtree(out / name, ignore_errors=True)
        (out / name).mkdir(parents=True)
    # Some sources are odd on purpose; Pillow says so at length.
    warnings.simplefilter("ignore")
    chosen = []
    for kind in kinds.make_all(out / "sources", options.profiles):
        title = f"{kind.group}: {kind.name}".lower()
        if not options.only or any(words.lower() in title for words in options.only):
            chosen.append(kind)
        elif kind.file:
            kind.file.unlink()
    with tempfile.TemporaryDirectory() as scratch:
        reports = run_import(options.binary, out, Path(scratch))
    results = [judge(kind, reports, options) for kind in chosen]
    for number, result in enumerate(results):
        write_images(result, number, out)
    write_page(results, options)
    return summarise(results, out)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage=argparse.SUPPRESS,
    )
    binary = HERE.parent / "target/release/imagepool"
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--binary", type=Path, default=binary, metavar="FILE")
    parser.add_argument("--only", action="append", default=[], metavar="WORDS", help="of the name")
    parser.add_argument("--profiles", action="append", metavar="DIR", help="has colour profiles")
    parser.add_argument("--mean", type=float, default=5.0, help="most on average, of 255 (5)")
    parser.add_argument("--block", type=float, default=10.0, help="most of a block, of 255 (10)")
    options = parser.parse_args()
    options.out = options.out.resolve()
    default = ["/usr/share/color/icc", "/usr/local/share/color/icc"]
    options.profiles = options.profiles or default
    if not options.binary.exists():
        parser.error(f"{options.binary}: no such program; build it or name it with --binary")
    options.binary = options.binary.resolve()
    return options


def run_import(binary: Path, out: Path, scratch: Path) -> dict[str, dict]:
    """The report's lines by the name of the file; the stored pictures lie in OUT/stored."""
    report = scratch / "report.jsonl"

    def run(*command: object, fine: tuple[int, ...]) -> None:
        line = [binary, "--gallery", scratch / "sheet.pool", *command]
        done = subprocess.run(line, capture_output=True, text=True)
        if done.returncode not in fine:
            said = done.stderr.strip()[-2000:]
            fail(f"the {command[0]} ended with {done.returncode}: {said}")

    # 1 says that a picture could not be imported; the report says which.
    flags = ["--json", "--renditions", "none", "--report", report]
    run("import", out / "sources", *flags, fine=(0, 1))
    if not report.exists():
        fail("the import wrote no report")
    run("export", "--all", out / "stored", fine=(0,))
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    return {Path(line["path"]).name: line for line in lines}


def fail(message: str) -> None:
    print(f"before-after.py: {message}", file=sys.stderr)
    sys.exit(2)


# --- decoding ---


def decode_source(path: Path) -> display.Picture | None:
    """By Pillow, or by the tool of the format where Pillow has none. None when nothing here can."""
    tool = {".heic": "heif-convert", ".jxl": "djxl"}.get(path.suffix)
    if not tool:
        try:
            return display.decode(path)
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, display.Refused):
            return None
    if not shutil.which(tool):
        return None
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.png"
        run = subprocess.run([tool, path, out], capture_output=True)
        # The tools turn the picture upright themselves; they may copy the tag that asked for it.
        return display.decode(out, turn=False) if run.returncode == 0 and out.exists() else None


def riff(data: bytes) -> Iterator[tuple[str, bytes]]:
    at = 12
    while at + 8 <= len(data):
        size = struct.unpack_from("<I", data, at + 4)[0]
        yield data[at : at + 4].decode("latin-1"), data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def read_stored(path: Path) -> Stored:
    """The pixels by libwebp in Pillow; times and loops from the file, where nothing rounds them."""
    data, chunks, inner = path.read_bytes(), set(), set()
    picture = display.decode(path)
    picture.durations, picture.loops = [], None
    for name, body in riff(data):
        chunks.add(name)
        if name == "ANIM":
            picture.loops = struct.unpack_from("<H", body, 4)[0]
        if name == "ANMF":
            picture.durations.append(int.from_bytes(body[12:15], "little"))
            inner |= {part for part, _ in riff(bytes(12) + body[16:])}
    codings = {CODINGS[name] for name in chunks | inner if name in CODINGS}
    return Stored(data, picture, chunks, ", ".join(sorted(codings, reverse=True)))


# --- judging ---


def judge(kind: kinds.Kind, reports: dict, options: argparse.Namespace) -> Result:
    if kind.skipped:
        return Result(kind, {"status": "skipped", "reason": kind.skipped})
    report = reports.get(kind.file.name, {"status": "not in the report"})
    result = Result(kind, report, kind.truth or decode_source(kind.file))
    # Two sources with the same pixels become one image.
    if report["status"] not in ("imported", "duplicate") or not report.get("id"):
        reason = report.get("reason") or "no reason is given"
        result.wrong.append(f"{report['status'].replace('_', ' ')}: {reason}")
        return result
    path = options.out / "stored" / f"{report['id']}.webp"
    if not path.exists():
        result.wrong.append("reported as stored, but not exported")
        return result
    result.images["after"] = f"stored/{path.name}"
    result.stored = read_stored(path)
    result.after = result.stored.picture
    result.wrong += wrong_in_file(result)
    result.wrong += wrong_in_size(result)
    result.wrong += wrong_in_pictures(result, options)
    return result


def wrong_in_file(result: Result) -> Iterator[str]:
    kind, stored = result.kind, result.stored
    left = sorted(stored.chunks & {"EXIF", "XMP "})
    if left:
        yield "metadata is left: " + ", ".join(left)
    if "ICCP" in stored.chunks and not kind.profile_may_stay:
        yield "it is not converted to sRGB: the colour profile is left in it"
    secrets = kinds.SECRETS if kind.private else []
    found = [secret.decode().strip("\0") for secret in secrets if secret in stored.data]
    if found:
        yield "private data is left: " + ", ".join(found)
    if kind.coding and kind.coding not in stored.coding:
        yield f"stored {stored.coding}, not {kind.coding}"
    if kind.untouched and stored.data != kind.file.read_bytes():
        yield "not stored byte for byte"


def wrong_in_size(result: Result) -> Iterator[str]:
    kind, report, after = result.kind, result.report, result.after
    if result.before is None:
        yield "no reference decoder could read the source"
        return
    if kind.scaled:
        width, height = result.before.size
        scale = kinds.MOST_SIDE / max(width, height)
        result.before = result.before.resized((round(width * scale), round(height * scale)))
        if not any("scale" in note for note in report.get("notes", [])):
            yield "the report does not say that it was scaled down"
    if after.size != result.before.size:
        yield "size is {} x {}, not {} x {}".format(*after.size, *result.before.size)
    reported = report.get("width"), report.get("height")
    if reported != after.size:
        yield "the report says {} x {}, the file {} x {}".format(*reported, *after.size)
    size_bytes = len(result.stored.data)
    if report.get("bytes_out") != size_bytes:
        yield f"the report says {report.get('bytes_out')} bytes, the file has {size_bytes}"


def wrong_in_pictures(result: Result, options: argparse.Namespace) -> Iterator[str]:
    kind, before, after = result.kind, result.before, result.after
    if before is None or before.size != after.size:
        return
    if len(before.frames) > 1 and len(after.frames) == 1:
        yield f"only the first of {len(before.frames)} frames is left"
    elif len(before.frames) > 1:
        yield from wrong_in_times(kind, before, after)
    pairs = paired(before, after)
    if len(pairs) > 1:
        count = len(pairs)
        numbers = sorted({0, count // 4, count // 2, count - 1})
        result.moments = [(number, *pairs[number]) for number in numbers]
    grounds = [each for pair in pairs for each in compare.apart(*pair, BLOCK)]
    result.mean = max(each.pixel_mean for each in grounds)
    result.block = max(largest_block(each) for each in grounds)
    mean, block = options.mean * kind.loose, options.block * kind.loose
    if kind.exact:
        mean = block = EXACT
    if result.mean > mean:
        yield f"mean difference {result.mean:.2f}, more than {mean:g}"
    if result.block > block:
        yield f"a block differs by {result.block:.1f}, more than {block:g}"


def largest_block(apart: compare.Apart) -> float:
    whole = apart.blocks[apart.block_pixels >= LEAST_BLOCK_PIXELS]
    return float(whole.max()) if whole.size else 0.0


def wrong_in_times(
    kind: kinds.Kind, before: display.Picture, after: display.Picture
) -> Iterator[str]:
    if before.loops is not None and after.loops != before.loops:
        yield f"plays {plays(after.loops)}, not {plays(before.loops)}"
    if kind.any_delay:
        return
    if sum(after.durations) != sum(before.durations):
        yield f"lasts {sum(after.durations)} ms, not {sum(before.durations)} ms"
    elif len(after.frames) == len(before.frames) and after.durations != before.durations:
        yield f"frames last {after.durations} ms, not {before.durations} ms"


def plays(loops: int | None) -> str:
    return "for ever" if loops == 0 else f"{loops} time{'' if loops == 1 else 's'}"


def paired(before: display.Picture, after: display.Picture) -> list[tuple]:
    """Frames that are seen at the same time: an encoder may merge frames that do not change.

    Where only one is left, it is seen all the time.
    """
    if len(before.frames) == 1:
        return [(before.frames[0], after.frames[0])]
    if len(before.frames) == len(after.frames):
        return list(zip(before.frames, after.frames, strict=True))
    starts = np.cumsum([0, *before.durations])
    middles = (starts[:-1] + starts[1:]) / 2
    if len(after.frames) == 1:
        return [(frame, after.frames[0]) for frame in before.frames]
    return [(frame, after.at(middle)) for frame, middle in zip(before.frames, middles, strict=True)]


# --- the page ---


def write_images(result: Result, number: int, out: Path) -> None:
    """The pictures that the page shows beside sources and stored files."""
    kind, before, after = result.kind, result.before, result.after

    def save(name: str, frames: list, **options: object) -> str:
        first, *others = map(Image.fromarray, frames)
        path = out / "shown" / f"{number}-{name}.png"
        if others:
            options |= {"save_all": True, "append_images": others, "blend": 0}
        first.save(path, **options)
        return f"shown/{path.name}"

    if kind.in_browsers:
        result.images["before"] = f"sources/{kind.file.name}"
    elif before is not None:
        times = {"duration": before.durations} if len(before.frames) > 1 else {}
        result.images["before"] = save("before", before.frames, loop=before.loops or 0, **times)
    if before is not None and after is not None and before.size == after.size:
        grounds = [compare.on(128, each.frames[0]) for each in (before, after)]
        apart = np.clip(np.abs(grounds[0] - grounds[1]) * AMPLIFIED, 0, 255).astype(np.uint8)
        result.images["apart"] = save("apart", [apart])
    result.images["strip"] = [
        (label, save(f"{label}-before", [first]), save(f"{label}-after", [second]))
        for label, first, second in result.moments
    ]


def write_page(results: list[Result], options: argparse.Namespace) -> None:
    groups: dict[str, list] = {}
    for number, result in enumerate(results):
        groups.setdefault(result.kind.group, []).append((number, result))
    run = subprocess.run([options.binary, "--version"], capture_output=True, text=True)
    loader = jinja2.FileSystemLoader(HERE)
    pages = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = pages.get_template("before-after.html").render(
        groups=groups,
        results=results,
        version=run.stdout.strip(),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        options=options,
        amplified=AMPLIFIED,
        plays=plays,
    )
    (options.out / "index.html").write_text(page)


def summarise(results: list[Result], out: Path) -> int:
    wrong = [result for result in results if result.wrong]
    skipped = [result for result in results if result.kind.skipped]
    for result in wrong + skipped:
        words = "; ".join(result.wrong) or f"skipped: {result.kind.skipped}"
        print(f"{result.kind.group}: {result.kind.name}: " + re.sub(r"\s+", " ", words))
    right = len(results) - len(wrong) - len(skipped)
    counts = f"{right} right, {len(wrong)} wrong, {len(skipped)} skipped"
    print(f"{len(results)} kinds: {counts}; {out / 'index.html'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
