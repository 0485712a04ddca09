"""The kinds of before-after.toml: a source file each, and what it must look like.

Nearly all kinds show one scene of known samples, so what they must look like is known too. Only
for lossy formats and for a press's profile the reference is another decoder. Everything is
deterministic but for the versions of the tools.
"""

import itertools
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from . import profiles, writers
from .display import Picture, still
from .scene import Samples, samples

TABLE = Path(__file__).resolve().parent.parent / "before-after.toml"
BROWSER = {".jpg", ".png", ".apng", ".gif", ".webp", ".bmp", ".ico", ".cur", ".avif"}
MOST_SIDE = 16_383
XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    b'dc:creator="SECRETXMP"/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)
SECRETS = [b"SECRET", b"2001:02:03", b"xpacket", b"Exif\0\0", b"rdf:RDF"]
NO_SUCH_ORIENTATION = b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\x09\0\0\0\0\0\0"


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
    private: bool = False  # SECRETS must not be in the stored file
    coding: str | None = None  # how it must be stored, where that is known
    untouched: bool = False  # the source, a WebP, must be stored byte for byte
    any_delay: bool = False  # durations may differ: the source's are nonsense
    scaled: bool = False  # larger than WebP can be
    profile_may_stay: bool = False
    browsers_err: bool = False  # browsers show the source otherwise than it must look
    skipped: str = ""

    @property
    def in_browsers(self) -> bool:
        return self.file is not None and self.file.suffix in BROWSER and not self.browsers_err


# --- writers, by the name that the table has; they take its `with` ---


def exif_block(what: int | str | None) -> bytes:
    """An orientation; "private": where it was taken, and with what; "private 1": both."""
    if what == 9:
        return NO_SUCH_ORIENTATION
    tags = Image.Exif()
    words = str(what).split()
    if words[-1].isdigit():
        tags[0x0112] = int(words[-1])
    if words[0] == "private":
        tags[0x010F], tags[0x0110] = "SECRETMAKER", "SECRETMODEL"
        tags[0x013B] = "SECRETARTIST"
        place = tags.get_ifd(0x8825)
        place[1], place[2], place[3], place[4] = "N", (47.0, 22.0, 11.25), "E", (8.0, 33.0, 1.5)
        place[0x1D] = "2001:02:03"
    return tags.tobytes()


def pillow_metadata(options: dict) -> dict:
    """What Pillow's writers call the profile, EXIF and XMP."""
    found = dict(options)
    if "icc" in found:
        found["icc_profile"] = profiles.named(found.pop("icc"))
    if "exif" in found:
        found["exif"] = exif_block(found["exif"])
    if found.pop("xmp", False):
        found["xmp"] = XMP
    return found


def write_jpeg(of: Samples, adobe: bool = True, tail: str = "", **options: object) -> bytes:
    options = {"quality": 95, "subsampling": "4:4:4"} | pillow_metadata(options)
    mode = "CMYK" if of.array.shape[2] == 4 else None
    data = writers.pillow(of.array, "JPEG", mode, **options)
    if not adobe:
        marker = data.index(b"\xff\xee\0\x0eAdobe")
        data = data[:marker] + data[marker + 16 :]
    return data + (bytes(3000) + tail.encode() if tail else b"")


def write_ycck(of: Samples) -> bytes:
    """Adobe's transform 2.

    Pillow stores 255 less what it is given, as it is, and calls it transform 0.
    """
    colours = Image.fromarray(of.array[..., :3].astype(np.uint8)).convert("YCbCr")
    planes = 255 - np.asarray(colours).astype(np.int64)
    data = write_jpeg(Samples(np.concatenate([planes, of.array[..., 3:]], axis=2), of.truth))
    adobe = data.index(b"\xff\xee\0\x0eAdobe")
    return data[: adobe + 15] + b"\2" + data[adobe + 16 :]


def write_mpo(of: Samples) -> bytes:
    second = Image.fromarray(255 - of.array.astype(np.uint8))
    options = {"save_all": True, "append_images": [second], "quality": 95}
    return writers.pillow(of.array, "MPO", **options)


