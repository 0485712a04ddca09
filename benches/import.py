"""Measures imports on this machine with your pictures, beside Debian's cwebp on the same files.

    benches/import.sh [--quick] [--no-build] PICTURES_DIR

In each round, in turn, with the files in the page cache and a new gallery: cwebp over all files,
two at a time, as the old service's script would; imagepool doing the same work (--renditions none
--lossless never); imagepool without renditions, and the same import once more, which finds nothing
new; imagepool as it comes. Then one JPEG of 16,000 x 16,000 pixels, and 20,000 pictures of 320 x
240, both made of PICTURES_DIR. Prints tables in Markdown. Exits 1 when a target is missed:

  - without renditions, the wall time is at most 0.85 of cwebp's, for at most 3 % more bytes and an
    SSIM at most 0.002 lower, and memory stays below 600 MB;
  - a second import takes less than 5 % of the first one's time;
  - memory stays below 1,000 MB with the JPEG of 16,000 x 16,000;
  - small pictures keep both cores more than 90 % busy.

The old script's converter leaves orientations and colour profiles as they are, so pictures with
another profile than sRGB are left out of the SSIM, and turned ones are compared with their source
as each converter read it. Files that either can't read are left out of everything, and so is WebP,
which imagepool does not encode again.

Needs Linux, cargo, and the Debian package webp. In the environment: ROUNDS (5; medians are shown),
IMAGEPOOL_BINARY (with --no-build), and TMPDIR, which is to be on a disk, with a few times the size
of the pictures as WebP. --quick is one round, and 2,000 small pictures.
"""

import argparse
import io
import itertools
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from harness import (
    HERE,
    built,
    busy_percent,
    machine,
    require,
    require_folder,
    say,
    verdict,
)
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

sys.path.append(str(HERE.parent / "scripts"))

from pictures.running import Run, run  # noqa: E402

Image.MAX_IMAGE_PIXELS = None
JOBS = 2
QUALITY = 75
LARGE_SIDE = 16_000
TILE_SIDE = 1000
MOST_WALL_RATIO = 0.85
MOST_BYTES_RATIO = 1.03
MOST_SSIM_LOSS = 0.002
MOST_MB = 600
MOST_SECOND_SHARE = 0.05
MOST_LARGE_MB = 1000
LEAST_BUSY = 0.9
NO_RENDITIONS = ["--renditions", "none"]
SAME_WORK = [*NO_RENDITIONS, "--lossless", "never"]
TITLES = {
    "cwebp": f"cwebp -q {QUALITY}",
    "same": f"imagepool {' '.join(SAME_WORK)}",
    "plain": f"imagepool {' '.join(NO_RENDITIONS)}",
    "second": "the same once more",
    "default": "imagepool, as it comes",
}


