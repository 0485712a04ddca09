"""Helpers of import.sh: runs a program and says what it took; makes pictures to import; compares results.

    measure.py run FILE COMMAND...            a line of JSON is added to FILE; the exit code is the command's
    measure.py number DIR SET                 hard links of DIR's pictures but WebP, as SET/00001.ext
    measure.py keep SET PAIRS REPORT          removes from SET what one of the converters could not read
    measure.py small DIR SMALL COUNT          COUNT pictures of 320 x 240 pixels, cut from DIR's
    measure.py large DIR FILE SIDE            a JPEG of SIDE x SIDE pixels, tiled of DIR's
    measure.py quality SET PAIRS REPORT EXPORTED    bytes and SSIM of both converters' results, as JSON

PAIRS is a folder with cwebp's results, 00001.ext.webp. All but `run`, `number` and `keep` need Pillow and numpy.
"""

import io
import itertools
import json
import os
import random
import shutil
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

# --- run ---


def run(out, *command):
    """Wall and CPU seconds, children included, and the most memory that the largest process held.

    A gallery is mapped into memory, and its pages count as held while they are in the page cache, though the kernel
    takes them back when it needs them. So the anonymous memory, which it can't take back, is sampled as well.
    """
    started = time.monotonic()
    process = os.posix_spawnp(command[0], command, os.environ)
    anonymous = [0]
    ended = threading.Event()
    sampler = threading.Thread(target=sample, args=(process, anonymous, ended))
    sampler.start()
    _, status, usage = os.wait4(process, 0)
    wall = time.monotonic() - started
    ended.set()
    sampler.join()
    line = {
        "wall": round(wall, 3),
        "cpu": round(usage.ru_utime + usage.ru_stime, 3),
        "peak_mb": round(usage.ru_maxrss * 1024 / 1e6, 1),
        "anonymous_mb": round(anonymous[0] * 1024 / 1e6, 1),
    }
    with open(out, "a") as file:
        file.write(json.dumps(line) + "\n")
    return os.waitstatus_to_exitcode(status)


def sample(process, most, ended):
    while not ended.wait(0.05):
        try:
            status = Path(f"/proc/{process}/status").read_text()
        except OSError:
            return
        for line in status.splitlines():
            if line.startswith("RssAnon:"):
                most[0] = max(most[0], int(line.split()[1]))


# --- sets of pictures ---


def files(folder):
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


def is_webp(path):
    with open(path, "rb") as file:
        head = file.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"WEBP"


def number(source, target):
    """WebP is left out: imagepool stores it as it is, cwebp encodes it again, so their times say nothing."""
    Path(target).mkdir(parents=True)
    left_out = 0
    for place, path in enumerate(files(source), 1):
        if is_webp(path):
            left_out += 1
            continue
        name = Path(target) / f"{place:05}{path.suffix.lower()}"
        try:
            os.link(path, name)
        except OSError:
            shutil.copyfile(path, name)
    print(left_out)


def imported(report):
    """The image of each file that has one."""
    lines = (json.loads(line) for line in Path(report).read_text().splitlines())
    return {Path(line["path"]).name: line["id"] for line in lines if line.get("id")}


def keep(pictures, pairs, report):
    images = imported(report)
    kept, unread, failed = 0, 0, 0
    for path in files(pictures):
        result = Path(pairs) / f"{path.name}.webp"
        if not result.exists() or not result.stat().st_size:
            unread += 1
        elif path.name not in images:
            failed += 1
        else:
            kept += 1
            continue
        path.unlink()
    print(kept, unread, failed)


def opened(path):
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    return Image.open(path)


def photographs(folder):
    """Pictures that are large enough to cut from."""
    from PIL import UnidentifiedImageError

    found = []
    for path in files(folder):
        try:
            with opened(path) as image:
                if min(image.size) >= 480 and not getattr(image, "is_animated", False):
                    found.append(path)
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
            continue
    if not found:
        sys.exit(f"measure.py: {folder}: no picture of at least 480 pixels a side")
    return found