def write_png(
    of: Samples,
    interlaced: bool = False,
    exif: int | str | None = None,
    icc: str | None = None,
    texts: dict[str, str] | None = None,
    xmp: bool = False,
) -> bytes:
    chunks = []
    if exif:
        chunks.append((b"eXIf", exif_block(exif).removeprefix(b"Exif\0\0")))
    if icc:
        chunks.append((b"iCCP", b"p\0\0" + writers.zlib.compress(profiles.named(icc))))
    chunks += [(b"tEXt", f"{key}\0{text}".encode()) for key, text in (texts or {}).items()]
    if xmp:
        chunks.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP))
    return writers.png(of.array, of.bits, interlaced, of.palette, chunks=chunks)


def write_webp(of: Samples, **options: object) -> bytes:
    return writers.pillow(of.array, "WEBP", **pillow_metadata(options))


def write_tiff(
    of: Samples,
    exif: int | None = None,
    icc: str | None = None,
    xmp: bool = False,
    texts: dict[str, str] | None = None,
    second_page: bool = False,
    **options: object,
) -> bytes:
    """`texts` are by the number of their tag; the second page is a negative."""
    tags = [(int(key), "s", 0, text, True) for key, text in (texts or {}).items()]
    tags += [(700, "B", len(XMP), XMP, True)] if xmp else []
    tags += [(274, "H", 1, exif, True)] if exif else []
    if of.palette is not None:
        table = of.palette.T.reshape(-1).astype(int) * 257
        tags.append((320, "H", len(table), table.tolist(), True))
    pages = [of.array, of.most - of.array] if second_page else [of.array]
    profile = profiles.named(icc) if icc else None
    return writers.tiff(pages, of.bits, profile, tags, **options)


def write_fax(of: Samples, compression: str) -> bytes:
    return writers.pillow(of.array * 255, "TIFF", "1", compression=compression)


def write_bmp(of: Samples, bits: int | None = None, **options: object) -> bytes:
    depth = bits or (of.bits if of.palette is not None else 24)
    return writers.bmp(of.array, depth, palette=of.palette, **options)


def write_gif(of: Samples, comment: str = "", version: str = "89a") -> bytes:
    height, width = of.array.shape[:2]
    frame = writers.GifFrame(of.array[..., 0])
    data = writers.gif((width, height), of.palette, [frame], version=version)
    extension = b"\x21\xfe" + bytes([len(comment)]) + comment.encode() + b"\0"
    return data[:-1] + (extension if comment else b"") + data[-1:]


def write_tga(of: Samples, footer: bool = True, **options: object) -> bytes:
    data = writers.tga(of.array, of.palette, **options)
    return data if footer else data[:-26]


def write_pnm(of: Samples, number: int, most: int | None = None, comment: bool = False) -> bytes:
    words = "# a comment\n" if comment else ""
    return writers.pnm(of.array, number, most or of.most, words)


WRITERS: dict[str, tuple[str, Callable[..., bytes]]] = {
    "jpeg": ("jpg", write_jpeg),
    "ycck": ("jpg", write_ycck),
    "mpo": ("jpg", write_mpo),
    "png": ("png", write_png),
    "webp": ("webp", write_webp),
    "tiff": ("tiff", write_tiff),
    "tiff by libtiff": ("tiff", lambda of, **options: writers.pillow(of.array, "TIFF", **options)),
    "fax": ("tiff", write_fax),
    "bmp": ("bmp", write_bmp),
    "gif": ("gif", write_gif),
    "tga": ("tga", write_tga),
    "tga 16": ("tga", lambda of, **options: writers.tga_16(of.array, **options)),
    "qoi": ("qoi", lambda of: writers.pillow(of.array, "QOI")),
    "pnm": ("ppm", write_pnm),
    "pam": ("pam", lambda of, kind: writers.pam(of.array, kind)),
}


