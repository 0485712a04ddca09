"""Compares imagepool with nginx and with the service that it replaces, on loopback.

    benches/serve.sh [--quick] [--print] [--no-build] [PICTURES_DIR]

Without PICTURES_DIR it makes 312 files with the sizes of photographs as WebP. A second set has
10,000 files of 4 KB. All servers have the same files: imagepool a gallery of them, nginx and the
old service a folder. The load is wrk with one script for all, which asks for a random one of many
paths; it takes its share of the cores, for each server alike.

    nginx          2 workers, sendfile, open_file_cache, no access log: files by their names
    random_index   the same nginx, with its module that picks a file of a folder
    old service    Flask under gunicorn with 2 workers, as it was run (old_service.py)
    imagepool      as it comes: a key checked in each request, an access log, metrics

Then it counts which of the photographs 100,000 requests get, which must be spread as chance would
do it. Writes the table and the plot of docs/performance.md. Exits 1 when a target at 64 connections
is missed.

Needs Linux, cargo, and the Debian packages wrk and nginx-light. In the environment: ROUNDS, the
servers in turn (5; medians are shown), ROUND_SECONDS (3), IMAGEPOOL_BINARY (with --no-build), and
TMPDIR, where the galleries go.
"""

import argparse
import contextlib
import http.client
import itertools
import math
import os
import random
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple
from pathlib import Path

import matplotlib
import psutil
from harness import (
    HERE,
    Gallery,
    address_in,
    built,
    busy_percent,
    machine,
    require,
    require_folder,
    say,
    verdict,
    wrk,
)
from PIL import Image
from scipy import stats

DOCS = HERE.parent / "docs"
MARKS = "<!-- serve.sh: begin -->\n", "<!-- serve.sh: end -->"
# Each server's name in the table, and its colour in the plot.
SERVERS = {
    "nginx": ("nginx", "#4c78a8"),
    "random_index": ("nginx `random_index`", "#9ecae9"),
    "old": ("old service", "#bab0ac"),
    "imagepool": ("imagepool", "#e45756"),
}
# At 64 connections: set, server, how many times its requests/s.
TARGETS = [
    ("photos", "nginx", 1.2),
    ("photos", "random_index", 1.6),
    ("photos", "old", 5),
    ("small", "nginx", 1.1),
    ("small", "random_index", 10),
    ("small", "old", 20),
]
MOST_P99_RATIO = 0.8
PICKS = 100_000
LEAST_P = 0.001
COUNTS = {"photos": 312, "small": 10_000}
# Bytes of every twentieth part of 312 photographs as WebP, the smallest and the largest; then 4 KB.
SIZES = {
    "photos": [
        *(3438, 8910, 11572, 14324, 17162, 21214, 24246, 27910, 36278, 42496, 51434, 57306),
        *(70268, 79526, 97976, 121598, 152754, 219060, 414612, 827786, 7976236),
    ],
    "small": [4096, 4096],
}
# Of noise at quality 75.
BYTES_PER_PIXEL = {"photos": 0.61, "small": 0.68}
COLUMNS = (
    "connections | requests/s | of nginx | median, ms | 99 %, ms | of nginx | CPU a request, µs"
)


# --- files and servers ---


def make_file(job: tuple[Path, int, float]) -> None:
    path, number, pixels = job
    side = max(1, round(math.sqrt(pixels)))
    noise = random.Random(number).randbytes(side * side)
    Image.frombytes("L", (side, side), noise).save(path, "WEBP", quality=75, method=0)


def make_files(kind: str, folder: Path) -> Path:
    """WebP of noise; sizes between two of SIZES are in steps of equal ratios."""
    say(f"making {COUNTS[kind]} files")
    folder.mkdir()
    logs, jobs = [math.log(size) for size in SIZES[kind]], []
    for number in range(COUNTS[kind]):
        place = (number + 0.5) / COUNTS[kind] * (len(logs) - 1)
        below = int(place)
        size = math.exp(logs[below] + (logs[below + 1] - logs[below]) * (place - below))
        jobs.append((folder / f"{number:06}.webp", number, size / BYTES_PER_PIXEL[kind]))
    with ProcessPoolExecutor() as pool:
        list(pool.map(make_file, jobs, chunksize=16))
    return folder


