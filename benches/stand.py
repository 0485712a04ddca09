#!/usr/bin/env python3
"""What imagepool stands: soak, attacks, slow clients, a cold gallery and a large one.

    benches/stand.py CHECK... [--binary FILE] [--minutes N]

    soak     N minutes (10) of requests while images come and go, keys rotate and backups are made;
             then `verify`
    bad      cut, malformed and smuggling requests, each many times
    idle     20,000 connections that are opened and left
    modes    slowhttptest in its four modes (Debian package slowhttptest)
    slow     1,000 clients that each read one image of 2 MB at 10 KB/s (needs wrk)
    cold     others read images that are on the disk only (needs wrk)
    keys     a client's latency beside 200 wrong keys a second; judged by nothing else (needs wrk)
    many     requests/s with 330 and with 100,000 images of 4 KB (needs wrk; makes the images for
             three minutes)

Each starts a server of its own on loopback with a gallery that it makes. All but the last have
honest clients beside them, who must be served, and count the server's file descriptors before and
after. Prints a line of JSON for each check; exits 1 when one is not stood. Needs Linux and
Python 3.11, and a release build unless --binary names one.
"""

import argparse
import contextlib
import http.client
import json
import multiprocessing
import os
import random
import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.dont_write_bytecode = True

from harness import HERE, Gallery, require, say  # noqa: E402
from soak import soak  # noqa: E402

Found = dict[str, object]
REFUSED = {None, 400, 404, 405, 411, 413, 414, 431, 501, 505}  # None: closed without an answer