# --- pictures to be imported ---


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def is_webp(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"WEBP"


def photographs(folder: Path) -> list[Path]:
    """Pictures that are large enough to cut from."""
    found = []
    for path in files(folder):
        try:
            with Image.open(path) as image:
                if min(image.size) >= 480 and not getattr(image, "is_animated", False):
                    found.append(path)
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
            continue
    return found or sys.exit(f"{folder}: no picture of at least 480 pixels a side")


def fitted(image: Image.Image, side: int) -> Image.Image:
    scale = side / min(image.size)
    return image.resize((round(image.width * scale), round(image.height * scale)))


def cut(job: tuple[Path, Path, int, int]) -> None:
    """Pictures of 320 x 240, each cut at its own place, from the picture at one of three sizes."""
    path, folder, first, count = job
    chance = random.Random(first)
    with Image.open(path) as image:
        whole = image.convert("RGB")
    copies = [fitted(whole, side) for side in (480, 720, 960)]
    for number in range(first, first + count):
        copy = chance.choice(copies)
        x, y = chance.randrange(copy.width - 319), chance.randrange(copy.height - 239)
        copy.crop((x, y, x + 320, y + 240)).save(folder / f"{number:05}.jpg", quality=85)


def make_small(paths: list[Path], folder: Path, count: int) -> None:
    folder.mkdir()
    each = -(-count // len(paths))
    starts = range(0, count, each)
    jobs = [
        (path, folder, start, min(each, count - start))
        for path, start in zip(paths, starts, strict=False)
    ]
    with ProcessPoolExecutor() as pool:
        list(pool.map(cut, jobs))


def make_large(paths: list[Path], path: Path) -> None:
    """Baseline, 4:2:0, of tiles."""
    sources, whole = itertools.cycle(paths), Image.new("RGB", (LARGE_SIDE, LARGE_SIDE))
    for y, x in itertools.product(range(0, LARGE_SIDE, TILE_SIDE), repeat=2):
        with Image.open(next(sources)) as image:
            tile = fitted(image.convert("RGB"), TILE_SIDE)
        whole.paste(tile.crop((0, 0, TILE_SIDE, TILE_SIDE)), (x, y))
    whole.save(path, "JPEG", quality=85, subsampling="4:2:0")


# --- quality ---


def luma(image: Image.Image) -> np.ndarray:
    """BT.601 luma, 0 to 255, laid on white where it is transparent."""
    if image.mode.startswith("I"):
        return np.clip(np.asarray(image).astype(np.float32) / 257, 0, 255)
    rgba = image.convert("RGBA")
    on_white = Image.alpha_composite(Image.new("RGBA", image.size, "white"), rgba)
    return np.asarray(on_white.convert("L"), np.float32)


def ssim(first: np.ndarray, second: np.ndarray) -> float:
    """The structural similarity of Wang et al. (2004), over windows of 8 x 8, 4 pixels apart."""
    height, width = (side // 4 * 4 for side in first.shape)
    first, second = first[:height, :width], second[:height, :width]

    def windows(values: np.ndarray) -> np.ndarray:
        parts = values.reshape(height // 4, 4, width // 4, 4).sum(axis=(1, 3), dtype=np.float64)
        return (parts[1:, 1:] + parts[1:, :-1] + parts[:-1, 1:] + parts[:-1, :-1]) / 64

    mean_1, mean_2 = windows(first), windows(second)
    variances = windows(first * first) - mean_1**2 + windows(second * second) - mean_2**2
    covariance = windows(first * second) - mean_1 * mean_2
    small_1, small_2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    likeness = (2 * mean_1 * mean_2 + small_1) * (2 * covariance + small_2)
    return float((likeness / ((mean_1**2 + mean_2**2 + small_1) * (variances + small_2))).mean())


def similarity(job: tuple[Path, Path, Path]) -> tuple[float, float] | str:
    """The SSIM of cwebp's result and of ours, or why there is none.

    cwebp leaves the orientation to be applied by nobody: its result is compared with the source
    unturned.
    """
    path, theirs, ours = job
    with Image.open(path) as source:
        profile = source.info.get("icc_profile")
        if profile and "sRGB" not in ImageCms.getProfileDescription(io.BytesIO(profile)):
            return "profile"
        source.load()
        references = luma(source), luma(ImageOps.exif_transpose(source))
    found = []
    for reference, result in zip(references, (theirs, ours), strict=True):
        with Image.open(result) as image:
            decoded = luma(image)
        if decoded.shape != reference.shape or min(decoded.shape) < 8:
            return "size"
        found.append(ssim(reference, decoded))
    return found[0], found[1]


# --- measuring ---


class Bench:
    """The sets of pictures, and what each way of importing them took, round by round."""

    def __init__(self, binary: Path, work: Path, pictures: Path) -> None:
        # A build that is under way elsewhere must not change what is measured halfway.
        self.binary = Path(shutil.copy(binary, work / "imagepool"))
        self.work, self.pictures, self.set = work, pictures, work / "set"
        self.costs: dict[str, list[Run]] = defaultdict(list)
        self.summary: dict = {}

    def cwebp(self, name: str) -> None:
        """All files of the set; the list is made before, so that only cwebp's work is measured."""
        results, words = self.work / "cwebp", []
        shutil.rmtree(results, ignore_errors=True)
        results.mkdir()
        for path in files(self.set):
            words += [str(path), "-o", str(results / f"{path.name}.webp")]
        listed = self.work / "cwebp.list"
        listed.write_text("\0".join([*words, ""]))
        xargs = ["xargs", "-0", "-n", 3, "-P", JOBS, "-a", listed]
        os.sync()
        self.costs[name].append(run([*xargs, "cwebp", "-quiet", "-q", QUALITY]))

    def imported(self, name: str, path: Path, *flags: str, again: bool = False) -> list[dict]:
        """The report of an import, into a new gallery unless it is done `again`."""
        if not again:
            for left in self.work.glob("gallery.pool*"):
                left.unlink()
        report = self.work / f"{name}.jsonl"
        report.unlink(missing_ok=True)
        os.sync()
        command = [self.binary, "--quiet", "--gallery", self.work / "gallery.pool", "import"]
        done = run([*command, "--jobs", JOBS, *flags, "--report", report, path])
        if not done.ended_well:
            sys.exit(f"the import of {path}: {done.ending}: {done.words[-2000:]}")
        self.costs[name].append(done)
        return [json.loads(line) for line in report.read_text().splitlines()]

    def choose(self) -> None:
        """Links the pictures that both converters read into the set."""
        say("choosing the files that both converters read")
        self.set.mkdir()
        webp = 0
        for number, path in enumerate(files(self.pictures), 1):
            if is_webp(path):
                webp += 1
            else:
                shutil.copyfile(path, self.set / f"{number:05}{path.suffix.lower()}")
        self.cwebp("choosing")
        lines = self.imported("choosing", self.set, *SAME_WORK)
        ours = {Path(line["path"]).name for line in lines if line.get("id")}
        counts = {"kept": 0, "unread": 0, "failed": 0}
        for path in files(self.set):
            result = self.work / "cwebp" / f"{path.name}.webp"
            read = result.exists() and result.stat().st_size
            counts["unread" if not read else "kept" if path.name in ours else "failed"] += 1
            if not read or path.name not in ours:
                path.unlink()
        if counts["kept"] < 2:
            sys.exit(f"{self.pictures}: no pictures to compare with")
        self.summary |= counts | {"webp": webp}

    def quality(self, lines: list[dict]) -> None:
        say("comparing the results")
        exported = self.work / "exported"
        gallery = ["--gallery", self.work / "gallery.pool"]
        subprocess.run([self.binary, *gallery, "export", "--all", exported], check=True)
        jobs = []
        for line in lines:
            path = Path(line["path"])
            theirs = self.work / "cwebp" / f"{path.name}.webp"
            jobs.append((path, theirs, exported / f"{line['id']}.webp"))
        with ProcessPoolExecutor(JOBS) as pool:
            found = list(pool.map(similarity, jobs))
        compared = [pair for pair in found if not isinstance(pair, str)]
        sizes = zip(*[[path.stat().st_size for path in job] for job in jobs], strict=True)
        self.summary |= dict(zip(("bytes_in", "theirs", "ours"), map(sum, sizes), strict=True))
        self.summary |= {"compared": len(compared), "profiles": found.count("profile")}
        self.summary |= {"unlike": found.count("size")}
        self.summary["ssim"] = [statistics.mean(each) for each in zip(*compared, strict=True)]
        shutil.rmtree(exported)

    def measure(self, rounds: int, small_count: int) -> None:
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for path in files(self.set):
                path.read_bytes()
            self.cwebp("cwebp")
            lines = self.imported("same", self.set, *SAME_WORK)
            if number == 0:
                self.quality(lines)
            self.imported("plain", self.set, *NO_RENDITIONS)
            self.imported("second", self.set, *NO_RENDITIONS, again=True)
            self.imported("default", self.set)
        say(f"making a JPEG of {LARGE_SIDE} x {LARGE_SIDE} and {small_count} small pictures")
        large, small = self.work / "large.jpg", self.work / "small"
        paths = photographs(self.pictures)
        # In a process of its own: what this one holds counts as the peak of those it starts.
        with ProcessPoolExecutor(1) as pool:
            pool.submit(make_large, paths, large).result()
        make_small(paths, small, small_count)
        line = self.imported("large", large, "--max-pixels", str(LARGE_SIDE**2))[0]
        self.summary["large"] = line["status"], line["reason"] or ""
        for _ in range((rounds + 1) // 2):
            lines = self.imported("small", small, *NO_RENDITIONS)
        # Crops of an even sky may be one image.
        came = [line["status"] in ("imported", "duplicate") for line in lines]
        self.summary |= {"small": sum(came), "small_count": small_count}

    def median(self, name: str, what: str) -> float:
        return statistics.median(getattr(cost, what) for cost in self.costs[name])

    def most_mb(self, name: str, what: str) -> float:
        return max(getattr(cost, what) for cost in self.costs[name]) / 1e6

    def memory(self, name: str) -> str:
        peak, anonymous = (self.most_mb(name, f"{what}_bytes") for what in ("peak", "anonymous"))
        return f"{peak:.0f} | {anonymous:.0f}"

    # --- report ---

    def report(self) -> Iterator[str]:
        found, wall_of_cwebp = self.summary, self.median("cwebp", "seconds")
        left = "{webp} WebP, {unread} that cwebp and {failed} that imagepool can not read"
        size_mb = found["bytes_in"] / 1e6
        yield f"{found['kept']} files, {size_mb:.1f} MB, that both read; left out:"
        yield left.format(**found)
        memory = "peak memory, MB | of it anonymous, MB"
        yield f"\n| photographs | wall, s | of cwebp | CPU, s | {memory} |"
        yield "|---|---:|---:|---:|---:|---:|"
        for name, title in TITLES.items():
            wall, cpu = self.median(name, "seconds"), self.median(name, "cpu_seconds")
            times = f"{wall:.2f} | {wall / wall_of_cwebp:.2f} | {cpu:.2f}"
            yield f"| {title} | {times} | {self.memory(name)} |"
        yield "\n| | cwebp | imagepool |\n|---|---:|---:|"
        yield f"| bytes, MB | {found['theirs'] / 1e6:.3f} | {found['ours'] / 1e6:.3f} |"
        theirs, ours = found["ssim"]
        yield f"| mean SSIM of {found['compared']} pictures | {theirs:.5f} | {ours:.5f} |"
        left = "{profiles} with another profile than sRGB, {unlike} of another size."
        yield "\nLeft out of the SSIM: " + left.format(**found)
        yield "\n| | wall, s | CPU, s | peak memory, MB | of it anonymous, MB | |"
        yield "|---|---:|---:|---:|---:|---|"
        rate = found["small"] / self.median("small", "seconds")
        rows = {
            "large": f"one JPEG of {LARGE_SIDE} x {LARGE_SIDE}",
            "small": f"{found['small_count']} of 320 x 240",
        }
        words = {"large": " ".join(found["large"]), "small": f"{rate:.0f} a second"}
        for name, title in rows.items():
            times = f"{self.median(name, 'seconds'):.2f} | {self.median(name, 'cpu_seconds'):.2f}"
            yield f"| {title} | {times} | {self.memory(name)} | {words[name]} |"
        yield ""

    def targets(self) -> Iterator[tuple[str, bool]]:
        found = self.summary
        wall = {name: self.median(name, "seconds") for name in self.costs}
        ratio = wall["plain"] / wall["cwebp"]
        words = f"wall time without renditions {ratio:.3f} of cwebp's, at most {MOST_WALL_RATIO}"
        yield words, ratio <= MOST_WALL_RATIO
        ratio = found["ours"] / found["theirs"]
        yield f"{100 * (ratio - 1):+.2f} % more bytes, at most 3", ratio <= MOST_BYTES_RATIO
        loss = found["ssim"][0] - found["ssim"][1]
        yield f"SSIM {loss:.5f} lower, at most {MOST_SSIM_LOSS}", loss <= MOST_SSIM_LOSS
        peak = max(self.most_mb("same", "peak_bytes"), self.most_mb("plain", "peak_bytes"))
        yield f"{peak:.0f} MB without renditions, below {MOST_MB}", peak < MOST_MB
        share = wall["second"] / wall["plain"]
        words = f"a second import takes {100 * share:.2f} % of the first one's time, below 5"
        yield words, share < MOST_SECOND_SHARE
        peak, status = self.most_mb("large", "peak_bytes"), found["large"][0]
        words = f"{peak:.0f} MB with the large JPEG, below {MOST_LARGE_MB}, and it is {status}"
        yield words, peak < MOST_LARGE_MB and status == "imported"
        busy = self.median("small", "cpu_seconds") / (JOBS * wall["small"])
        words = f"cores {100 * busy:.1f} % busy with small pictures, above {100 * LEAST_BUSY:.0f}"
        came = f", and {found['small']} of {found['small_count']} imported"
        yield words + came, busy > LEAST_BUSY and found["small"] == found["small_count"]


def main() -> int:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--no-build", action="store_true")
    options = parser.parse_args()
    require("cwebp", "xargs")
    require_folder(options.pictures)
    rounds = 1 if options.quick else int(os.environ.get("ROUNDS", 5))
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(built(not options.no_build), Path(work), options.pictures.resolve())
        bench.choose()
        busy_before = busy_percent()
        bench.measure(rounds, 2000 if options.quick else 20_000)
        busy = f"others kept the cores {busy_before} % busy before and {busy_percent()} % after"
        cwebp = subprocess.run(["cwebp", "-version"], capture_output=True, text=True).stdout
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty"], capture_output=True, text=True
        )
        print(
            f"{machine()}. imagepool at {commit.stdout.strip()}, cwebp {cwebp.split()[0]}. ", end=""
        )
        print(f"Medians of {rounds} rounds in turn, {JOBS} at once; {busy}.\n")
        found = list(bench.targets())
        print("\n".join([*bench.report(), *verdict(found)]))
    return int(not all(met for _, met in found))


if __name__ == "__main__":
    sys.exit(main())
