#!/usr/bin/env python3
"""What imagepool stands: soak, attacks, slow clients, a cold gallery and a large one.

    benches/stand.py CHECK... [--binary FILE] [--minutes N]

    soak     N minutes (10) of requests while images come and go, keys rotate and backups are made; then `verify`
    bad      cut, malformed and smuggling requests, each many times
    idle     20,000 connections that are opened and left
    modes    slowhttptest in its four modes (Debian package slowhttptest)
    slow     1,000 clients that each read one image of 2 MB at 10 KB/s (needs wrk)
    cold     others read images that are on the disk only (needs wrk)
    many     requests/s with 330 and with 100,000 images of 4 KB (needs wrk; makes the images for three minutes)

Each starts a server of its own on loopback with a gallery that it makes. All but the last have honest clients beside them, who must be
served, and count the server's file descriptors before and after. Prints a line of JSON for each check; exits 1 when one is
not stood. Needs Linux, and a release build unless --binary names one.
"""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
# Attackers have addresses of their own, for an address has a limit.
HONEST_ADDRESS = "127.0.9.9"
REPORT = re.compile(r"^result ([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) (\d+)$", re.M)


def say(*words):
    print(*words, file=sys.stderr)


def picture(path, width, height, seed):
    """Writes noise, which WebP makes little smaller: some bytes for each 8 pixels."""
    path.write_bytes(b"P6 %d %d 255\n" % (width, height) + random.Random(seed).randbytes(3 * width * height))


