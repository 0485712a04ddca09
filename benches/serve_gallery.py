"""Makes WebP files of noise to be served: serve_gallery.py photos|small FOLDER COUNT

`photos` have the sizes that 312 photographs and wallpapers have as WebP of quality 75, 216 KB on average; `small` have 4 KB.
What is in them does not matter to who serves them. Needs Pillow.
"""

import math
import os
import random
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

# Bytes of every twentieth part of the 312, the smallest and the largest.
PHOTOS = [
    3438, 8910, 11572, 14324, 17162, 21214, 24246, 27910, 36278, 42496, 51434,
    57306, 70268, 79526, 97976, 121598, 152754, 219060, 414612, 827786, 7976236,
]
SMALL = [4096, 4096]
# Of noise at quality 75.
BYTES_PER_PIXEL = {"photos": 0.61, "small": 0.68}


def size(sizes, part):
    """Between two neighbours in steps of equal ratios."""
    place = part * (len(sizes) - 1)
    below = min(int(place), len(sizes) - 2)
    ratio = sizes[below + 1] / sizes[below]
    return sizes[below] * ratio ** (place - below)


def make(job):
    from PIL import Image

    path, number, pixels = job
    side = max(1, round(math.sqrt(pixels)))
    noise = random.Random(number).randbytes(side * side)
    Image.frombytes("L", (side, side), noise).save(path, "WEBP", quality=75, method=0)


def main(kind, folder, count):
    folder, count = Path(folder), int(count)
    folder.mkdir(parents=True)
    sizes = {"photos": PHOTOS, "small": SMALL}[kind]
    jobs = [(folder / f"{number:06}.webp", number, size(sizes, (number + 0.5) / count) / BYTES_PER_PIXEL[kind]) for number in range(count)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(make, jobs, chunksize=16):
            pass


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