class Honest:
    """A client that asks, each time on a new connection, as long as the block lasts."""

    def __init__(self, gallery: Gallery, path: str = "/random", pause: float = 0.02) -> None:
        self.gallery, self.path, self.pause = gallery, path, pause
        self.times, self.failures, self.ended = [], [], threading.Event()
        self.thread = threading.Thread(target=self.work)

    def work(self) -> None:
        while not self.ended.wait(self.pause):
            start = time.monotonic()
            try:
                status = self.gallery.ask(self.path)
                if status != 200:
                    self.failures.append(status)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
            self.times.append(1000 * (time.monotonic() - start))

    def __enter__(self) -> "Honest":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()

    def report(self) -> Found:
        times = sorted(self.times)
        return {
            "honest_requests": len(times),
            "honest_failures": self.failures[:5],
            "honest_p99_ms": round(times[len(times) * 99 // 100], 1),
            "honest_longest_ms": round(times[-1], 1),
        }


@contextlib.contextmanager
def watched(gallery: Gallery, found: Found, path: str = "/random", pause: float = 0.02) -> Iterator:
    """An honest client, and descriptors before and after.

    Connections that were left may take a while to be ended.
    """
    gallery.ask("/random")
    time.sleep(2)
    found["descriptors_before"] = before = gallery.descriptors()
    with Honest(gallery, path, pause) as honest:
        yield honest
    deadline = time.monotonic() + 120
    while gallery.descriptors() > before and time.monotonic() < deadline:
        time.sleep(1)
    found["descriptors_after"] = gallery.descriptors()
    found["is_alive"] = gallery.server.poll() is None and gallery.ask("/random") == 200
    found |= honest.report()


def stood(found: Found) -> bool:
    return (
        found["is_alive"]
        and found["descriptors_after"] <= found["descriptors_before"]
        and not found["honest_failures"]
        and found["honest_requests"] > 20
    )


# --- bad ---


def bad_requests(key: str) -> dict[str, tuple[bytes, set]]:
    """By name the bytes, and which statuses may come first."""
    noise, ask = (
        random.Random(1).randbytes,
        f"GET /random?key={key} HTTP/1.1\r\nhost: x\r\n".encode(),
    )
    length, chunked = b"content-length: 5\r\n", b"transfer-encoding: chunked"
    tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    no_answer = {"cut head": ask[:-9], "cut line": b"GET /ran"}
    refused = {
        "garbage": noise(4096),
        "zeros": bytes(4096),
        "HTTP/0.9": b"GET /random\r\n",
        "HTTP/0.9 of the first day": b"GET /random\n\n",
        "HTTP/2 in clear": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
        "HTTP/9.9": b"GET / HTTP/9.9\r\nhost: x\r\n\r\n",
        "TLS": tls + noise(512),
        "two lengths": ask + length + b"content-length: 6\r\n\r\nhello",
        "chunks, not last": ask + chunked + b", identity\r\n\r\n0\r\n\r\n",
        "negative length": ask + b"content-length: -1\r\n\r\n",
        "blank in a name": ask + b"content-length : 5\r\n\r\nhello",
        "folded header": ask + b"x: a\r\n b\r\n\r\n",
        "zero in a header": ask + b"x: a\0b\r\n\r\n",
        "many headers": ask + b"x: y\r\n" * 5000 + b"\r\n",
        "long header": ask + b"x: " + b"y" * 100_000 + b"\r\n\r\n",
        "long path": b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    }
    answered_or_refused = {
        "length and chunks": ask + length + chunked + b"\r\n\r\n0\r\n\r\n",
        "bad chunk": ask + chunked + b"\r\n\r\nzz\r\n",
    }
    answered = {"garbage behind a request": ask + b"\r\n" + noise(2000)}
    # Bare LF may end lines (RFC 9112, 2.2), but what follows must not become a second request.
    smuggled = f"GET /random?key={key} HTTP/1.1\nhost: x\ncontent-length: 30\n\n"
    bare_lf = {"bare LF": smuggled.encode() + b"GET /update-key/x HTTP/1.1\n\n\n\n\n"}
    kinds = (no_answer, {None}), (refused, REFUSED), (answered_or_refused, REFUSED | {200})
    kinds += (answered, {200}), (bare_lf, {None, 200, 400})
    return {name: (data, may) for kind, may in kinds for name, data in kind.items()}


def first_status(port: int, data: bytes) -> tuple[int | str | None, int]:
    """Sends bytes; the first answer's status, and how many good answers came before the end."""
    with socket.socket() as client:
        client.settimeout(40)
        client.bind(("127.0.2.2", 0))
        client.connect(("127.0.0.1", port))
        answer = b""
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while block := client.recv(65536):
                answer += block
        except TimeoutError:
            return "hangs", 0
        except OSError:
            pass  # A reset ends the connection as well as a close.
    found = re.match(rb"HTTP/1\.[01] (\d\d\d)", answer)
    return (int(found[1]) if found else None), answer.count(b"HTTP/1.1 200 ")


def bad(gallery: Gallery) -> tuple[Found, bool]:
    gallery.add(20, 64, 64)
    gallery.serve()
    wrong, found = {}, {"requests": 0}
    with watched(gallery, found):
        for _ in range(500):
            for name, (data, may) in bad_requests(gallery.key).items():
                status, answers = first_status(gallery.port, data)
                found["requests"] += 1
                if status not in may or answers > 1:
                    wrong[name] = [status, answers]
    return found | {"wrong": wrong}, stood(found) and not wrong


# --- idle, modes, slow ---


def opened(port: int, network: int, count: int, each: int) -> list[socket.socket]:
    """So many connections, each `each` of them from an address of their own."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, hard))
    clients = []
    for number in range(count):
        clients.append(socket.socket())
        clients[-1].bind((f"127.0.{network}.{1 + number // each}", 0))
        clients[-1].connect(("127.0.0.1", port))
        if number % 100 == 0:
            time.sleep(0.01)
    return clients


def leave_idle(port: int, network: int, count: int) -> int:
    clients = opened(port, network, count, 900)
    time.sleep(15)
    return len(clients)


def children(count: int) -> ProcessPoolExecutor:
    """Processes with descriptors of their own, which know nothing of this one's threads."""
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"))


def idle(gallery: Gallery) -> tuple[Found, bool]:
    gallery.add(20, 64, 64)
    gallery.serve()
    found: Found = {"connections": 20_000}
    with watched(gallery, found), children(4) as pool:
        jobs = [pool.submit(leave_idle, gallery.port, 20 + n, 5000) for n in range(4)]
        found["opened"] = sum(job.result() for job in jobs)
    return found, stood(found) and found["opened"] == found["connections"]


def modes(gallery: Gallery) -> tuple[Found, bool]:
    gallery.add(20, 400, 400)
    gallery.serve()
    found, ended = {}, {}
    url = f"{gallery.origin}/random?key={gallery.key}"
    common = f"-c 1500 -r 300 -t GET -l 25 -p 3 -u {url}"
    with watched(gallery, found):
        for name, flags in {
            "headers": "-H -i 2 -x 24",
            "body": "-B -i 2 -s 8192 -x 10",
            "ranges": "-R -a 10 -b 3000",
            "reading": "-X -w 10 -y 20 -n 5 -z 32 -k 3",
        }.items():
            line = ["slowhttptest", *flags.split(), *common.split()]
            output = subprocess.run(line, capture_output=True, text=True).stdout
            words = re.sub(r"\x1b\[[\d;]*m", "", output)
            # It asks beside its attack whether the service is available.
            seen = re.findall(r"service available: *(\w+)", words)
            ended[name] = re.findall(r"Exit status: *(.+)", words) + sorted(set(seen))
    fine = ["Hit test time limit", "YES"], ["No open connections left", "YES"]
    return found | {"modes": ended}, stood(found) and all(end in fine for end in ended.values())


def read_slowly(port: int, count: int, seconds: float, path: str) -> int:
    """Clients that each read 10 KB/s; how many were cut."""
    clients, cut = opened(port, 40, count, 500), 0
    for client in clients:
        client.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        client.setblocking(False)
    start, got = time.monotonic(), dict.fromkeys(clients, 0)
    while time.monotonic() < start + seconds:
        for client in list(got):
            wanted = int((time.monotonic() - start) * 10_000) - got[client]
            if wanted < 5_000:
                continue
            with contextlib.suppress(BlockingIOError):
                try:
                    data = client.recv(wanted)
                except ConnectionError:
                    data = b""
                got[client] += len(data)
                if not data:
                    cut += 1
                    del got[client]
        time.sleep(0.2)
    return cut


def slow(gallery: Gallery) -> tuple[Found, bool]:
    gallery.add(330, 320, 240)
    before = set(gallery.ids())
    gallery.add(1, 1900, 1300, seed=10**6)
    (large,) = set(gallery.ids()) - before
    gallery.serve()
    paths = [f"/images/{image}?key={gallery.key}" for image in before]
    found, shares, memory, failed, cut = {}, [], [], 0, 0
    gallery.load(paths, 2)
    with watched(gallery, found, "/healthz"), children(1) as pool:
        path = f"/images/{large}?key={gallery.key}"
        for _ in range(3):
            alone = gallery.load(paths, 4).requests_s
            readers = pool.submit(read_slowly, gallery.port, 1000, 16, path)
            time.sleep(6)
            memory.append(gallery.anonymous_mb())
            beside = gallery.load(paths, 4)
            shares.append(beside.requests_s / alone)
            failed += beside.failed
            memory.append(gallery.anonymous_mb())
            tcp = re.search(r"TCP:.* mem (\d+)", Path("/proc/net/sockstat").read_text())
            found["kernel_tcp_mb"] = round(int(tcp[1]) * resource.getpagesize() / 1e6)
            cut += readers.result()
    share, most = round(statistics.median(shares), 2), round(max(memory))
    found |= {"memory_mb": most, "throughput_beside": share}
    found |= {"failed": failed, "slow_clients_cut": cut}
    return found, stood(found) and most < 150 and share >= 0.9 and not failed and not cut


# --- cold, keys, many ---


def drop(path: Path) -> None:
    """Has the kernel forget what it holds of a file that nobody maps."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_from_disk_mb() -> float:
    statistics_of_memory = Path("/proc/vmstat").read_text()
    return int(re.search(r"^pgpgin (\d+)", statistics_of_memory, re.M)[1]) / 1000


def beside_readers(gallery: Gallery, hot: list[str], large: list[str], failures: list) -> tuple:
    """The 99th percentile beside 8 who read large images, and how much came from the disk."""

    def read(images: list[str]) -> None:
        for image in images:
            if gallery.ask(f"/images/{image}") != 200:
                failures.append(image)
            time.sleep(0.3)

    before = read_from_disk_mb()
    readers = [threading.Thread(target=read, args=(large[start::8],)) for start in range(8)]
    for reader in readers:
        reader.start()
    p99 = statistics.median(gallery.load(hot, 3, 8).p99_ms for _ in range(2))
    for reader in readers:
        reader.join()
    return p99, round(read_from_disk_mb() - before)


def cold(gallery: Gallery) -> tuple[Found, bool]:
    gallery.add(330, 320, 240)
    hot = gallery.ids()
    gallery.add(200, 1900, 1300, seed=10**6)
    large = list(set(gallery.ids()) - set(hot))
    found: Found = {}
    drop(gallery.pool)
    gallery.serve()
    paths = [f"/images/{image}?key={gallery.key}" for image in hot]
    gallery.load(paths, 2, 8)
    with watched(gallery, found, "/healthz", 0.005) as honest:
        alone = statistics.median(gallery.load(paths, 3, 8).p99_ms for _ in range(3))
        cold_p99, cold_mb = beside_readers(gallery, paths, large, honest.failures)
    # First reads are checked, which takes the cores' time wherever the images lie: what the disk
    # adds shows beside a server that begins anew with all of it in memory.
    gallery.stop()
    gallery.serve()
    paths = [f"/images/{image}?key={gallery.key}" for image in hot]
    gallery.load(paths, 2, 8)
    warm_p99, warm_mb = beside_readers(gallery, paths, large, honest.failures)
    found |= {"read_from_disk_mb": cold_mb, "read_from_disk_mb_again": warm_mb}
    found |= {"hot_p99_ms_alone": alone, "hot_p99_ms_beside_cold": cold_p99}
    found |= {"hot_p99_ms_beside_warm": warm_p99}
    return found, stood(found) and cold_mb > 100 and cold_p99 < 2 * warm_p99 + 1


def keys(gallery: Gallery) -> tuple[Found, bool]:
    """Half of the wrong keys have an id that the server knows."""
    gallery.add(20, 400, 400)
    gallery.serve()
    found, wrong, ended = {}, [], threading.Event()

    def strange() -> None:
        for number in range(1 << 30):
            key_id = gallery.key[:16] if number % 2 else f"{number:016x}"
            wrong.append(gallery.ask("/random", f"{key_id}{number:048x}"))
            if ended.wait(0.005):
                return

    with watched(gallery, found):
        p99: dict[bool, list[float]] = {False: [], True: []}
        for beside in (False, True) * 4:
            ended.clear()
            stranger = threading.Thread(target=strange)
            if beside:
                stranger.start()
            p99[beside].append(gallery.load(gallery_paths(gallery), 8, 4).p99_ms)
            ended.set()
            if beside:
                stranger.join()
    found |= {"p99_ms_alone": statistics.median(p99[False]), "wrong_keys": len(wrong)}
    found |= {"p99_ms_beside": statistics.median(p99[True])}
    return found, stood(found) and set(wrong) == {401}


def gallery_paths(gallery: Gallery) -> list[str]:
    return [f"/random?key={gallery.key}&_={number}" for number in range(100)]


def many(gallery: Gallery) -> tuple[Found, bool]:
    few = Gallery(gallery.binary, gallery.folder / "few")
    few.add(330, 70, 70)
    gallery.add(100_000, 70, 70)
    rates: dict[int, list[float]] = {330: [], 100_000: []}
    try:
        few.serve()
        gallery.serve()
        for number in range(6):
            for served, count in (few, 330), (gallery, 100_000):
                load = served.load(gallery_paths(served), 3 if number else 8)
                if load.failed:
                    raise RuntimeError(f"{load.failed} requests failed")
                if number:
                    rates[count].append(load.requests_s)
    finally:
        few.stop()
    medians = {count: statistics.median(values) for count, values in rates.items()}
    ratio = round(medians[100_000] / medians[330], 3)
    return {"requests_s": medians, "ratio": ratio}, ratio > 0.9


CHECKS = {check.__name__: check for check in (soak, bad, idle, modes, slow, cold, keys, many)}
NEEDED = {"modes": "slowhttptest", "slow": "wrk", "cold": "wrk", "keys": "wrk", "many": "wrk"}


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("checks", nargs="+", choices=CHECKS, metavar="CHECK")
    binary = HERE.parent / "target/release/imagepool"
    parser.add_argument("--binary", type=Path, default=binary)
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    require(*{NEEDED[check] for check in options.checks if check in NEEDED})
    all_stood = True
    for name in options.checks:
        say(name)
        with tempfile.TemporaryDirectory() as folder:
            gallery = Gallery(options.binary.resolve(), Path(folder))
            try:
                more = {"minutes": options.minutes} if name == "soak" else {}
                found, fine = CHECKS[name](gallery, **more)
            finally:
                gallery.stop()
        all_stood &= fine
        print(json.dumps({"check": name, "stood": fine} | found), flush=True)
    sys.exit(not all_stood)


if __name__ == "__main__":
    main()
