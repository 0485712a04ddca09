"""Writers for picture formats.

The usual libraries write each format in one or two of its ways. Decoders meet all of them, so what
Pillow and tifffile can't write (odd depths, masks, run lengths, disposals) is written here byte by
byte. Arrays are height x width x channels, of integers.
"""

import io
import itertools
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tifffile
from PIL import Image

Array = np.ndarray


def pack_row(samples: Array | Sequence[int], bits: int, order: str = ">") -> bytes:
    """The bytes of a row of samples: below 8 bits the first sample is in the high bits."""
    flat = np.asarray(samples).reshape(-1)
    if bits >= 8:
        return flat.astype(f"{order}u{bits // 8}").tobytes()
    each_bit = (flat[:, None].astype(np.uint8) >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(each_bit.reshape(-1).astype(np.uint8)).tobytes()


def pillow(array: Array, kind: str, mode: str | None = None, **options: object) -> bytes:
    """A picture of 8 bits by Pillow."""
    array = array[..., 0] if array.shape[2] == 1 else array
    image, out = Image.fromarray(array.astype(np.uint8)), io.BytesIO()
    if mode == "CMYK":
        image = Image.frombytes(mode, image.size, image.tobytes())
    elif mode:
        image = image.convert(mode)
    image.save(out, kind, **options)
    return out.getvalue()


# --- PNG and APNG ---

# The colour type by the number of channels; 3 is a palette.
PNG_COLOUR = {1: 0, 2: 4, 3: 2, 4: 6}
ADAM7 = "0088 4088 0448 2044 0224 1022 0112"  # first column and row, then their steps


def png_chunk(name: bytes, data: bytes = b"") -> bytes:
    checksum = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


def png_head(width: int, height: int, depth: int, colour: int, interlaced: bool = False) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)


def png_rows(samples: Array, depth: int, interlaced: bool = False) -> bytes:
    """Compressed rows, each without a filter."""
    passes = [samples]
    if interlaced:
        steps = [map(int, digits) for digits in ADAM7.split()]
        passes = [samples[y::dy, x::dx] for x, y, dx, dy in steps]
    rows = [b"\0" + pack_row(row, depth) for part in passes if part.size for row in part]
    return zlib.compress(b"".join(rows), 9)


def png(
    samples: Array,
    depth: int = 8,
    interlaced: bool = False,
    palette: Array | None = None,
    transparent: bytes | None = None,
    chunks: Iterable[tuple[bytes, bytes]] = (),
) -> bytes:
    """`transparent` is what tRNS holds; `chunks` come before the pixels."""
    height, width, channels = samples.shape
    colour = PNG_COLOUR[channels] if palette is None else 3
    out = [png_head(width, height, depth, colour, interlaced)]
    out += [png_chunk(name, data) for name, data in chunks]
    if palette is not None:
        out.append(png_chunk(b"PLTE", palette.astype(np.uint8).tobytes()))
    if transparent is not None:
        out.append(png_chunk(b"tRNS", transparent))
    out += [png_chunk(b"IDAT", png_rows(samples, depth, interlaced)), png_chunk(b"IEND")]
    return b"".join(out)


DISPOSALS = ("keep", "background", "previous")


@dataclass
class Frame:
    """A part of an animation: where it lies, and what becomes of it once its time is over."""

    rgba: Array
    x: int = 0
    y: int = 0
    duration: int = 100  # milliseconds
    dispose: str = "keep"  # one of DISPOSALS
    blend: str = "over"  # or source


def apng(size: tuple[int, int], frames: list[Frame], plays: int, hidden: Array | None) -> bytes:
    """`hidden` is a picture that only viewers without APNG show, else the first frame is it."""
    out = [png_head(*size, 8, 6), png_chunk(b"acTL", struct.pack(">II", len(frames), plays))]
    if hidden is not None:
        out.append(png_chunk(b"IDAT", png_rows(hidden, 8)))
    numbers = itertools.count()
    for index, frame in enumerate(frames):
        rows, columns = frame.rgba.shape[:2]
        dispose, blend = DISPOSALS.index(frame.dispose), frame.blend == "over"
        control = struct.pack(">5I", next(numbers), columns, rows, frame.x, frame.y)
        control += struct.pack(">HHBB", frame.duration, 1000, dispose, blend)
        out.append(png_chunk(b"fcTL", control))
        data = png_rows(frame.rgba, 8)
        if index == 0 and hidden is None:
            out.append(png_chunk(b"IDAT", data))
        else:
            out.append(png_chunk(b"fdAT", struct.pack(">I", next(numbers)) + data))
    return b"".join(out) + png_chunk(b"IEND")


