#!/usr/bin/env python3
"""Imports a corpus of odd, broken and hostile pictures, and compares with other decoders.

The promise is: whatever lies in a folder, an import ends, within its memory, with a line for each
file; what other programs show, the gallery shows too, and in the same colours. This checks it on
files that broke other programs:

  - the whole corpus is imported in one go: exit code 0 or 1, peak memory and time within bounds,
    one line a file, with a reason where it is not imported, and none that speaks of a panic;
    `verify --deep` finds nothing afterwards;
  - bombs, and files whose line was long in coming, are imported once more alone, for their own
    time and memory;
  - a FIFO, a socket, symlinks that lead nowhere or round, and as root device nodes, are passed
    over at once;
  - each file is decoded by Pillow, then by vips, then by ImageMagick, strictly. What one of them
    shows must have been imported, and what was imported must look the same: first frame, upright,
    in sRGB, over black and over white; an animation with the same frames at the same times.

A picture agrees when it agrees with one of the references: they differ among themselves on odd
files. Where just one of several decodes a file that imagepool refuses, the file is listed as
doubtful, which fails the check only with --strict. Differences that were looked into and are right
stand in corpus.toml, each with its reason, and are printed.

Needs Python 3.11 with Pillow (11.3 or newer for AVIF), numpy and pebble; vips (libvips-tools) and
convert (imagemagick) are used where installed. The corpus comes from scripts/fetch-corpus.py. An
hour on two cores is ample.
"""

import argparse
import collections
import fnmatch
import json
import os
import resource
import shutil
import socket
import sys
import tempfile
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path

sys.dont_write_bytecode = True

import pebble  # noqa: E402
from pictures import references  # noqa: E402
from pictures.running import Run, run  # noqa: E402

HERE = Path(__file__).resolve().parent
MB = 1 << 20
STAND_ALONE_SECONDS = 2.0
REFERENCE_SECONDS = 3 * references.TOOL_SECONDS
REFERENCE_MEMORY_BYTES = 6 << 30
IN_GALLERY = {"imported", "already_present", "duplicate", "replaced", "mended"}