class Gallery:
    """A gallery in a folder of its own, and the server of it."""

    def __init__(self, binary, folder):
        self.folder, self.pool = pathlib.Path(folder), pathlib.Path(folder) / "gallery.pool"
        self.binary, self.server, self.port = binary, None, None
        self.key = None

    def run(self, *command, gallery=None):
        line = [self.binary, "--quiet", "--gallery", gallery or self.pool, *command]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout.strip()

    def add(self, count, width, height, seed=0):
        with tempfile.TemporaryDirectory(dir=self.folder) as pictures:
            for number in range(count):
                picture(pathlib.Path(pictures) / f"{number}.ppm", width, height, seed + number)
            self.run("import", "--renditions", "none", pictures)

    def ids(self):
        return [image["id"] for image in json.loads(self.run("list", "--json"))]

    def serve(self, *flags):
        self.key = self.run("key", "rotate")
        log = self.folder / "log"
        with log.open("w") as file:
            line = [self.binary, "--gallery", self.pool, "serve", "--listen", "127.0.0.1:0", *flags]
            self.server = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=file)
        deadline = time.monotonic() + 30
        while not (found := re.search(r"listening on http://127.0.0.1:(\d+)", log.read_text())):
            if time.monotonic() > deadline or self.server.poll() is not None:
                raise RuntimeError(f"no server: {log.read_text()}")
            time.sleep(0.05)
        self.port = int(found[1])
        while self.ask("/readyz") != 200:
            time.sleep(0.05)

    def ask(self, path, key=None):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30, source_address=(HONEST_ADDRESS, 0))
        with contextlib.closing(client):
            client.request("GET", path, headers={"X-API-Key": key or self.key})
            answer = client.getresponse()
            answer.read()
            return answer.status

    def stop(self):
        if self.server and self.server.poll() is None:
            self.server.terminate()
            self.server.wait(60)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.server.pid}/fd"))

    def anonymous_mb(self):
        """Memory of the server without the gallery's pages, in MB."""
        status = pathlib.Path(f"/proc/{self.server.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) / 1000

    def wrk(self, paths, seconds, connections=64):
        """Loads the server; returns requests/s, the 99th percentile in ms, and how many failed."""
        names, script = self.folder / "paths", self.folder / "load.lua"
        names.write_text("\n".join(paths) + "\n")
        script.write_text("".join((HERE / part).read_text() for part in ("random_path.lua", "wrk_report.lua")))
        line = ["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", "-s", script, f"http://127.0.0.1:{self.port}"]
        done = subprocess.run(line, capture_output=True, text=True, check=True, env=os.environ | {"PATHS": str(names)})
        rate, _, p99, _, failed = REPORT.search(done.stdout).groups()
        return float(rate), float(p99), int(failed)

    def random_paths(self):
        return [f"/random?key={self.key}&_={number}" for number in range(100)]


class Honest:
    """A client that asks, each time on a new connection, as long as the block lasts."""

    def __init__(self, gallery, path="/random", pause=0.02):
        self.gallery, self.path, self.pause = gallery, path, pause
        self.times, self.failures, self.ended = [], [], threading.Event()
        self.thread = threading.Thread(target=self.work)

    def work(self):
        while not self.ended.wait(self.pause):
            start = time.monotonic()
            try:
                status = self.gallery.ask(self.path)
                if status != 200:
                    self.failures.append(status)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
            self.times.append(1000 * (time.monotonic() - start))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def report(self):
        times = sorted(self.times)
        return {
            "honest_requests": len(times),
            "honest_failures": self.failures[:5],
            "honest_p99_ms": round(times[len(times) * 99 // 100], 1),
            "honest_longest_ms": round(times[-1], 1),
        }


@contextlib.contextmanager
def counted(gallery, found):
    """Counts descriptors before and after; connections that were left may take a while to be ended."""
    gallery.ask("/random")
    time.sleep(2)
    found["descriptors_before"] = gallery.descriptors()
    yield
    deadline = time.monotonic() + 120
    while gallery.descriptors() > found["descriptors_before"] and time.monotonic() < deadline:
        time.sleep(1)
    found["descriptors_after"] = gallery.descriptors()
    found["is_alive"] = gallery.server.poll() is None and gallery.ask("/random") == 200


def stood(found):
    return (
        found["is_alive"]
        and found["descriptors_after"] <= found["descriptors_before"]
        and not found["honest_failures"]
        and found["honest_requests"] > 20
    )


def bad_requests(key):
    """Name, bytes, and which statuses may come first; `None` is a connection closed without an answer."""
    ask = f"GET /random?key={key} HTTP/1.1\r\nhost: x\r\n".encode()
    refused = {None, 400, 404, 405, 411, 413, 414, 431, 501, 505}
    yield "cut head", ask[:-9], {None}
    yield "cut line", b"GET /ran", {None}
    yield "garbage", random.Random(1).randbytes(4096), refused
    yield "zeros", bytes(4096), refused
    yield "HTTP/0.9", b"GET /random\r\n", refused
    yield "HTTP/0.9 of the first day", b"GET /random\n\n", refused
    yield "HTTP/2 in clear", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), refused
    yield "HTTP/9.9", b"GET / HTTP/9.9\r\nhost: x\r\n\r\n", refused
    yield "TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + random.Random(2).randbytes(512), refused
    yield "two lengths", ask + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello", refused
    yield "length and chunks", ask + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", refused | {200}
    yield "chunks, not last", ask + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", refused
    yield "bad chunk", ask + b"transfer-encoding: chunked\r\n\r\nzz\r\n", refused | {200}
    yield "negative length", ask + b"content-length: -1\r\n\r\n", refused
    yield "blank in a name", ask + b"content-length : 5\r\n\r\nhello", refused
    yield "folded header", ask + b"x: a\r\n b\r\n\r\n", refused
    yield "zero in a header", ask + b"x: a\0b\r\n\r\n", refused
    yield "many headers", ask + b"x: y\r\n" * 5000 + b"\r\n", refused
    yield "long header", ask + b"x: " + b"y" * 100_000 + b"\r\n\r\n", refused
    yield "long path", b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", refused
    yield "garbage behind a request", ask + b"\r\n" + random.Random(3).randbytes(2000), {200}


def first_status(port, data, half_close):
    """Sends bytes; returns the first answer's status, and how many answers came before the end."""
    with socket.socket() as client:
        client.settimeout(40)
        client.bind(("127.0.2.2", 0))
        client.connect(("127.0.0.1", port))
        answer = b""
        try:
            client.sendall(data)
            if half_close:
                client.shutdown(socket.SHUT_WR)
            while block := client.recv(65536):
                answer += block
                if b"\r\n\r\n" in answer and not half_close:
                    break
        except TimeoutError:
            return "hangs", 0
        except OSError:
            pass  # A reset ends the connection as well as a close.
        found = re.match(rb"HTTP/1\.[01] (\d\d\d)", answer)
        return (int(found[1]) if found else None), answer.count(b"HTTP/1.1 200 ")


def bad(gallery):
    gallery.add(20, 64, 64)
    gallery.serve()
    wrong, sent, found = {}, 0, {}
    with counted(gallery, found), Honest(gallery) as honest:
        for _ in range(500):
            for name, data, allowed in bad_requests(gallery.key):
                status, answers = first_status(gallery.port, data, True)
                sent += 1
                if status not in allowed or answers > 1:
                    wrong[name] = [status, answers]
        # Bare LF may end lines (RFC 9112, 2.2), but what follows must not become a second request of somebody else's.
        smuggled = f"GET /random?key={gallery.key} HTTP/1.1\nhost: x\ncontent-length: 30\n\nGET /update-key/x HTTP/1.1\n\n\n\n\n"
        status, answers = first_status(gallery.port, smuggled.encode(), True)
        if answers > 1 or status not in {200, 400, None}:
            wrong["bare LF"] = [status, answers]
    found |= {"requests": sent + 1, "wrong": wrong} | honest.report()
    return found, stood(found) and not wrong


IDLE_CHILD = """
import resource, socket, sys, time
port, network, count = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
clients = []
for number in range(count):
    client = socket.socket()
    client.setblocking(False)
    client.bind((f"127.0.{network}.{1 + number // 900}", 0))
    try:
        client.connect(("127.0.0.1", port))
    except BlockingIOError:
        pass
    clients.append(client)
    if number % 100 == 0:
        time.sleep(0.01)
print("open", flush=True)
time.sleep(15)
"""


def idle(gallery):
    gallery.add(20, 64, 64)
    gallery.serve()
    found = {"connections": 20_000}
    with counted(gallery, found), Honest(gallery) as honest:
        line = [sys.executable, "-c", IDLE_CHILD, str(gallery.port)]
        children = [subprocess.Popen([*line, str(20 + n), "5000"], stdout=subprocess.PIPE) for n in range(4)]
        found["opened"] = sum(5000 * (child.communicate()[0] == b"open\n") for child in children)
    found |= honest.report()
    return found, stood(found) and found["opened"] == found["connections"]


def modes(gallery):
    gallery.add(20, 400, 400)
    gallery.serve()
    found, ended = {}, {}
    url = f"http://127.0.0.1:{gallery.port}/random?key={gallery.key}"
    with counted(gallery, found), Honest(gallery) as honest:
        for name, flags in {
            "headers": "-H -i 2 -x 24",
            "body": "-B -i 2 -s 8192 -x 10",
            "ranges": "-R -a 10 -b 3000",
            "reading": "-X -w 10 -y 20 -n 5 -z 32 -k 3",
        }.items():
            line = ["slowhttptest", "-c", "1500", *flags.split(), "-r", "300", "-t", "GET", "-l", "25", "-p", "3", "-u", url]
            output = subprocess.run(line, capture_output=True, text=True, check=False).stdout
            words = re.sub(r"\x1b\[[\d;]*m", "", output)
            # It asks beside its attack whether the service is available.
            seen = re.findall(r"service available: *(\w+)", words)
            ended[name] = re.findall(r"Exit status: *(.+)", words) + sorted(set(seen))
    found |= {"modes": ended} | honest.report()
    fine = ["Hit test time limit", "YES"], ["No open connections left", "YES"]
    return found, stood(found) and all(end in fine for end in ended.values())


SLOW_CHILD = """
import resource, socket, sys, time
port, count, seconds, path = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
clients = []
for number in range(count):
    client = socket.socket()
    client.bind((f"127.0.{40 + number // 500}.1", 0))
    client.connect(("127.0.0.1", port))
    client.sendall(f"GET {path} HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n".encode())
    client.setblocking(False)
    clients.append([client, 0])
start, cut = time.monotonic(), 0
while time.monotonic() < start + seconds:
    for pair in clients:
        want = int((time.monotonic() - start) * 10_000) - pair[1]
        if want < 5_000:
            continue
        try:
            got = len(pair[0].recv(want))
            cut, pair[1] = (cut, pair[1] + got) if got else (cut + 1, 1 << 60)
        except BlockingIOError:
            pass
        except OSError:
            cut, pair[1] = cut + 1, 1 << 60
    time.sleep(0.2)
print(cut)
"""


def slow(gallery):
    gallery.add(330, 320, 240)
    before = set(gallery.ids())
    gallery.add(1, 1900, 1300, seed=10**6)
    (large,) = set(gallery.ids()) - before
    gallery.serve()
    paths = [f"/images/{image}?key={gallery.key}" for image in before]
    found, alone, beside, memory, failed = {}, [], [], [], 0
    gallery.wrk(paths, 2)
    with counted(gallery, found), Honest(gallery, "/healthz") as honest:
        path = f"/images/{large}?key={gallery.key}"
        for _ in range(3):
            alone.append(gallery.wrk(paths, 4)[0])
            line = [sys.executable, "-c", SLOW_CHILD, str(gallery.port), "1000", "16", path]
            child = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
            time.sleep(6)
            memory.append(gallery.anonymous_mb())
            rate, _, failures = gallery.wrk(paths, 4)
            beside.append(rate)
            failed += failures
            memory.append(gallery.anonymous_mb())
            tcp = re.search(r"TCP:.* mem (\d+)", pathlib.Path("/proc/net/sockstat").read_text())
            found["kernel_tcp_mb"] = round(int(tcp[1]) * resource.getpagesize() / 1e6)
            found["slow_clients_cut"] = int(child.communicate()[0])
    found |= {
        "memory_mb": round(max(memory)),
        "throughput_beside": round(statistics.median(b / a for a, b in zip(alone, beside)), 2),
        "failed": failed,
    } | honest.report()
    fine = found["memory_mb"] < 150 and found["throughput_beside"] >= 0.9
    return found, stood(found) and fine and not failed and not found["slow_clients_cut"]


def drop(path):
    """Has the kernel forget what it holds of a file that nobody maps."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_from_disk_mb():
    return int(re.search(r"^pgpgin (\d+)", pathlib.Path("/proc/vmstat").read_text(), re.M)[1]) / 1000


def cold(gallery):
    gallery.add(330, 320, 240)
    hot = gallery.ids()
    gallery.add(200, 1900, 1300, seed=10**6)
    frozen = list(set(gallery.ids()) - set(hot))
    found = {}
    drop(gallery.pool)
    gallery.serve()

    def load(seconds):
        return gallery.wrk([f"/images/{image}?key={gallery.key}" for image in hot], seconds, 8)[1]

    load(2)
    with counted(gallery, found), Honest(gallery, "/healthz", 0.005) as honest:
        alone = [load(3) for _ in range(3)]

        def read(images):
            for image in images:
                if gallery.ask(f"/images/{image}") != 200:
                    honest.failures.append(image)
                time.sleep(0.3)

        def beside_readers():
            """The 99th percentile beside 8 who read the large images, and how much came from the disk."""
            before = read_from_disk_mb()
            readers = [threading.Thread(target=read, args=(frozen[start::8],)) for start in range(8)]
            for reader in readers:
                reader.start()
            p99 = [load(3) for _ in range(2)]
            for reader in readers:
                reader.join()
            return statistics.median(p99), round(read_from_disk_mb() - before)

        cold_p99, cold_mb = beside_readers()
    # First reads are checked, which takes the cores' time wherever the images lie: what the disk adds shows beside a server
    # that begins anew with all of it in memory.
    gallery.stop()
    gallery.serve()
    load(2)
    warm_p99, warm_mb = beside_readers()
    found |= {
        "read_from_disk_mb": cold_mb,
        "read_from_disk_mb_again": warm_mb,
        "hot_p99_ms_alone": statistics.median(alone),
        "hot_p99_ms_beside_cold": cold_p99,
        "hot_p99_ms_beside_warm": warm_p99,
    } | honest.report()
    return found, stood(found) and cold_mb > 100 and cold_p99 < 2 * warm_p99 + 1


def many(gallery):
    few = Gallery(gallery.binary, gallery.folder / "few")
    few.folder.mkdir()
    few.add(330, 70, 70)
    gallery.add(100_000, 70, 70)
    rates = {330: [], 100_000: []}
    try:
        few.serve()
        gallery.serve()
        for round_number in range(6):
            for served, count in (few, 330), (gallery, 100_000):
                rate, _, failed = served.wrk(served.random_paths(), 8 if round_number == 0 else 3)
                if failed:
                    raise RuntimeError(f"{failed} requests failed")
                if round_number:
                    rates[count].append(rate)
    finally:
        few.stop()
    medians = {count: statistics.median(values) for count, values in rates.items()}
    found = {"requests_s": medians, "ratio": round(medians[100_000] / medians[330], 3)}
    return found, found["ratio"] > 0.9


def soak(gallery, minutes=10.0):
    gallery.add(300, 320, 240)
    gallery.serve()
    extra = gallery.run("key", "add", "--name", "second")
    start, ended = time.monotonic(), threading.Event()
    old_keys, errors, answered, memory, done = set(), [], [0] * 9, [], {"imports": 0, "rotations": 0, "backups": 0}

    def client(number):
        connection = http.client.HTTPConnection("127.0.0.1", gallery.port, timeout=30)
        while not ended.is_set():
            key = extra if number % 2 else gallery.key
            try:
                connection.request("GET", ("/random", "/random?w=160", "/images?limit=5")[answered[number] % 3],
                                   headers={"X-API-Key": key})
                answer = connection.getresponse()
                body = answer.read()
                kind = answer.getheader("content-type")
                replaced = answer.status == 401 and (key in old_keys or key != gallery.key)
                if not replaced and (answer.status != 200 or (kind == "image/webp" and body[:4] != b"RIFF")):
                    errors.append(f"{answer.status} {body[:100]!r}")
                # An image that is removed while it is sent is cut; the contract says so.
            except http.client.IncompleteRead:
                connection.close()
            except (OSError, http.client.HTTPException) as error:
                errors.append(repr(error))
                connection.close()
            answered[number] += 1

    def guarded(work):
        def loop():
            turn = 0
            while not ended.is_set():
                try:
                    work(turn)
                except Exception as error:  # What a person at the terminal would see is an error here.
                    errors.append(repr(error))
                turn += 1
        return loop

    def images(turn):
        before = set(gallery.ids())
        gallery.add(30, 320, 240, seed=10**6 * (turn + 1))
        come = list(set(gallery.ids()) - before)
        done["imports"] += 1
        ended.wait(1)
        gallery.run("remove", *come)
        ended.wait(1)

    def keys(_):
        ended.wait(5)
        old_keys.add(gallery.key)
        gallery.key = gallery.run("key", "rotate")
        done["rotations"] += 1

    def backups(turn):
        ended.wait(20)
        copy = gallery.folder / "copy.pool"
        gallery.run("backup", "--force", copy)
        gallery.run("verify", "--deep", gallery=copy)
        done["backups"] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    threads += [threading.Thread(target=guarded(work)) for work in (images, keys, backups)]
    for thread in threads:
        thread.start()
    while (passed := time.monotonic() - start) < 60 * minutes and gallery.server.poll() is None:
        memory.append((passed, gallery.anonymous_mb()))
        ended.wait(2)
    is_alive = gallery.server.poll() is None
    ended.set()
    for thread in threads:
        thread.join()
    gallery.run("verify", "--deep")
    after = [mb for passed, mb in memory if passed > 60] or [mb for _, mb in memory]
    third = max(1, len(after) // 3)
    first, last = statistics.median(after[:third]), statistics.median(after[-third:])
    found = done | {
        "requests": sum(answered),
        "errors": errors[:5],
        "memory_mb_after_the_first_minute": round(first, 1),
        "memory_mb_at_the_end": round(last, 1),
        "gallery_mb": round(gallery.pool.stat().st_size / 1e6, 1),
        "is_alive": is_alive,
    }
    return found, is_alive and not errors and last < 1.1 * first + 2 and min(done.values()) > 0


CHECKS = {check.__name__: check for check in (soak, bad, idle, modes, slow, cold, many)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="+", choices=CHECKS, metavar="CHECK")
    parser.add_argument("--binary", type=pathlib.Path, default=HERE.parent / "target/release/imagepool")
    parser.add_argument("--minutes", type=float, default=10)
    asked = parser.parse_args()
    needed = {"modes": "slowhttptest", "slow": "wrk", "cold": "wrk", "many": "wrk"}
    for tool in {needed[check] for check in asked.checks if check in needed}:
        if not shutil.which(tool):
            parser.error(f"{tool} not found")
    for name in [name for name in os.environ if name.startswith("IMAGEPOOL_")]:
        del os.environ[name]
    all_stood = True
    for name in asked.checks:
        say(name)
        with tempfile.TemporaryDirectory() as folder:
            gallery = Gallery(asked.binary.resolve(), folder)
            try:
                options = {"minutes": asked.minutes} if name == "soak" else {}
                found, fine = CHECKS[name](gallery, **options)
            finally:
                gallery.stop()
        all_stood &= fine
        print(json.dumps({"check": name, "stood": fine} | found), flush=True)
    sys.exit(not all_stood)


if __name__ == "__main__":
    main()