# --- GIF ---


@dataclass
class GifFrame:
    """Indices of a palette; `transparent` is the index that is not painted."""

    indices: Array  # height x width
    x: int = 0
    y: int = 0
    delay: int = 10  # hundredths of a second
    dispose: str = "keep"
    palette: Array | None = None
    transparent: int | None = None
    interlaced: bool = False

    def painted(self, global_palette: Array) -> Frame:
        palette = global_palette if self.palette is None else self.palette
        alpha = np.where(self.indices == self.transparent, 0, 255)[..., None]
        rgba = np.concatenate([palette[self.indices], alpha], axis=2).astype(np.uint8)
        rgba[rgba[..., 3] == 0] = 0
        return Frame(rgba, self.x, self.y, self.delay * 10, self.dispose)


def gif(
    size: tuple[int, int],
    palette: Array,
    frames: list[GifFrame],
    loops: int | None = None,
    version: str = "89a",
) -> bytes:
    """`loops` is what NETSCAPE2.0 holds; None leaves the extension out."""
    out = [b"GIF" + version.encode(), struct.pack("<HH", *size)]
    out += [bytes([0xF0 | table_bits(palette) - 1, 0, 0]), colour_table(palette)]
    if loops is not None:
        out.append(b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<HB", loops, 0))
    for frame in frames:
        if version == "89a":
            flags = DISPOSALS.index(frame.dispose) + 1 << 2 | (frame.transparent is not None)
            control = struct.pack("<BHB", flags, frame.delay, frame.transparent or 0)
            out.append(b"\x21\xf9\x04" + control + b"\0")
        out += gif_image(frame, palette if frame.palette is None else frame.palette)
    return b"".join(out) + b"\x3b"


def gif_image(frame: GifFrame, palette: Array) -> Iterator[bytes]:
    rows, columns = frame.indices.shape
    flags = 0x40 if frame.interlaced else 0
    if frame.palette is not None:
        flags |= 0x80 | table_bits(palette) - 1
    yield b"\x2c" + struct.pack("<4HB", frame.x, frame.y, columns, rows, flags)
    if frame.palette is not None:
        yield colour_table(palette)
    indices = frame.indices
    if frame.interlaced:
        passes = (0, 8), (4, 8), (2, 4), (1, 2)
        indices = indices[[y for start, step in passes for y in range(start, rows, step)]]
    least_bits = max(2, table_bits(palette))
    data = gif_lzw(indices.reshape(-1).tolist(), least_bits)
    yield bytes([least_bits])
    for start in range(0, len(data), 255):
        part = data[start : start + 255]
        yield bytes([len(part)]) + part
    yield b"\0"


def table_bits(palette: Array) -> int:
    return max(1, (len(palette) - 1).bit_length())


def colour_table(palette: Array) -> bytes:
    missing = (1 << table_bits(palette)) - len(palette)
    return np.pad(palette, ((0, missing), (0, 0))).astype(np.uint8).tobytes()


def gif_lzw(indices: list[int], least_bits: int) -> bytes:
    """GIF's LZW: codes grow by a bit as the table fills, and start anew at 4096."""
    clear, end = 1 << least_bits, (1 << least_bits) + 1
    codes: dict[tuple[int, int], int] = {}
    following, bits, prefix = end + 1, least_bits + 1, indices[0]
    written = [(clear, bits)]
    for index in indices[1:]:
        if (prefix, index) in codes:
            prefix = codes[prefix, index]
            continue
        written.append((prefix, bits))
        codes[prefix, index] = following
        # The decoder's table lags one entry behind.
        bits += following == 1 << bits
        following += 1
        if following == 4096:
            written.append((clear, bits))
            codes, following, bits = {}, end + 1, least_bits + 1
        prefix = index
    written += [(prefix, bits), (end, bits)]
    # The first code is in the lowest bits.
    digits = "".join(f"{code:0{bits}b}" for code, bits in reversed(written))
    return int(digits, 2).to_bytes(-(-len(digits) // 8), "little")


# --- TIFF ---


def tiff(
    pages: list[Array],
    bits: int = 8,
    icc: bytes | None = None,
    tags: Iterable[tuple] = (),
    byteorder: str = "<",
    bigtiff: bool = False,
    **options: object,
) -> bytes:
    """By tifffile: `options` are those of its `write`, tags its `extratags`."""
    out = io.BytesIO()
    photometrics = {1: "minisblack", 2: "minisblack", 3: "rgb", 4: "rgb"}
    options = {"photometric": photometrics[pages[0].shape[2]], "rowsperstrip": 50} | options
    if options.get("tile"):
        del options["rowsperstrip"]
    if bits < 8:
        options["bitspersample"] = bits
    kind = "f4" if bits == 32 else "u2" if bits == 16 else "u1"
    with tifffile.TiffWriter(out, byteorder=byteorder, bigtiff=bigtiff) as file:
        for page in pages:
            planes = np.moveaxis(page, 2, 0) if options.get("planarconfig") == 2 else page
            planes = planes[..., 0] if page.shape[2] == 1 else planes
            file.write(
                planes.astype(byteorder + kind),
                iccprofile=icc,
                extratags=list(tags),
                metadata=None,
                software=False,
                contiguous=False,
                **options,
            )
    return out.getvalue()


# --- BMP, ICO and CUR ---

# Red, green, blue and alpha within a whole pixel, where no masks are written.
BMP_MASKS = {16: (0x7C00, 0x03E0, 0x001F), 32: (0xFF0000, 0x00FF00, 0x0000FF, 0xFF000000)}


def whole_pixels(samples: Array, masks: Sequence[int]) -> Array:
    """Each pixel as one number; a sample has as many bits as its mask."""
    pixels = np.zeros(samples.shape[:2] + (1,), np.int64)
    for channel, mask in zip(np.moveaxis(samples, 2, 0), masks, strict=False):
        shift = (mask & -mask).bit_length() - 1 if mask else 0
        pixels[..., 0] |= channel << shift if mask else 0
    return pixels


def padded(row: bytes, unit: int) -> bytes:
    return row + b"\0" * (-len(row) % unit)


def bmp_rows(rows: Array, bits: int) -> bytes:
    if bits == 24:
        rows, bits = rows[:, :, ::-1], 8
    return b"".join(padded(pack_row(row, bits, "<"), 4) for row in rows)


def bmp_rle(rows: Array, bits: int, odd: str | None) -> bytes:
    """Runs and literals of each row.

    `odd` is "beyond": runs go beyond their row, or "skips": pixels of the first colour are
    passed over.
    """
    out = bytearray()
    for row in rows[..., 0].tolist():
        at = 0
        while at < len(row):
            same = next(itertools.groupby(row[at : at + 255]))[1]
            run, literal = len(list(same)), row[at : at + 6]
            if run == 1 and len(literal) == 6:
                out += bytes([0, 6]) + padded(pack_row(literal, bits), 2)
                at += 6
                continue
            if odd == "skips" and row[at] == 0:
                out += bytes([0, 2, run, 0])
            else:
                beyond = 40 if odd == "beyond" and at + run == len(row) else 0
                out += bytes([min(run + beyond, 255), row[at] * (1 if bits == 8 else 17)])
            at += run
        out += b"\0\0"
    return bytes(out) + b"\0\1"


def bmp(
    samples: Array,
    bits: int,
    header: int = 40,
    palette: Array | None = None,
    top_down: bool = False,
    rle: bool = False,
    masks: Sequence[int] | None = None,
    odd: str | None = None,
) -> bytes:
    """`header` is the length of the header, which tells its version; `odd` is that of `bmp_rle`."""
    height, width = samples.shape[:2]
    if bits in BMP_MASKS:
        samples = whole_pixels(samples, masks or BMP_MASKS[bits])
    rows = samples if top_down else samples[::-1]
    pixels = bmp_rle(rows, bits, odd) if rle else bmp_rows(rows, bits)
    compression = {8: 1, 4: 2}[bits] if rle else 3 if masks else 0
    colours = 0 if palette is None else len(palette)
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        signed = -height if top_down else height
        info = struct.pack("<IiiHHI", header, width, signed, 1, bits, compression)
        info += struct.pack("<IiiII", len(pixels), 2835, 2835, colours, 0)
        info += struct.pack("<4I", *(masks or (0, 0, 0, 0))) if header >= 52 else b""
        info += {108: b"BGRs", 124: b" niW"}.get(header, b"")
        info = info[:header].ljust(header, b"\0")
        info += struct.pack("<3I", *masks[:3]) if masks and header == 40 else b""
    table = b""
    if palette is not None:
        bgr = palette.astype(np.uint8)[:, ::-1]
        table = (bgr if header == 12 else np.pad(bgr, ((0, 0), (0, 1)))).tobytes()
    start = 14 + len(info) + len(table)
    return struct.pack("<2sI4xI", b"BM", start + len(pixels), start) + info + table + pixels


def icon_bitmap(samples: Array, bits: int, clear: Array, palette: Array | None = None) -> bytes:
    """The headless BMP of an icon: its height counts the mask, in which 1 is clear."""
    whole = bytearray(bmp(samples, bits, palette=palette)[14:])
    struct.pack_into("<i", whole, 8, samples.shape[0] * 2)
    return bytes(whole) + bmp_rows(clear[::-1, :, None].astype(np.uint8), 1)


def icon(entries: list[tuple[int, int, bytes]], cursor: bool = False) -> bytes:
    """`entries` are side, bits, and the bytes of a PNG or an `icon_bitmap`."""
    out = struct.pack("<HHH", 0, 2 if cursor else 1, len(entries))
    place = len(out) + 16 * len(entries)
    for side, bits, data in entries:
        planes, bits = (3, 5) if cursor else (1, bits)  # a cursor has its hot spot there
        out += struct.pack("<BBxxHHII", side & 255, side & 255, planes, bits, len(data), place)
        place += len(data)
    return out + b"".join(data for _, _, data in entries)


# --- TGA and PNM ---


def tga(samples: Array, palette: Array | None, right: bool = False, **options: object) -> bytes:
    """By Pillow, which knows run lengths and the place of the first row, but only left to right."""
    rows = samples[:, ::-1] if right else samples
    image = Image.fromarray((rows[..., 0] if rows.shape[2] == 1 else rows).astype(np.uint8))
    if palette is not None:
        image = Image.fromarray(rows[..., 0].astype(np.uint8), "P")
        image.putpalette(palette.astype(np.uint8).tobytes())
    out = io.BytesIO()
    image.save(out, "TGA", **options)
    data = bytearray(out.getvalue())
    data[17] |= 0x10 if right else 0
    return bytes(data)


def tga_16(samples: Array, alpha_bits: int = 0) -> bytes:
    """Red, green and blue of 5 bits each."""
    height, width = samples.shape[:2]
    head = struct.pack("<BBB9xHHBB", 0, 0, 2, width, height, 16, alpha_bits)
    pixels = pack_row(whole_pixels(samples[::-1], BMP_MASKS[16]), 16, "<")
    return head + pixels + bytes(8) + b"TRUEVISION-XFILE.\0"


def pnm(samples: Array, number: int, most: int = 255, comment: str = "") -> bytes:
    """P1 to P6; 1 to 3 are text. In P1 and P4, black is 1."""
    height, width = samples.shape[:2]
    if number in (1, 4):
        samples = 1 - samples
    head = f"P{number}\n{comment}{width} {height}\n" + ("" if number in (1, 4) else f"{most}\n")
    if number <= 3:
        lines = (" ".join(map(str, row.reshape(-1).tolist())) for row in samples)
        return (head + "\n".join(lines) + "\n").encode()
    bits = 1 if number == 4 else 8 if most < 256 else 16
    return head.encode() + b"".join(pack_row(row, bits) for row in samples)


def pam(samples: Array, kind: str) -> bytes:
    height, width, depth = samples.shape
    head = f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {depth}\nMAXVAL 255\n"
    return f"{head}TUPLTYPE {kind}\nENDHDR\n".encode() + pack_row(samples, 8)
