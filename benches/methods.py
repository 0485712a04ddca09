#!/usr/bin/env python3
"""Compares ways of encoding lossy WebP, by Debian's cwebp, over the JPEGs and PNGs of a folder: CPU time, bytes, mean SSIM.

docs/performance.md has what it said when the methods were chosen. Decoding is part of the time. SSIM is of opaque pictures, against
their source as Pillow decodes it.

Needs cwebp (Debian's package webp), Python 3.9, Pillow and numpy.

  benches/methods.py PICTURES_DIR ["-m 4" "-m 3" ...]
"""

import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile

from PIL import Image

sys.dont_write_bytecode = True
import measure  # noqa: E402

QUALITY = "75"
MOST_PICTURES = 60


def pictures(folder):
    """Some of the pictures, spread over the folder."""
    found = sorted(entry.path for entry in os.scandir(folder)
                   if entry.name.lower().endswith((".jpg", ".jpeg", ".png")))
    step = max(1, len(found) // MOST_PICTURES)
    return found[::step]


def encoded_path(source, target):
    return os.path.join(target, os.path.basename(source) + ".webp")


def encode(sources, arguments, target):
    """Seconds of CPU that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for source in sources:
        subprocess.run(["cwebp", "-quiet", "-q", QUALITY, *arguments, source, "-o", encoded_path(source, target)],
                       stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def similarity(job):
    source, encoded = job
    picture = Image.open(source)
    if picture.mode not in ("RGB", "L"):
        return None
    return measure.ssim(measure.luma(picture.convert("RGB")), measure.luma(Image.open(encoded).convert("RGB")))


def main():
    if len(sys.argv) < 2 or not os.path.isdir(sys.argv[1]):
        sys.exit(__doc__)
    Image.MAX_IMAGE_PIXELS = None
    sources = pictures(sys.argv[1])
    print(f"{len(sources)} pictures, quality {QUALITY}\n\n| cwebp | CPU, s | bytes, MB | mean SSIM |\n|---|---:|---:|---:|")
    for arguments in sys.argv[2:] or ["-m 4", "-m 3", "-m 2"]:
        with tempfile.TemporaryDirectory() as target, multiprocessing.Pool() as pool:
            seconds = encode(sources, arguments.split(), target)
            size = sum(entry.stat().st_size for entry in os.scandir(target))
            pairs = [(source, encoded_path(source, target)) for source in sources]
            found = [value for value in pool.map(similarity, pairs) if value is not None]
        print(f"| {arguments} | {seconds:.1f} | {size / 1e6:.3f} | {sum(found) / len(found):.5f} |", flush=True)


if __name__ == "__main__":
    main()
