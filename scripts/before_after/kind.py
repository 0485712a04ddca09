"""A kind of picture: a source file, and what it must look like.

Nearly all kinds show one scene, drawn by formula. Where the file is written from known samples, what it must look
like is known too, and no decoder's opinion is asked. Only for lossy formats and for a press's profile the reference
is another decoder. Everything is deterministic but for the versions of the tools.
"""

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .reference import Picture, still

BROWSER = {".jpg", ".png", ".apng", ".gif", ".webp", ".bmp", ".ico", ".cur", ".avif"}
MOST_SIDE = 16_383


@dataclass
class Kind:
    """A row of the sheet. `truth` None: as the reference decoder sees it."""

    group: str
    name: str
    file: Path | None
    truth: Picture | None = None
    says: str = ""
    exact: bool = False  # not a pixel may differ
    loose: float = 1.0  # factor on the limits of the difference
    secrets: list = field(default_factory=list)  # bytes that must not be in the stored file
    coding: str | None = None  # how it must be stored, where that is known
    untouched: bool = False  # the source, a WebP, must be stored byte for byte
    any_delay: bool = False  # durations may differ: the source's are nonsense
    scaled: bool = False
    profile_may_stay: bool = False
    browsers_err: bool = False  # browsers show the source otherwise than it must look
    skipped: str = ""

    @property
    def in_browsers(self):
        return self.file is not None and self.file.suffix in BROWSER and not self.browsers_err


class Maker:
    """Writes sources to a folder and collects their kinds."""

    def __init__(self, folder, profile_folders):
        self.folder = folder
        self.profile_folders = profile_folders
        self.kinds = []
        self.group = ""

    def add(self, name, suffix, data, truth=None, **more):
        stem = "".join(c if c.isalnum() else "-" for c in f"{self.group} {name}".lower())
        path = self.folder / f"{stem}.{suffix}"
        path.write_bytes(data)
        if isinstance(truth, np.ndarray):
            truth = still(truth)
        self.kinds.append(Kind(self.group, name, path, truth, **more))

    def tool(self, name, suffix, command, source, truth=None, source_suffix="png", **more):
        """A source made by a program. In the command IN and OUT stand for the files."""
        program = command[0]
        if program == "convert" and shutil.which("magick"):
            command = ["magick", *command[1:]]
        elif not shutil.which(program):
            return self.skip(name, f"{program} is not installed")
        scratch = self.folder.parent / "scratch"
        scratch.mkdir(exist_ok=True)
        inputs = source if isinstance(source, list) else [source]
        paths = []
        for number, data in enumerate(inputs):
            paths.append(scratch / f"in{number}.{source_suffix}")
            paths[-1].write_bytes(data)
        out = scratch / f"out.{suffix}"
        out.unlink(missing_ok=True)
        expanded = []
        for word in command:
            expanded += paths if word == "IN" else [word.replace("OUT", str(out)).replace("IN", str(paths[0]))]
        run = subprocess.run(expanded, capture_output=True, text=True)
        if run.returncode or not out.exists():
            said = (run.stderr or run.stdout).strip().splitlines()
            return self.skip(name, f"{program} can not make it: {said[-1] if said else run.returncode}")
        return self.add(name, suffix, out.read_bytes(), truth, **more)

    def skip(self, name, why):
        self.kinds.append(Kind(self.group, name, None, skipped=why))
