"""What the benches share: galleries and their servers, the load, and words about the machine.

Standard library only.
"""

import contextlib
import http.client
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Attackers have addresses of their own, for an address has a limit.
HONEST_ADDRESS = "127.0.9.9"
RESULT = re.compile(r"^result ([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) (\d+)$", re.M)
# What the environment says to either service must not change what is measured.
for name in [n for n in os.environ if n.startswith("IMAGEPOOL_") or n == "GUNICORN_CMD_ARGS"]:
    os.environ["BENCH_" + name] = os.environ.pop(name)


def say(*words: object) -> None:
    print(*words, file=sys.stderr, flush=True)


def require(*tools: str) -> None:
    for tool in tools:
        if not shutil.which(tool):
            sys.exit(f"{tool} not found")


def require_folder(folder: Path) -> None:
    if not folder.is_dir():
        sys.exit(f"{folder}: there is no such folder")


def built(build: bool = True) -> Path:
    """The release binary of this checkout; without a build, or another that is named."""
    if not build:
        named = os.environ.get("BENCH_IMAGEPOOL_BINARY")
        return Path(named or HERE.parent / "target/release/imagepool").resolve()
    say("building imagepool")
    command = [
        "cargo",
        "build",
        "--release",
        "--locked",
        "--message-format",
        "json-render-diagnostics",
    ]
    done = subprocess.run(command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=True)
    made = [json.loads(line).get("executable") for line in done.stdout.splitlines()]
    return Path(next(path for path in made if path and path.endswith("imagepool")))


def machine() -> str:
    """The date and the machine, as a table's caption begins."""
    models = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    return f"{today}, {os.cpu_count()} cores, {models[0] if models else 'unknown processor'}"


def busy_percent() -> int:
    """The share of the cores that others take: what is busy while nothing is measured."""

    def times() -> tuple[int, int]:
        numbers = [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        return numbers[3] + numbers[4], sum(numbers)

    idle_before, all_before = times()
    time.sleep(2)
    idle, total = times()
    return round(100 * (1 - (idle - idle_before) / (total - all_before)))


def verdict(targets: list[tuple[str, bool]]) -> list[str]:
    return [f"- {'met' if met else 'MISSED'}: {words}" for words, met in targets]


@dataclass
class Load:
    """What wrk says of a server."""

    requests_s: float
    median_ms: float
    p99_ms: float
    megabytes_s: float
    failed: float


def wrk(origin: str, paths: Path, seconds: int, connections: int = 64) -> Load:
    """Loads a server with requests for random ones of the paths in a file."""
    threads = min(2, connections)
    flags = [f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "-s", HERE / "load.lua"]
    environment = os.environ | {"PATHS": str(paths)}
    line = ["wrk", *flags, origin]
    done = subprocess.run(line, capture_output=True, text=True, check=True, env=environment)
    return Load(*map(float, RESULT.search(done.stdout).groups()))


def address_in(log: Path, words: str, server: subprocess.Popen) -> str:
    """The origin that a server says in its log that it listens on."""
    deadline = time.monotonic() + 30
    while not (found := re.search(words + r" (http://[0-9.:]+)", log.read_text())):
        if time.monotonic() > deadline or server.poll() is not None:
            raise RuntimeError(f"no server: {log.read_text()[-2000:]}")
        time.sleep(0.05)
    return found[1]


class Gallery:
    """A gallery in a folder of its own, and the server of it."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.folder, self.pool = folder, folder / "gallery.pool"
        self.binary, self.server, self.origin, self.key = binary, None, "", ""
        folder.mkdir(exist_ok=True)

    def run(self, *command: object, gallery: Path | None = None) -> str:
        line = [self.binary, "--quiet", "--gallery", gallery or self.pool, *command]
        done = subprocess.run(line, capture_output=True, text=True)
        if done.returncode:
            said = done.stderr.strip()[-2000:]
            raise RuntimeError(f"{command[0]} ended with {done.returncode}: {said}")
        return done.stdout.strip()

    def add(self, count: int, width: int, height: int, seed: int = 0) -> None:
        """Imports noise, which WebP makes little smaller: some bytes for each 8 pixels."""
        with tempfile.TemporaryDirectory(dir=self.folder) as pictures:
            for number in range(count):
                noise = random.Random(seed + number).randbytes(3 * width * height)
                picture = b"P6 %d %d 255\n" % (width, height) + noise
                (Path(pictures) / f"{number}.ppm").write_bytes(picture)
            self.run("import", "--renditions", "none", pictures)

    def ids(self) -> list[str]:
        return [image["id"] for image in json.loads(self.run("list", "--json"))]

    def serve(self, *flags: str) -> None:
        self.key = self.run("key", "rotate")
        log = self.folder / "log"
        with log.open("w") as file:
            line = [self.binary, "--gallery", self.pool, "serve", "--listen", "127.0.0.1:0", *flags]
            self.server = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=file)
        self.origin = address_in(log, "listening on", self.server)
        while self.ask("/readyz") != 200:
            time.sleep(0.05)

    @property
    def port(self) -> int:
        return int(self.origin.rpartition(":")[2])

    def ask(self, path: str, key: str = "") -> int:
        """The status of one request, on a connection of its own."""
        source = (HONEST_ADDRESS, 0)
        client = http.client.HTTPConnection("127.0.0.1", self.port, 30, source_address=source)
        with contextlib.closing(client):
            client.request("GET", path, headers={"X-API-Key": key or self.key})
            answer = client.getresponse()
            answer.read()
            return answer.status

    def stop(self) -> None:
        if self.server and self.server.poll() is None:
            self.server.terminate()
            self.server.wait(60)

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.server.pid}/fd"))

    def anonymous_mb(self) -> float:
        """Memory of the server without the gallery's pages, in MB."""
        status = Path(f"/proc/{self.server.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) / 1000

    def load(self, paths: list[str], seconds: int, connections: int = 64) -> Load:
        names = self.folder / "paths"
        names.write_text("\n".join(paths) + "\n")
        return wrk(self.origin, names, seconds, connections)