@contextlib.contextmanager
def running(*command: object, **options: object) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def nginx(work: Path) -> Iterator[tuple[str, int]]:
    """Its origin and process. As root its workers would be a user who may not read the files."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = (HERE / "nginx.conf").read_text().replace("{port}", str(port))
    user = "user root;" if os.geteuid() == 0 else ""
    config = work / "nginx.conf"
    config.write_text(text.replace("{work}", str(work)).replace("{user}", user))
    with running("nginx", "-c", config, stderr=subprocess.DEVNULL) as process:
        wait_for(f"127.0.0.1:{port}", "/")
        yield f"http://127.0.0.1:{port}", process.pid


def wait_for(host: str, path: str) -> None:
    """Waits until a server answers anything."""
    for _ in range(300):
        with contextlib.suppress(OSError):
            client = http.client.HTTPConnection(host, timeout=10)
            client.request("GET", path)
            client.getresponse()
            return
        time.sleep(0.1)
    sys.exit(f"no server at {host}")


@contextlib.contextmanager
def old_service(folder: Path, images: Path) -> Iterator[tuple[str, int]]:
    """The address of its random route, with the key, and its process."""
    key, log = secrets.token_hex(32), folder / "stderr"
    (folder / "log").mkdir(parents=True)
    (folder / "images").symlink_to(images)
    (folder / "api_key.txt").write_text(key + "\n")
    gunicorn = [sys.executable, "-m", "gunicorn", "--workers", "2", "--timeout", "37"]
    command = [*gunicorn, "--bind", "127.0.0.1:0", "--chdir", HERE, "old_service:app"]
    environment = os.environ | {"OLD_SERVICE_ROOT": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    with log.open("w") as file, running(*command, stderr=file, env=environment) as process:
        origin = address_in(log, "Listening at:", process)
        wait_for(origin.removeprefix("http://"), "/")
        yield f"{origin}/random-image/{key}", process.pid


# --- measuring ---


def cpu_seconds(pid: int) -> float:
    """What a process and its children have used."""
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children())]
    return sum(each.user + each.system for each in times)


class Bench:
    """Galleries and results: by set, server and connections the columns of the table."""

    def __init__(self, binary: Path, work: Path, options: argparse.Namespace) -> None:
        self.work, self.binary, self.options = work, binary, options
        self.rounds: dict[tuple, list[list[float]]] = defaultdict(list)

    def gallery(self, place: str, pictures: Path) -> Gallery:
        """Imports pictures, and puts what became of them where nginx finds it."""
        say(f"importing {pictures}")
        gallery = Gallery(self.binary, self.work / place)
        flags = ["--gallery", gallery.pool, "import", "--renditions", "none"]
        done = subprocess.run([self.binary, "--quiet", *flags, pictures], capture_output=True)
        if done.returncode not in (0, 1):  # 1: some pictures could not be imported
            sys.exit(f"the import failed: {done.stderr.decode()[-2000:]}")
        gallery.run("export", "--all", self.work / "www" / place)
        return gallery

    def load(self, key: tuple[str, str, int], url: str, pid: int, paths: list[str]) -> None:
        """Adds a round; `url` is an origin, or with one path what repeats with another query."""
        names, seconds = self.work / "paths", self.options.seconds
        names.write_text("\n".join(paths) + "\n")
        before = cpu_seconds(pid)
        found = wrk(url, names, seconds, key[2])
        cpu_ms = (cpu_seconds(pid) - before) * 1000 / seconds
        self.rounds[key].append([*astuple(found), cpu_ms])

    def measure(self, place: str, gallery: Gallery, nginx_at: tuple[str, int]) -> None:
        images, origin = self.work / "www" / place, nginx_at[0]
        files = [f"/{place}/{path.name}" for path in sorted(images.glob("*.webp"))]

        def repeated(path: str) -> list[str]:
            """Paths that differ only in what servers ignore."""
            return [f"{path}?x={number}" for number in range(COUNTS["photos"])]

        with old_service(self.work / f"old-{place}", images) as (old_url, old_pid):
            old_origin, old_path = (
                old_url[: old_url.index("/", 7)],
                old_url[old_url.index("/", 7) :],
            )
            servers = {
                "nginx": (origin, nginx_at[1], files),
                "imagepool": (
                    gallery.origin,
                    gallery.server.pid,
                    repeated(f"/random-image/{gallery.key}"),
                ),
                "random_index": (origin, nginx_at[1], repeated(f"/random/{place}/")),
                "old": (old_origin, old_pid, repeated(old_path)),
            }
            # Every image is read, and its bytes checked, once.
            self.load(("warm", "imagepool", 64), *servers["imagepool"])
            for connections, number in itertools.product(
                self.options.connections, range(self.options.rounds)
            ):
                say(f"{place}, {connections} connections, round {number + 1}")
                for server, target in servers.items():
                    self.load((place, server, connections), *target)

    def medians(self) -> dict[tuple, list[float]]:
        return {
            key: [statistics.median(column) for column in zip(*rounds, strict=True)]
            for key, rounds in self.rounds.items()
        }


def count_images(origin: str, path: str, requests: int) -> Counter:
    """Which images came how often, over one connection.

    No answer is left out: a load generator that stops at a deadline drops those that are under
    way, which are more often large images than small ones.
    """
    client = http.client.HTTPConnection(origin.removeprefix("http://"), timeout=60)
    counts: Counter = Counter()
    for _ in range(requests):
        client.request("GET", path)
        answer = client.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the server answered {answer.status}")
        counts[answer.getheader("X-Image-Id")] += 1
    return counts


def uniformity(gallery: Gallery) -> tuple[str, bool]:
    """Whether the random route picks every image with the same probability."""
    say(f"{PICKS} random images")
    images, jobs = gallery.ids(), os.cpu_count() or 1
    job = gallery.origin, f"/random-image/{gallery.key}", PICKS // jobs
    with ProcessPoolExecutor(jobs) as pool:
        counts = sum(pool.map(count_images, *([part] * jobs for part in job)), Counter())
    if strangers := counts.keys() - set(images):
        raise RuntimeError(f"images that are not in the gallery: {strangers}")
    test = stats.chisquare([counts[image] for image in images])
    words = f"{counts.total()} picks among {len(images)} images: chi-square {test.statistic:.1f}, "
    return words + f"p = {test.pvalue:.4f}, above {LEAST_P}", test.pvalue > LEAST_P


# --- report ---


def cpu_microseconds(row: list[float]) -> float:
    return 1000 * row[5] / row[0]


def table(results: dict, titles: dict[str, str]) -> Iterator[str]:
    for place, title in titles.items():
        yield from ("", f"| {title} | {COLUMNS} |", "|---|" + "---:|" * 7)
        for connections, server in itertools.product(sorted({key[2] for key in results}), SERVERS):
            first, row = results[place, "nginx", connections], results[place, server, connections]
            failed = f" ({row[4]:.0f} failed)" if row[4] else ""
            yield (
                f"| {SERVERS[server][0]} | {connections} | {row[0]:,.0f}{failed} "
                f"| {row[0] / first[0]:.2f} | {row[1]:.2f} | {row[2]:.2f} "
                f"| {row[2] / first[2]:.2f} | {cpu_microseconds(row):.1f} |"
            )


def targets(results: dict) -> Iterator[tuple[str, bool]]:
    for place, server, least in TARGETS:
        ratio = results[place, "imagepool", 64][0] / results[place, server, 64][0]
        words = f"{ratio:.2f} times {SERVERS[server][0]}'s requests/s, at least {least}"
        yield f"{place}, 64 connections: {words}", ratio >= least
    for place in COUNTS:
        ours, theirs = results[place, "imagepool", 64], results[place, "nginx", 64]
        ratio = ours[2] / theirs[2]
        words = f"{ratio:.2f} of nginx's 99th percentile, at most {MOST_P99_RATIO}"
        yield f"{place}, 64 connections: {words}", ratio <= MOST_P99_RATIO
        ratio = cpu_microseconds(ours) / cpu_microseconds(theirs)
        yield f"{place}, 64 connections: {ratio:.2f} of nginx's CPU a request, below 1", ratio < 1
    failed = sum(row[4] for key, row in results.items() if key[1] == "imagepool")
    yield "no request to imagepool failed", failed == 0


def plot(results: dict, titles: dict[str, str], path: Path) -> None:
    """Bars of requests/s."""
    matplotlib.use("svg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot

    connections = sorted({key[2] for key in results})
    _, panels = pyplot.subplots(1, len(titles), figsize=(9, 3.5), layout="constrained")
    for panel, (place, title) in zip(panels, titles.items(), strict=True):
        for column, (server, (name, colour)) in enumerate(SERVERS.items()):
            rates = [results[place, server, count][0] for count in connections]
            places = [group + (column - 1.5) * 0.2 for group in range(len(connections))]
            label = name.replace("`", "")
            bars = panel.bar(places, rates, 0.18, color=colour, label=label)
            panel.bar_label(bars, [f"{rate / 1000:.1f}k" for rate in rates], fontsize=6)
        panel.set(title=title, xlabel="connections", ylabel="requests/s")
        panel.set_xticks(range(len(connections)), connections)
    panels[0].legend(fontsize=7)
    pyplot.savefig(path)


def write(text: str, results: dict, titles: dict[str, str]) -> None:
    page = DOCS / "performance.md"
    before, rest = page.read_text().split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    picture = "\n![Requests a second](serve.svg)\n"
    page.write_text(before + MARKS[0] + text + picture + MARKS[1] + after)
    plot(results, titles, DOCS / "serve.svg")


def caption(options: argparse.Namespace, binary: Path, busy: int) -> str:
    def version(*command: object) -> str:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.stdout.strip().removeprefix("nginx version: ")

    control = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    gunicorn = version(sys.executable, "-m", "gunicorn", "--version")
    names = f"{version(binary, '--version')}, {version('nginx', '-v')}, {gunicorn}"
    medians = f"medians of {options.rounds} rounds of {options.seconds} s in turn"
    return (
        f"{machine()}, {control} for TCP. {names}; {medians}; others kept the cores {busy} % busy."
    )


def parse() -> argparse.Namespace:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("pictures", nargs="?", type=Path)
    parser.add_argument("--quick", action="store_true", help="one round, 64 connections only")
    parser.add_argument("--print", action="store_true", help="print the table, leave docs alone")
    parser.add_argument("--no-build", action="store_true")
    options = parser.parse_args()
    options.rounds = 1 if options.quick else int(os.environ.get("ROUNDS", 5))
    options.seconds = int(os.environ.get("ROUND_SECONDS", 3))
    options.connections = [64] if options.quick else [1, 16, 64, 256]
    return options


def main() -> int:
    options = parse()
    require("wrk", "nginx")
    if options.pictures:
        require_folder(options.pictures)
    binary = built(not options.no_build)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        work = Path(folder)
        work.chmod(0o755)
        (work / "www").mkdir()
        bench, titles, galleries = Bench(binary, work, options), {}, {}
        for place in COUNTS:
            given = options.pictures if place == "photos" else None
            pictures = given or make_files(place, work / f"made-{place}")
            galleries[place] = bench.gallery(place, pictures)
            sizes = [path.stat().st_size for path in (work / "www" / place).glob("*.webp")]
            titles[place] = f"{len(sizes)} files of {sum(sizes) / len(sizes) / 1000:.0f} KB"
        nginx_at, busy = stack.enter_context(nginx(work)), busy_percent()
        for place, gallery in galleries.items():
            stack.callback(gallery.stop)
            gallery.serve()
            bench.measure(place, gallery, nginx_at)
        results = bench.medians()
        found = [*targets(results), uniformity(galleries["photos"])]
        rows = [caption(options, binary, busy), *table(results, titles), "", *verdict(found)]
        text = "\n".join(rows) + "\n"
        print(text, end="")
        if not options.print:
            write(text, results, titles)
    return int(not all(met for _, met in found))


if __name__ == "__main__":
    sys.exit(main())
