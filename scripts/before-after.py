#!/usr/bin/env python3
"""Shows what imagepool makes of every kind of picture, and checks it.

    scripts/before-after.py OUT [--binary FILE] [--only WORDS]... [--profiles DIR]...

Makes a source picture of every kind (orientations, colour profiles, bit depths, disposals, headers and so on, by
before_after/kinds.py), imports them all into a gallery in a scratch folder, exports them, and writes OUT/index.html:
a row for each kind with the picture before, after, and their difference, and OUT/results.json for other programs.

A kind is right when it was imported, has its size, frames, times and loops, carries no metadata, and differs from
what it must look like by no more than lossy coding does: --mean on average, --block in any block of 16 x 16 pixels.

Exits 1 when a kind is wrong, and 2 when the import could not be run.

Needs Python 3.11, numpy, Pillow 11.3 or newer. The Debian packages imagemagick, libvips-tools, libavif-bin,
libheif-examples and libjxl-tools make some of the sources, and icc-profiles-free or ghostscript has a press's colour
profile; a kind that needs a program or profile that is missing is shown as skipped.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path

# Importing its parts leaves no files in the checkout.
sys.dont_write_bytecode = True

from before_after import kinds, page, reference  # noqa: E402

CHECKOUT = Path(__file__).resolve().parent.parent
STRIP = 4


@dataclass
class Result:
    """What became of a kind, and what is wrong with it."""

    kind: kinds.Kind
    report: dict
    before: reference.Picture | None = None
    after: reference.Picture | None = None
    stored: reference.Stored | None = None
    stored_bytes: int = 0
    difference: reference.Difference | None = None
    moments: list = field(default_factory=list)  # pairs of frames: (label, before, after)
    wrong: list = field(default_factory=list)
    images: dict = field(default_factory=dict)  # addresses on the page


def main():
    options = parse()
    out = options.out
    for name in ("sources", "stored", "shown"):
        shutil.rmtree(out / name, ignore_errors=True)
        (out / name).mkdir(parents=True)
    # Some sources are odd on purpose; Pillow says so at length.
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        everything = kinds.make_all(out / "sources", options.profiles)
        shutil.rmtree(out / "scratch", ignore_errors=True)
        chosen = [kind for kind in everything if wanted(kind, options.only)]
        for kind in everything:
            if kind not in chosen and kind.file:
                kind.file.unlink()
        reports = run_import(options.binary, out, Path(scratch))
    results = [judge(kind, reports, out, options) for kind in chosen]
    for number, result in enumerate(results):
        page.write_images(result, number, out)
    version = subprocess.run([options.binary, "--version"], capture_output=True, text=True).stdout.strip()
    page.write(results, out, version, options)
    write_json(results, out)
    return summarise(results, out)


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS
    )
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--binary", type=Path, default=CHECKOUT / "target/release/imagepool", metavar="FILE")
    parser.add_argument("--only", action="append", default=[], metavar="WORDS", help="kinds whose name has them")
    parser.add_argument("--profiles", action="append", metavar="DIR", help="where colour profiles are installed")
    parser.add_argument("--mean", type=float, default=5.0, help="most mean difference, of 255 (%(default)s)")
    parser.add_argument("--block", type=float, default=10.0, help="most difference of a block, of 255 (%(default)s)")
    options = parser.parse_args()
    options.out = options.out.resolve()
    options.profiles = options.profiles or ["/usr/share/color/icc", "/usr/local/share/color/icc"]
    if not options.binary.exists():
        parser.error(f"{options.binary}: no such program; build it or name it with --binary")
    options.binary = options.binary.resolve()
    return options


def wanted(kind, only):
    name = f"{kind.group}: {kind.name}".lower()
    return not only or any(words.lower() in name for words in only)


def run_import(binary, out, scratch):
    """The report's lines by the name of the file; the stored pictures lie in OUT/stored."""
    gallery, report = scratch / "sheet.pool", scratch / "report.jsonl"
    common = [binary, "--gallery", gallery]
    flags = subprocess.run([binary, "import", "--help"], capture_output=True, text=True).stdout
    command = [*common, "import", out / "sources", "--json", "--report", report]
    if "--renditions" in flags:
        command += ["--renditions", "none"]
    done = subprocess.run(command, capture_output=True, text=True)
    # 1 says that a picture could not be imported; the report says which.
    if done.returncode not in (0, 1):
        sys.exit(fail(f"the import ended with {done.returncode}: {done.stderr.strip()[-2000:]}"))
    if not report.exists():
        sys.exit(fail(f"the import wrote no report: {done.stderr.strip()[-2000:]}"))
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    export = subprocess.run([*common, "export", "--all", out / "stored"], capture_output=True, text=True)
    if export.returncode:
        sys.exit(fail(f"the export ended with {export.returncode}: {export.stderr.strip()[-2000:]}"))
    return {Path(line["path"]).name: line for line in lines}


def fail(message):
    print(f"before-after.py: {message}", file=sys.stderr)
    return 2


# --- judging ---


def judge(kind, reports, out, options):
    if kind.skipped:
        return Result(kind, {"status": "skipped", "reason": kind.skipped})
    report = reports.get(kind.file.name, {"status": "not in the report"})
    result = Result(kind, report)
    result.before = kind.truth or reference.decode(kind.file)
    # Two sources with the same pixels become one image.
    if report["status"] not in ("imported", "duplicate") or not report.get("id"):
        result.wrong.append(f"{report['status'].replace('_', ' ')}: {report.get('reason') or 'no reason is given'}")
        return result
    path = out / "stored" / f"{report['id']}.webp"
    if not path.exists():
        result.wrong.append("reported as stored, but not exported")
        return result
    result.images["after"] = f"stored/{path.name}"
    data = path.read_bytes()
    result.stored_bytes = len(data)
    result.after, result.stored = reference.decode_stored(path)
    judge_file(result, data)
    judge_size(result)
    judge_pictures(result, options)
    return result


