"""Runs a program and says what it took; check-corpus.py and benches/import.py share it."""

import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Run:
    """One run of a program, its children included."""

    code: int  # negative: the signal that ended it
    seconds: float
    cpu_seconds: float
    # Most memory of its largest process. It is at least what the caller held as it started it.
    peak_bytes: int
    words: str  # of stdout and stderr
    # Seconds, lines in the report, resident and anonymous bytes, again and again.
    samples: list[tuple[float, int, int, int]] = field(default_factory=list)
    lines: list[dict] = field(default_factory=list)  # of the report, for who reads them

    @property
    def ending(self) -> str:
        return f"signal {-self.code}" if self.code < 0 else f"exit code {self.code}"

    @property
    def ended_well(self) -> bool:
        """Of an import: 1 says that some pictures could not be imported."""
        return self.code in (0, 1)

    @property
    def anonymous_bytes(self) -> int:
        """Most memory that the kernel can't take back; a mapped gallery's pages it can."""
        return max(anonymous for _, _, _, anonymous in self.samples)


def memory_of(pid: int) -> tuple[int, int]:
    """Resident and anonymous bytes of a process."""
    try:
        _, resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[:3]
    except (OSError, ValueError):
        return 0, 0
    page = resource.getpagesize()
    return int(resident) * page, (int(resident) - int(shared)) * page


def run(command: Sequence[object], seconds: float = 1e9, report: Path | None = None) -> Run:
    """Runs a command, and kills it after so many seconds; a report is watched as it grows."""
    samples, killed = [], False
    with tempfile.TemporaryFile() as words:
        output = {"stdin": subprocess.DEVNULL, "stdout": words, "stderr": words}
        started = time.monotonic()
        process = subprocess.Popen([str(word) for word in command], **output)
        ended = 0
        while not ended:
            now = time.monotonic() - started
            count = report.read_bytes().count(b"\n") if report and report.exists() else 0
            samples.append((now, count, *memory_of(process.pid)))
            time.sleep(0.01 if now < 5 else 0.05)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if now > seconds and not killed and not ended:
                os.kill(process.pid, signal.SIGKILL)
                killed = True
        took = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        words.seek(0)
        said = words.read().decode(errors="replace")
    cpu = usage.ru_utime + usage.ru_stime
    return Run(process.returncode, took, cpu, usage.ru_maxrss * 1024, said, samples)