def small(source, target, count):
    """Each is cut at its own place, from the picture at one of three sizes."""
    paths = photographs(source)
    each = -(-int(count) // len(paths))
    jobs = [
        (path, Path(target), place * each, min(each, int(count) - place * each)) for place, path in enumerate(paths)
    ]
    with ProcessPoolExecutor() as pool:
        list(pool.map(cut, [job for job in jobs if job[3] > 0]))


def cut(job):
    path, target, first, count = job
    chance = random.Random(first)
    with opened(path) as image:
        image = image.convert("RGB")
    copies = [image.resize(fitted(image.size, side)) for side in (480, 720, 960)]
    folder = target / f"{first:05}"
    folder.mkdir(parents=True, exist_ok=True)
    for place in range(count):
        copy = chance.choice(copies)
        x, y = chance.randrange(copy.width - 319), chance.randrange(copy.height - 239)
        copy.crop((x, y, x + 320, y + 240)).save(folder / f"{first + place:05}.jpg", quality=85)


def fitted(size, side):
    scale = side / min(size)
    return round(size[0] * scale), round(size[1] * scale)


def large(source, target, side):
    """Baseline, 4:2:0, of tiles of 1,000 pixels."""
    from PIL import Image

    side, tile = int(side), 1000
    paths = itertools.cycle(photographs(source))
    whole = Image.new("RGB", (side, side))
    for y, x in itertools.product(range(0, side, tile), repeat=2):
        with opened(next(paths)) as image:
            image = image.convert("RGB")
            image = image.resize(fitted(image.size, tile)).crop((0, 0, tile, tile))
        whole.paste(image, (x, y))
    whole.save(target, "JPEG", quality=85, subsampling="4:2:0")


# --- quality ---


def quality(pictures, pairs, report, exported):
    images = imported(report)
    jobs = [
        (path, Path(pairs) / f"{path.name}.webp", Path(exported) / f"{images[path.name]}.webp")
        for path in files(pictures)
    ]
    with ProcessPoolExecutor(2) as pool:
        rows = [row for row in pool.map(compare, jobs)]
    compared = [row for row in rows if row["theirs"] is not None]
    print(
        json.dumps(
            {
                "files": len(rows),
                "bytes_theirs": sum(theirs.stat().st_size for _, theirs, _ in jobs),
                "bytes_ours": sum(ours.stat().st_size for _, _, ours in jobs),
                "bytes_in": sum(path.stat().st_size for path, _, _ in jobs),
                "compared": len(compared),
                "profiles": sum(row["why"] == "profile" for row in rows),
                "unlike": sorted(row["name"] for row in rows if row["why"] == "unlike"),
                "ssim_theirs": mean(row["theirs"] for row in compared),
                "ssim_ours": mean(row["ours"] for row in compared),
            }
        )
    )


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else float("nan")


def compare(job):
    """cwebp leaves the orientation to be applied by nobody: its result is compared with the source unturned."""
    from PIL import ImageOps

    path, theirs, ours = job
    row = {"name": path.name, "theirs": None, "ours": None, "why": ""}
    with opened(path) as source:
        if not is_srgb(source):
            return row | {"why": "profile"}
        source.load()
        flat, upright = luma(source), luma(ImageOps.exif_transpose(source))
    results = []
    for reference, result in ((flat, theirs), (upright, ours)):
        with opened(result) as image:
            decoded = luma(image)
        if decoded.shape != reference.shape:
            return row | {"why": "unlike"}
        results.append(ssim(reference, decoded))
    return row | {"theirs": results[0], "ours": results[1]}


def is_srgb(image):
    """Whether its profile, if it has one, leaves colours where they are, within what rounding does."""
    from PIL import Image, ImageCms

    profile = image.info.get("icc_profile")
    if not profile:
        return True
    colours = Image.new("RGB", (216, 1))
    colours.putdata(list(itertools.product(range(0, 256, 51), repeat=3)))
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        turned = ImageCms.profileToProfile(colours, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (OSError, ImageCms.PyCMSError):
        return False
    return max(abs(a - b) for a, b in zip(colours.tobytes(), turned.tobytes())) <= 6


def luma(image):
    """BT.601 luma, 0 to 255, laid on white where it is transparent."""
    import numpy as np
    from PIL import Image

    if image.mode.startswith("I"):
        return np.clip(np.asarray(image).astype(np.float32) / 257, 0, 255)
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("RGB").convert("L"), np.float32)


def ssim(first, second):
    """The structural similarity of Wang et al. (2004), over windows of 8 x 8 pixels, 4 pixels apart."""
    import numpy as np

    height, width = (side // 4 * 4 for side in first.shape)
    if height < 8 or width < 8:
        return 1.0 if np.array_equal(first, second) else float("nan")
    first, second = first[:height, :width], second[:height, :width]

    def windows(values):
        blocks = values.reshape(height // 4, 4, width // 4, 4).sum(axis=(1, 3), dtype=np.float64)
        return (blocks[1:, 1:] + blocks[1:, :-1] + blocks[:-1, 1:] + blocks[:-1, :-1]) / 64

    mean_1, mean_2 = windows(first), windows(second)
    variance_1 = windows(first * first) - mean_1**2
    variance_2 = windows(second * second) - mean_2**2
    covariance = windows(first * second) - mean_1 * mean_2
    small_1, small_2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    likeness = (2 * mean_1 * mean_2 + small_1) * (2 * covariance + small_2)
    return float((likeness / ((mean_1**2 + mean_2**2 + small_1) * (variance_1 + variance_2 + small_2))).mean())


if __name__ == "__main__":
    commands = {"run": run, "number": number, "keep": keep, "small": small, "large": large, "quality": quality}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    sys.exit(commands[sys.argv[1]](*sys.argv[2:]))