def judge_file(result, data):
    kind, stored = result.kind, result.stored
    left = [name for name in stored.metadata if name != "ICCP"]
    if left:
        result.wrong.append("metadata is left: " + ", ".join(left))
    if "ICCP" in stored.metadata and not kind.profile_may_stay:
        result.wrong.append("it is not converted to sRGB: the colour profile is left in it")
    found = [secret.decode("latin-1").strip("\0") for secret in kind.secrets if secret in data]
    if found:
        result.wrong.append("private data is left: " + ", ".join(found))
    if kind.coding and kind.coding not in stored.coding:
        result.wrong.append(f"stored {stored.coding}, not {kind.coding}")
    if kind.untouched and data != kind.file.read_bytes():
        result.wrong.append("not stored byte for byte")


def judge_size(result):
    kind, report, after = result.kind, result.report, result.after
    if result.before is None:
        result.wrong.append("no reference decoder could read the source")
        return
    if kind.scaled:
        width, height = result.before.size
        scale = kinds.MOST_SIDE / max(width, height)
        result.before = reference.shrink(result.before, (round(width * scale), round(height * scale)))
        if not any("scale" in note for note in report.get("notes", [])):
            result.wrong.append("the report does not say that it was scaled down")
    if after.size != result.before.size:
        result.wrong.append("size is {} x {}, not {} x {}".format(*after.size, *result.before.size))
    reported = (report.get("width"), report.get("height"))
    if reported != after.size:
        result.wrong.append("the report says {} x {}, the file {} x {}".format(*reported, *after.size))
    if report.get("bytes_out") != result.stored_bytes:
        result.wrong.append(f"the report says {report.get('bytes_out')} bytes, the file has {result.stored_bytes}")


def judge_pictures(result, options):
    kind, before, after = result.kind, result.before, result.after
    if before is None or before.size != after.size:
        return
    if len(before.frames) > 1 and len(after.frames) == 1:
        result.wrong.append(f"only the first of {len(before.frames)} frames is left")
    elif len(before.frames) > 1:
        judge_times(result)
    pairs = paired(before, after)
    result.difference = reference.Difference()
    for _, first, second in pairs:
        result.difference = result.difference.worse(reference.difference(first, second))
    if len(before.frames) > 1:
        count = len(pairs)
        numbers = sorted({0, count // 4, count // 2, count - 1})
        result.moments = [pairs[number] for number in numbers]
    mean, block = options.mean * kind.loose, options.block * kind.loose
    # A rendering that is exact in alpha may still round a colour that is all but transparent.
    if kind.exact:
        mean = block = 0.02
    if result.difference.mean > mean:
        result.wrong.append(f"mean difference {result.difference.mean:.2f}, more than {mean:g}")
    if result.difference.block > block:
        result.wrong.append(f"a block differs by {result.difference.block:.1f}, more than {block:g}")


def judge_times(result):
    kind, before, after = result.kind, result.before, result.after
    if before.loops is not None and after.loops != before.loops:
        result.wrong.append(f"plays {plays(after.loops)}, not {plays(before.loops)}")
    if kind.any_delay:
        return
    if sum(after.durations) != sum(before.durations):
        result.wrong.append(f"lasts {sum(after.durations)} ms, not {sum(before.durations)} ms")
    elif len(after.frames) == len(before.frames) and after.durations != before.durations:
        result.wrong.append(f"frames last {after.durations} ms, not {before.durations} ms")


def plays(loops):
    return "for ever" if loops == 0 else f"{loops} time{'' if loops == 1 else 's'}"


def paired(before, after):
    """Frames that are seen at the same time: an encoder may merge frames that do not change.

    Where only one is left, it is seen all the time.
    """
    if len(before.frames) == 1:
        return [("0", before.frames[0], after.frames[0])]
    if len(before.frames) == len(after.frames):
        return [(str(i), *pair) for i, pair in enumerate(zip(before.frames, after.frames))]
    pairs, start = [], 0
    for number, (frame, duration) in enumerate(zip(before.frames, before.durations)):
        pairs.append((str(number), frame, after.at(start + duration / 2)))
        start += duration
    return pairs


# --- answers ---


def write_json(results, out):
    rows = [
        {
            "group": result.kind.group,
            "name": result.kind.name,
            "file": result.kind.file and f"sources/{result.kind.file.name}",
            "status": result.report["status"],
            "notes": result.report.get("notes", []),
            "wrong": result.wrong,
            "mean": result.difference and round(result.difference.mean, 3),
            "block": result.difference and round(result.difference.block, 3),
            "coding": result.stored and result.stored.coding,
            "bytes_out": result.stored_bytes,
        }
        for result in results
    ]
    (out / "results.json").write_text(json.dumps(rows, indent=1) + "\n")


def summarise(results, out):
    wrong = [result for result in results if result.wrong]
    skipped = [result for result in results if result.kind.skipped]
    for result in wrong:
        print(f"{result.kind.group}: {result.kind.name}: " + re.sub(r"\s+", " ", "; ".join(result.wrong)))
    for result in skipped:
        print(f"{result.kind.group}: {result.kind.name}: skipped: {result.kind.skipped}")
    right = len(results) - len(wrong) - len(skipped)
    print(f"{len(results)} kinds: {right} right, {len(wrong)} wrong, {len(skipped)} skipped; {out / 'index.html'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