class Check:
    """One check of a corpus: what was found, and the folder that it works in."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.corpus = os.path.abspath(options.corpus)
        self.work = Path(tempfile.mkdtemp(prefix="check-corpus."))
        self.exports = self.work / "exports"
        self.exceptions = tomllib.loads((HERE / "corpus.toml").read_text())["exception"]
        self.violations: list[tuple] = []
        self.excepted: list[tuple] = []
        self.doubtful: list[tuple] = []
        self.lenient: list[tuple] = []
        self.facts: list[str] = []
        self.files: dict[str, dict] = {}

    def relative(self, path: str) -> str:
        return os.path.relpath(path, self.corpus)

    def fact(self, words: str) -> None:
        print(words, file=sys.stderr, flush=True)
        self.facts.append(words)

    def violate(self, kind: str, path: str | None, words: str) -> None:
        for rule in self.exceptions if path else []:
            matches = (fnmatch.fnmatchcase(path, pattern) for pattern in rule["paths"])
            if rule["kind"] == kind and any(matches):
                self.excepted.append((kind, path, words, rule["why"]))
                return
        self.violations.append((kind, path, words))

    def demand(self, fine: bool, kind: str, path: str | None, words: str) -> None:
        if not fine:
            self.violate(kind, path, words)

    def run(self, name: str, *arguments: object, seconds: float = 0, report: object = None) -> Run:
        command = [self.options.binary, "--gallery", self.work / f"{name}.pool", *arguments]
        return run(command, seconds or self.options.time_limit, report)

    def import_into(self, name: str, source: str, seconds: float) -> Run:
        report = self.work / f"{name}.jsonl"
        flags = ["--quality", self.options.quality, "--report", report, "--quiet", "--no-dir-tags"]
        done = self.run(name, "import", *flags, source, seconds=seconds, report=report)
        if report.exists():
            text = report.read_text(encoding="utf-8", errors="surrogateescape")
            done.lines = [json.loads(line) for line in text.splitlines()]
        return done

    # --- the import itself ---

    def import_everything(self) -> list[str]:
        """Imports, verifies and exports the corpus; returns the files to be imported alone."""
        options = self.options
        done = self.import_into("all", self.corpus, options.time_limit)
        peak = done.peak_bytes / MB
        what = f"{done.seconds:.1f} s, peak {peak:.0f} MB, {len(done.lines)} lines"
        self.fact(f"import: {done.ending}, {what}")
        ending = f"import ended with {done.ending}: {done.words[-500:]}"
        self.demand(done.ended_well, "ending", None, ending)
        memory = f"import took {peak:.0f} MB, more than {options.max_rss}"
        self.demand(peak <= options.max_rss, "memory", None, memory)
        self.read_lines(done.lines)
        verify = self.run("all", "verify", "--deep")
        self.fact(f"verify --deep: {verify.ending}, {verify.seconds:.1f} s")
        said = f"verify --deep: {verify.ending}: {verify.words[-1000:]}"
        self.demand(verify.code == 0, "verify", None, said)
        self.exports.mkdir()
        export = self.run("all", "export", "--all", self.exports)
        said = f"export --all: {export.ending}: {export.words[-500:]}"
        self.demand(export.code == 0, "export", None, said)
        return sorted(self.files) if options.each else self.suspects(done)

    def read_lines(self, lines: list[dict]) -> None:
        paths = (
            os.path.join(top, name) for top, _, names in os.walk(self.corpus) for name in names
        )
        # The report shows names that are not UTF-8 with replacement characters.
        expected = {os.fsencode(path).decode(errors="replace"): path for path in paths}
        counted = collections.Counter(line["path"] for line in lines)
        for shown, path in expected.items():
            words = f"{counted[shown]} lines in the report"
            self.demand(counted[shown] == 1, "lines", self.relative(path), words)
        for line in lines:
            path = expected.get(line["path"])
            if path is None:
                words = f"a line for {line['path']}, which is not in the corpus"
                self.violate("lines", None, words)
            else:
                kind = references.sniff(path)
                self.files[self.relative(path)] = {"path": path, "kind": kind, "line": line}
                self.judge_line(self.relative(path), line)

    def judge_line(self, path: str, line: dict) -> None:
        reason, status = line.get("reason") or "", line["status"]
        told = bool(reason) or status not in ("failed", "not_image")
        self.demand(told, "reason", path, f"{status} without a reason")
        panicked = "panicked" in reason or "gave up" in reason
        self.demand(not panicked, "panic", path, reason)
        if status in IN_GALLERY:
            truncated, claims = (path.startswith(f"bombs/{s}") for s in ("truncated.", "claims-"))
            words = "was imported though half of it is missing"
            self.demand(not truncated, "truncated", path, words)
            words = "was imported though it claims a size that it does not have"
            self.demand(not claims, "bomb", path, words)
        elif path.startswith("bombs/sound-"):
            words = f"was refused, and not for the memory that it takes: {reason}"
            self.demand("--memory" in reason, "bomb", path, words)

    def suspects(self, done: Run) -> list[str]:
        """Bombs, and files whose lines came late or while memory was high."""
        chosen = {path for path in self.files if path.startswith("bombs/")}
        late, before = 0.0, 0
        for now, count, memory, _ in done.samples:
            found = []
            if count > before:
                if now - late > STAND_ALONE_SECONDS:
                    found += done.lines[before : min(count, before + 20)]
                late, before = now, count
            if memory > 0.7 * self.options.max_rss * MB:
                found += done.lines[count : count + 10]
            chosen |= {self.relative(line["path"]) for line in found}
        return sorted(chosen & self.files.keys())

    def import_alone(self, suspects: list[str]) -> None:
        seconds, megabytes = self.options.file_limit, self.options.max_rss
        for path in suspects:
            entry = self.files[path]
            done = self.import_into("alone", entry["path"], 2 * seconds)
            peak = done.peak_bytes / MB
            entry["alone"] = {"seconds": round(done.seconds, 2), "peak_mb": round(peak)}
            took = f"{done.seconds:.1f} s"
            words = f"alone: {done.ending} after {took}: {done.words[-300:]}"
            self.demand(done.ended_well, "ending", path, words)
            slow = f"alone: {took}, more than {seconds}"
            self.demand(done.seconds <= seconds, "time", path, slow)
            large = f"alone: {peak:.0f} MB, more than {megabytes}"
            self.demand(peak <= megabytes, "memory", path, large)
            count = len(done.lines)
            self.demand(count == 1, "lines", path, f"alone: {count} lines in the report")
            for left in self.work.glob("alone.*"):
                left.unlink()

    def import_special_files(self) -> None:
        """Files that are none: whoever opens a FIFO waits for ever, and /dev/zero has no end."""
        folder = self.work / "special"
        (folder / "below").mkdir(parents=True)
        os.mkfifo(folder / "fifo.png")
        os.mkfifo(folder / "below/fifo")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / "socket.jpg"))
        for name, target in (
            ("dangling.png", "nowhere.png"),
            ("round.png", "round.png"),
            ("below/up", ".."),
            ("to-fifo.png", "fifo.png"),
            ("to-zero.png", "/dev/zero"),
        ):
            (folder / name).symlink_to(target)
        devices = {"null.png": (1, 3), "zero.png": (1, 5), "terminal.png": (5, 0)}
        try:
            for name, number in devices.items() if os.geteuid() == 0 else ():
                os.mknod(folder / name, 0o020666, os.makedev(*number))
        except OSError as error:
            self.fact(f"no device nodes: {error}")
        (folder / "text.png").write_text("no picture\n")
        done = self.import_into("specials", str(folder), 20)
        listener.close()
        self.fact(f"special files: {done.ending}, {done.seconds:.1f} s")
        for line in done.lines:
            name = os.path.relpath(line["path"], folder)
            self.fact(f"  {name}: {line['status']}, {line['reason']}")
        words = f"FIFOs, sockets and devices: {done.ending} after {done.seconds:.1f} s"
        self.demand(done.ended_well and done.seconds <= 10, "special", None, words)
        left_out = all(line["status"] in ("not_image", "failed") for line in done.lines)
        self.demand(left_out, "special", None, "something that is no file was imported")

    # --- the references ---

    def ask_references(self) -> None:
        paths, jobs = sorted(self.files), []
        for path in paths:
            entry = self.files[path]
            stored = self.exports / f"{entry['line'].get('id')}.webp"
            if entry["line"].get("id"):
                self.demand(stored.exists(), "export", path, f"{stored.stem} was not exported")
            jobs.append((entry["path"], entry["kind"], str(stored) if stored.exists() else None))
        with pebble.ProcessPool(self.options.jobs, initializer=limit_reference) as pool:
            found = pool.map(references.judge, jobs, timeout=REFERENCE_SECONDS).result()
            for number, path in enumerate(paths):
                try:
                    self.files[path]["verdict"] = next(found)
                except Exception as error:  # It died, took too long, or more memory than it may.
                    words = f"the reference failed: {type(error).__name__}: {error}"[:300]
                    self.files[path]["verdict"] = {"broken": words}
                if number % 500 == 0:
                    print(f"  {len(paths) - number} files to compare", file=sys.stderr, flush=True)

    def weigh(self) -> None:
        for path, entry in sorted(self.files.items()):
            verdict = entry.get("verdict", {})
            entry["shown"] = bool(verdict.get("shown"))
            entry["imported"] = bool(entry["line"].get("id"))
            entry["agrees"] = entry["imported"] and bool(verdict.get("agrees"))
            self.weigh_one(path, entry, verdict)

    def weigh_one(self, path: str, entry: dict, verdict: dict) -> None:
        kind, line, shown = entry["kind"], entry["line"], verdict.get("shown", {})
        refused = verdict.get("refused", {})
        refusals = "; ".join(f"{name}: {why}" for name, why in refused.items())
        if verdict.get("broken"):
            self.lenient.append((path, f"{kind}: not compared: {verdict['broken']}"))
        elif verdict.get("unreadable"):
            words = f"{kind} {line['id']}.webp can't be read: {verdict['unreadable']}"
            self.violate("unreadable", path, words)
        elif not entry["imported"] and shown and kind in references.TAKEN:
            sizes = [
                f"{name} shows {width} x {height}" + (f", {count} frames" if count > 1 else "")
                for name, (width, height, count) in shown.items()
            ]
            said = f"{kind} {line['status']}: {line['reason']} -- but {', '.join(sizes)}"
            doubtful = len(shown) == 1 and len(references.installed()) > 1 and refused
            if doubtful:
                self.doubtful.append((path, f"{said} ({refusals})"))
            if not doubtful or self.options.strict:
                self.violate("refused", path, said)
        elif entry["imported"] and shown and not verdict["agrees"]:
            words = "; ".join(f"{name}: {why}" for name, why in verdict["differences"].items())
            self.violate("pixels", path, f"{kind} {words}")
        elif entry["imported"] and not shown:
            self.lenient.append((path, f"{kind}: {refusals}"))

    # --- what is said ---

    def table(self) -> Iterator[str]:
        rows: dict[str, list[int]] = collections.defaultdict(lambda: [0] * 5)
        for entry in self.files.values():
            shown, imported = entry["shown"], entry["imported"]
            counts = 1, shown, imported, shown and imported, entry["agrees"]
            for kind in (entry["kind"] if entry["kind"] in references.TAKEN else "other", "all"):
                rows[kind] = [sum(pair) for pair in zip(rows[kind], counts, strict=True)]
        yield "| format | files | a reference shows it | imported | both | and they agree |"
        yield "|---|---:|---:|---:|---:|---:|"
        for kind in [*references.TAKEN, "other", "all"]:
            if kind in rows:
                yield f"| {kind} | " + " | ".join(map(str, rows[kind])) + " |"

    def markdown(self) -> Iterator[str]:
        def section(title: str, lines: list[str]) -> Iterator[str]:
            yield from ("", f"## {title}", "", *lines)

        yield "# imagepool on a corpus of odd, broken and hostile files\n"
        yield from (f"- {fact}" for fact in self.facts)
        yield ""
        yield from self.table()
        found = sorted(self.violations, key=lambda each: (each[0], each[1] or ""))
        lines = [f"- {kind}: {path and f'`{path}`: ' or ''}{words}" for kind, path, words in found]
        yield from section(f"Violations ({len(lines)})", lines)
        lines = [
            f"- {k}: `{path}`: {w}. Right, because: {why}" for k, path, w, why in self.excepted
        ]
        yield from section(f"Argued exceptions ({len(lines)})", lines)
        lines = [f"- `{path}`: {words}" for path, words in self.doubtful]
        title = "Doubtful: refused, and one reference of several shows it"
        yield from section(f"{title} ({len(lines)})", lines)
        lines = [f"- `{path}`: {words}" for path, words in self.lenient]
        yield from section(f"Imported or unknown, and no reference shows it ({len(lines)})", lines)
        alone = [(path, entry["alone"]) for path, entry in self.files.items() if "alone" in entry]
        alone.sort(key=lambda item: -item[1]["peak_mb"])
        rows = [
            f"| `{path}` | {cost['seconds']} | {cost['peak_mb']} |" for path, cost in alone[:40]
        ]
        yield from section("Alone", ["| file | seconds | peak MB |", "|---|---:|---:|", *rows])

    def save(self) -> None:
        text = "\n".join(self.markdown()) + "\n"
        text = text.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")
        if self.options.markdown:
            self.options.markdown.write_text(text, encoding="utf-8")
        else:
            print(text)

    def whole(self) -> int:
        suspects = self.import_everything()
        self.import_special_files()
        self.import_alone(suspects)
        self.ask_references()
        self.weigh()
        self.save()
        shutil.rmtree(self.work)
        return 1 if self.violations else 0


def limit_reference() -> None:
    """A reference decoder may be killed by what it reads; it must not take the machine along."""
    resource.setrlimit(resource.RLIMIT_AS, (REFERENCE_MEMORY_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, binary = parser.add_argument, HERE.parent / "target/release/imagepool"
    add("corpus", help="folder made by scripts/fetch-corpus.py")
    add("--binary", default=binary)
    add("--max-rss", type=int, default=1000, help="peak memory of an import, in MB (1000)")
    add("--time-limit", type=int, default=1800, help="of the import of all, in seconds (1800)")
    add("--file-limit", type=float, default=20, help="of any file alone, in seconds (20)")
    quality = "of the WebP, high so that noise hides nothing (95)"
    add("--quality", type=int, default=references.QUALITY, help=quality)
    add("--jobs", type=int, default=2, help="reference decoders at once (2)")
    add("--each", action="store_true", help="import each file alone too, not only the suspicious")
    add("--strict", action="store_true", help="doubtful files are violations too")
    add("--markdown", type=Path, help="file for the result (stdout)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(Check(arguments()).whole())