class Maker:
    """Writes sources to a folder and collects their kinds."""

    def __init__(self, folder: Path, profile_folders: list[str]) -> None:
        self.folder = folder
        self.profile_folders = profile_folders
        self.kinds: list[Kind] = []
        self.group = ""

    def add(
        self,
        name: str,
        suffix: str,
        data: bytes,
        truth: Picture | np.ndarray | None,
        **more: object,
    ) -> None:
        stem = "".join(c if c.isalnum() else "-" for c in f"{self.group} {name}".lower())
        path = self.folder / f"{stem}.{suffix}"
        path.write_bytes(data)
        picture = still(truth) if isinstance(truth, np.ndarray) else truth
        self.kinds.append(Kind(self.group, name, path, picture, **more))

    def skip(self, name: str, why: str) -> None:
        self.kinds.append(Kind(self.group, name, None, skipped=why))

    def run(
        self, name: str, suffix: str, command: str, inputs: list[bytes], source: str = "png"
    ) -> bytes | None:
        """A program's output; in its command IN and OUT stand for files. None skips the kind."""
        words = command.split()
        if words[0] == "convert" and shutil.which("magick"):
            words[0] = "magick"
        if not shutil.which(words[0]):
            return self.skip(name, f"{words[0]} is not installed")
        scratch = self.folder.parent / "scratch"
        scratch.mkdir(exist_ok=True)
        paths = [str(scratch / f"in{number}.{source}") for number in range(len(inputs))]
        for path, data in zip(paths, inputs, strict=True):
            Path(path).write_bytes(data)
        out = scratch / f"out.{suffix}"
        out.unlink(missing_ok=True)
        line = [paths if word == "IN" else [word.replace("OUT", str(out))] for word in words]
        run = subprocess.run(list(itertools.chain(*line)), capture_output=True, text=True)
        if run.returncode or not out.exists():
            said = (run.stderr or run.stdout).strip().splitlines() or [str(run.returncode)]
            return self.skip(name, f"{words[0]} can not make it: {said[-1]}")
        return out.read_bytes()

    def add_row(self, row: dict) -> None:
        """A row of the table; its head says what is in it."""
        if "recipe" in row:
            from . import moving, recipes

            recipe = row["recipe"]
            return (getattr(recipes, recipe, None) or getattr(moving, recipe))(self)
        name, of = row.pop("name"), samples(row.pop("of", "rgb"))
        suffix, write = WRITERS[row.pop("write", "png")]
        data = write(of, **row.pop("with", {}))
        source, suffix = suffix, row.pop("suffix", suffix)
        if command := row.pop("command", None):
            data = self.run(name, suffix, command, [data], source)
        truth = row.pop("truth", None)
        picture = of.truth if truth is None else samples(truth).truth
        if data is not None:
            self.add(name, suffix, data, None if row.pop("decoded", False) else picture, **row)
        return None


def filled(value: object, words: dict) -> object:
    """A value of the table with its {words} put in; one that is nothing else keeps its type."""
    if isinstance(value, dict):
        return {key: filled(each, words) for key, each in value.items()}
    if not isinstance(value, str):
        return value
    alone = re.fullmatch(r"\{(\w+)\}", value)
    if alone and alone[1] in words:
        return words[alone[1]]
    return re.sub(r"\{(\w+)\}", lambda found: str(words[found[1]]), value)


def expanded(row: dict) -> Iterator[dict]:
    """The rows that `each` makes of one."""
    each = row.pop("each", {})
    for values in itertools.product(*each.values()):
        words: dict = {}
        for keys, value in zip(each, values, strict=True):
            several = keys.split(", ")
            words |= dict(zip(several, value if len(several) > 1 else [value], strict=True))
        yield filled(row, words)


def make_all(folder: Path, profile_folders: list[str]) -> list[Kind]:
    maker = Maker(folder, profile_folders)
    for group, rows in tomllib.loads(TABLE.read_text()).items():
        maker.group = group
        for row in rows:
            for one in expanded(row):
                maker.add_row(one)
    shutil.rmtree(folder.parent / "scratch", ignore_errors=True)
    return maker.kinds
