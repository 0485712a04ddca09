"""Writers for picture formats, down to the byte.

The usual libraries write each format in one or two of its ways. Decoders meet all of them, so these writers take
the choices (bit depth, byte order, origin, disposal, masks) as arguments. They read nothing and depend on nothing
but numpy. Samples are arrays of integers, height x width x channels.
"""

import struct
import zlib
from dataclasses import dataclass, field

import numpy as np


def pack_row(samples, bits, order=">"):
    """The bytes of a row of samples: below 8 bits the first sample is in the high bits."""
    flat = np.asarray(samples).reshape(-1)
    if bits == 8:
        return flat.astype(np.uint8).tobytes()
    if bits > 8:
        return flat.astype(f"{order}u{bits // 8}").tobytes()
    each_bit = (flat[:, None].astype(np.uint8) >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(each_bit.reshape(-1).astype(np.uint8)).tobytes()


# --- PNG and APNG ---

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def png_chunk(name, data=b""):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_rows(samples, depth, interlaced=False):
    """Compressed rows, each without a filter."""
    passes = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [samples]
    rows = [b"\0" + pack_row(row, depth) for part in passes if part.size for row in part]
    return zlib.compress(b"".join(rows), 9)


def png_head(width, height, depth, colour, interlaced=False):
    return b"\x89PNG\r\n\x1a\n" + png_chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    )


def png(samples, depth, colour, interlaced=False, palette=None, transparent=None, chunks=()):
    """`palette` is n x 3, `transparent` the bytes of tRNS, `chunks` are (name, data) before the pixels."""
    height, width = samples.shape[:2]
    out = [png_head(width, height, depth, colour, interlaced)]
    out += [png_chunk(name, data) for name, data in chunks]
    if palette is not None:
        out.append(png_chunk(b"PLTE", np.asarray(palette, np.uint8).tobytes()))
    if transparent is not None:
        out.append(png_chunk(b"tRNS", transparent))
    out += [png_chunk(b"IDAT", png_rows(samples, depth, interlaced)), png_chunk(b"IEND")]
    return b"".join(out)


@dataclass
class Frame:
    """A part of an animation: where it lies, and what becomes of it once its time is over."""

    rgba: np.ndarray
    x: int = 0
    y: int = 0
    duration: int = 100  # milliseconds
    dispose: str = "keep"  # or background, previous
    blend: str = "over"  # or source


def compose(width, height, frames):
    """What a viewer sees at each frame of an animation."""
    canvas = np.zeros((height, width, 4), np.uint8)
    seen = []
    for frame in frames:
        before = canvas.copy()
        y, x = frame.y, frame.x
        part = frame.rgba[: height - y, : width - x]
        place = np.s_[y : y + part.shape[0], x : x + part.shape[1]]
        if frame.blend == "source":
            canvas[place] = part
        else:
            canvas[place] = over(part, canvas[place])
        seen.append(canvas.copy())
        if frame.dispose == "background":
            canvas[place] = 0
        elif frame.dispose == "previous":
            canvas = before
    return seen


def over(top, bottom):
    """Porter and Duff's `over` of two pictures whose alpha is not multiplied in."""
    top_alpha = top[..., 3:] / 255
    bottom_alpha = bottom[..., 3:] / 255 * (1 - top_alpha)
    alpha = top_alpha + bottom_alpha
    colour = (top[..., :3] * top_alpha + bottom[..., :3] * bottom_alpha) / np.maximum(alpha, 1e-9)
    return np.rint(np.concatenate([colour, alpha * 255], axis=2)).astype(np.uint8)


def apng(width, height, frames, plays, hidden=None):
    """`hidden` is a picture that only viewers without APNG show; else the first frame is that picture."""
    disposals = {"keep": 0, "background": 1, "previous": 2}
    out = [png_head(width, height, 8, RGBA), png_chunk(b"acTL", struct.pack(">II", len(frames), plays))]
    number = 0
    if hidden is not None:
        out.append(png_chunk(b"IDAT", png_rows(hidden, 8)))
    for index, frame in enumerate(frames):
        rows, columns = frame.rgba.shape[:2]
        control = struct.pack(
            ">IIIIIHHBB",
            number, columns, rows, frame.x, frame.y, frame.duration, 1000,
            disposals[frame.dispose], int(frame.blend == "over"),
        )  # fmt: skip
        out.append(png_chunk(b"fcTL", control))
        number += 1
        data = png_rows(frame.rgba, 8)
        if index == 0 and hidden is None:
            out.append(png_chunk(b"IDAT", data))
        else:
            out.append(png_chunk(b"fdAT", struct.pack(">I", number) + data))
            number += 1
    return b"".join(out) + png_chunk(b"IEND")


# --- GIF ---


@dataclass
class GifFrame:
    """Indices of a palette; `transparent` is the index that is not painted."""

    indices: np.ndarray
    x: int = 0
    y: int = 0
    delay: int = 10  # hundredths of a second
    dispose: str = "keep"
    palette: np.ndarray | None = None
    transparent: int | None = None
    interlaced: bool = False

    def painted(self, global_palette):
        """The frame as the compositor of every format here takes it."""
        palette = global_palette if self.palette is None else self.palette
        alpha = np.full(self.indices.shape + (1,), 255, np.uint8)
        if self.transparent is not None:
            alpha[self.indices == self.transparent] = 0
        rgba = np.concatenate([palette[self.indices], alpha], axis=2)
        rgba[rgba[..., 3] == 0] = 0
        return Frame(rgba, self.x, self.y, self.delay * 10, self.dispose)


def gif(width, height, palette, frames, loops=None, version=b"89a"):
    """`loops` is what NETSCAPE2.0 holds; None leaves the extension out. Extensions are a matter of 89a."""
    out = [
        b"GIF" + version,
        struct.pack("<HHBBB", width, height, 0xF0 | table_bits(palette) - 1, 0, 0),
        table(palette),
    ]
    if loops is not None:
        out.append(b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", loops) + b"\0")
    for frame in frames:
        if version == b"89a":
            disposal = {"keep": 1, "background": 2, "previous": 3}[frame.dispose]
            flags = disposal << 2 | (frame.transparent is not None)
            out.append(struct.pack("<BBBBHBB", 0x21, 0xF9, 4, flags, frame.delay, frame.transparent or 0, 0))
        rows, columns = frame.indices.shape
        flags = 0x40 if frame.interlaced else 0
        if frame.palette is not None:
            flags |= 0x80 | table_bits(frame.palette) - 1
        out.append(struct.pack("<BHHHHB", 0x2C, frame.x, frame.y, columns, rows, flags))
        if frame.palette is not None:
            out.append(table(frame.palette))
        indices = frame.indices
        if frame.interlaced:
            order = [*range(0, rows, 8), *range(4, rows, 8), *range(2, rows, 4), *range(1, rows, 2)]
            indices = indices[order]
        colours = palette if frame.palette is None else frame.palette
        least_bits = max(2, table_bits(colours))
        data = gif_lzw(indices.reshape(-1).tolist(), least_bits)
        blocks = [bytes([len(part)]) + part for part in (data[i : i + 255] for i in range(0, len(data), 255))]
        out.append(bytes([least_bits]) + b"".join(blocks) + b"\0")
    return b"".join(out) + b"\x3b"


def table_bits(palette):
    return max(1, (len(palette) - 1).bit_length())


def table(palette):
    padded = np.zeros((1 << table_bits(palette), 3), np.uint8)
    padded[: len(palette)] = palette
    return padded.tobytes()


def gif_lzw(indices, least_bits):
    """GIF's LZW: codes grow by a bit as the table fills, and start anew at 4096."""
    clear, end = 1 << least_bits, (1 << least_bits) + 1
    bits, held, out = 0, 0, bytearray()
    codes, size = {}, least_bits + 1

    def put(code):
        nonlocal bits, held
        held |= code << bits
        bits += size
        while bits >= 8:
            out.append(held & 255)
            held >>= 8
            bits -= 8

    put(clear)
    following = end + 1
    prefix = indices[0]
    for index in indices[1:]:
        known = codes.get((prefix, index))
        if known is not None:
            prefix = known
            continue
        put(prefix)
        codes[prefix, index] = following
        # The decoder's table lags one entry behind.
        if following == 1 << size:
            size += 1
        following += 1
        if following == 4096:
            put(clear)
            codes, size, following = {}, least_bits + 1, end + 1
        prefix = index
    put(prefix)
    put(end)
    if bits:
        out.append(held & 255)
    return bytes(out)


# --- TIFF ---

NO_COMPRESSION, DEFLATE, PACKBITS = 1, 8, 32773
TIFF_TYPES = {"B": 1, "s": 2, "H": 3, "I": 4, "r": 5, "u": 7, "Q": 16}


@dataclass
class TiffPage:
    samples: np.ndarray
    bits: int = 8
    photometric: int = 2  # 0 white is zero, 1 black is zero, 2 RGB, 3 palette, 5 CMYK
    compression: int = NO_COMPRESSION
    planar: bool = False
    tile: int | None = None  # side of a tile
    floating: bool = False
    extra_samples: tuple = ()
    predictor: bool = False
    tags: dict = field(default_factory=dict)  # number: (letter of TIFF_TYPES, values)


def tiff(pages, order="<", big=False):
    """`order` is < for II and > for MM; `big` makes it a BigTIFF."""
    mark = b"II" if order == "<" else b"MM"
    offset = "Q" if big else "I"
    head = mark + (struct.pack(order + "HHHQ", 43, 8, 0, 16) if big else struct.pack(order + "HI", 42, 8))
    out = bytearray(head)
    pointer = len(out) - struct.calcsize(offset)
    for page in pages:
        pieces = tiff_pieces(page, order)
        places = []
        for piece in pieces:
            places.append(len(out))
            out += piece + b"\0" * (len(piece) % 2)
        tags = tiff_tags(page, places, [len(piece) for piece in pieces], offset)
        struct.pack_into(order + offset, out, pointer, len(out))
        count, entry = ("Q", 20) if big else ("H", 12)
        inline = 8 if big else 4
        end = len(out) + struct.calcsize("<" + count) + entry * len(tags) + inline
        entries, beyond = bytearray(), bytearray()
        for number, (letter, values) in sorted(tags.items()):
            data = tiff_values(letter, values, order)
            length = len(values) // (2 if letter == "r" else 1)
            entries += struct.pack(order + "HH" + offset, number, TIFF_TYPES[letter], length)
            if len(data) <= inline:
                entries += data.ljust(inline, b"\0")
            else:
                entries += struct.pack(order + offset, end + len(beyond))
                beyond += data + b"\0" * (len(data) % 2)
        out += struct.pack(order + count, len(tags)) + entries
        pointer = len(out)
        out += b"\0" * inline + beyond
    return bytes(out)


def tiff_values(letter, values, order):
    if letter in "su":
        return bytes(values)
    letter = "I" if letter == "r" else letter
    return struct.pack(f"{order}{len(values)}{letter}", *values)


def tiff_tags(page, places, lengths, offset):
    height, width, channels = page.samples.shape
    tags = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [page.bits] * channels),
        259: ("H", [page.compression]),
        262: ("H", [page.photometric]),
        277: ("H", [channels]),
        282: ("r", [72, 1]),
        283: ("r", [72, 1]),
        284: ("H", [2 if page.planar else 1]),
        296: ("H", [2]),
    }
    if page.tile:
        tags |= {322: ("I", [page.tile]), 323: ("I", [page.tile]), 324: (offset, places), 325: ("I", lengths)}
    else:
        tags |= {273: (offset, places), 278: ("I", [TIFF_STRIP_ROWS]), 279: ("I", lengths)}
    if page.predictor:
        tags[317] = ("H", [2])
    if page.extra_samples:
        tags[338] = ("H", list(page.extra_samples))
    if page.floating:
        tags[339] = ("H", [3] * channels)
    return tags | page.tags


TIFF_STRIP_ROWS = 50


def tiff_pieces(page, order):
    """The compressed strips or tiles, plane by plane when they are planar."""
    height, width, channels = page.samples.shape
    planes = [page.samples[..., i : i + 1] for i in range(channels)] if page.planar else [page.samples]
    pieces = []
    for plane in planes:
        if page.tile:
            side = page.tile
            fill = ((0, -height % side), (0, -width % side), (0, 0))
            padded = np.pad(plane, fill, mode="edge")
            parts = [
                padded[y : y + side, x : x + side] for y in range(0, height, side) for x in range(0, width, side)
            ]
        else:
            parts = [plane[y : y + TIFF_STRIP_ROWS] for y in range(0, height, TIFF_STRIP_ROWS)]
        pieces += [tiff_compress(page, part, order) for part in parts]
    return pieces


def tiff_compress(page, part, order):
    if page.floating:
        rows = [row.astype(f"{order}f{page.bits // 8}").tobytes() for row in part]
    else:
        if page.predictor:
            part = np.diff(part.astype(np.int64), axis=1, prepend=0) % (1 << page.bits)
        rows = [pack_row(row, page.bits, order) for row in part]
    if page.compression == DEFLATE:
        return zlib.compress(b"".join(rows))
    if page.compression == PACKBITS:
        return b"".join(map(packbits, rows))
    return b"".join(rows)


def packbits(row):
    out, at = bytearray(), 0
    while at < len(row):
        run = 1
        while run < 128 and row[at : at + 1] == row[at + run : at + run + 1]:
            run += 1
        if run > 1:
            out += bytes([257 - run, row[at]])
            at += run
            continue
        end = at + 1
        while end < len(row) and end - at < 128 and row[end : end + 1] != row[end + 1 : end + 2]:
            end += 1
        out += bytes([end - at - 1]) + row[at:end]
        at = end
    return bytes(out)


# --- BMP, ICO and CUR ---

BMP_RLE = {8: 1, 4: 2}


def bmp_rows(samples, bits):
    """Rows as they lie in the file, each padded to 4 bytes. 16 and 32 bit samples are whole pixels already."""
    rows = (pack_row(row, bits, "<") if bits != 24 else pack_row(row[:, ::-1], 8) for row in samples)
    return [row + b"\0" * (-len(row) % 4) for row in rows]


def bmp_rle(samples, bits, odd=None):
    """Runs and literals of the rows, each ended by its mark. `odd` is "beyond": runs go beyond their row, or "skips": pixels
    of the first colour are passed over."""
    out = bytearray()
    for row in samples[..., 0].tolist():
        at = 0
        while at < len(row):
            run = 1
            while run < 255 and at + run < len(row) and row[at + run] == row[at]:
                run += 1
            literal = row[at : at + 6]
            if run == 1 and len(literal) == 6:
                data = pack_row(literal, bits)
                out += bytes([0, 6]) + data + b"\0" * (len(data) % 2)
                at += 6
                continue
            if odd == "skips" and row[at] == 0:
                out += bytes([0, 2, run, 0])
            else:
                beyond = 40 if odd == "beyond" and at + run == len(row) else 0
                out += bytes([min(run + beyond, 255), row[at] if bits == 8 else row[at] * 17])
            at += run
        out += b"\0\0"
    return bytes(out) + b"\0\1"


def bmp(samples, bits, header=40, palette=None, top_down=False, rle=False, masks=None, odd=None):
    """`samples` are palette indices, RGB, or whole pixels of 16 or 32 bits, top row first. `odd` is that of `bmp_rle`."""
    height, width = samples.shape[:2]
    rows = samples if top_down else samples[::-1]
    pixels = bmp_rle(rows, bits, odd) if rle else b"".join(bmp_rows(rows, bits))
    compression = BMP_RLE[bits] if rle else 3 if masks else 0
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack(
            "<IiiHHIIiiII",
            header, width, -height if top_down else height, 1, bits, compression, len(pixels), 2835, 2835,
            0 if palette is None else len(palette), 0,
        )  # fmt: skip
        if header >= 52:
            info += struct.pack("<4I", *(masks or (0, 0, 0, 0)))
        if header >= 108:
            info += b"BGRs" if header == 108 else b" niW"
        info = info[:header].ljust(header, b"\0")
        if masks and header == 40:
            info += struct.pack("<3I", *masks[:3])
    colours = b""
    if palette is not None:
        bgr = np.asarray(palette, np.uint8)[:, ::-1]
        colours = (bgr if header == 12 else np.pad(bgr, ((0, 0), (0, 1)))).tobytes()
    start = 14 + len(info) + len(colours)
    return struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start) + info + colours + pixels


def icon_bitmap(samples, bits, mask, palette=None):
    """The headless BMP of an icon: its height counts the mask, in which 1 is transparent."""
    whole = bmp(samples, bits, palette=palette)
    info = bytearray(whole[14:])
    struct.pack_into("<i", info, 8, samples.shape[0] * 2)
    return bytes(info) + b"".join(bmp_rows(mask[::-1, :, None].astype(np.uint8), 1))


def icon(entries, cursor=False):
    """`entries` are (side, bits, bytes of a PNG or an `icon_bitmap`)."""
    out = struct.pack("<HHH", 0, 2 if cursor else 1, len(entries))
    place = len(out) + 16 * len(entries)
    for side, bits, data in entries:
        planes, bits = (3, 5) if cursor else (1, bits)  # a cursor has its hot spot there
        out += struct.pack("<BBBBHHII", side & 255, side & 255, 0, 0, planes, bits, len(data), place)
        place += len(data)
    return out + b"".join(data for _, _, data in entries)


# --- TGA, QOI, PNM ---


def tga(samples, kind, bits, palette=None, rle=False, top=False, right=False, footer=True):
    """`kind` is 1 palette, 2 true colour, 3 grey. Samples are BGR(A), indices, or 16-bit pixels."""
    height, width = samples.shape[:2]
    alpha_bits = 8 if bits == 32 else 0
    colours = b"" if palette is None else np.asarray(palette, np.uint8)[:, ::-1].tobytes()
    head = struct.pack(
        "<BBBHHBHHHHBB",
        0, int(palette is not None), kind + (8 if rle else 0), 0,
        0 if palette is None else len(palette), 0 if palette is None else 24,
        0, 0, width, height, bits, alpha_bits | (0x20 if top else 0) | (0x10 if right else 0),
    )  # fmt: skip
    rows = samples if top else samples[::-1]
    rows = rows[:, ::-1] if right else rows
    each = [pack_row(row, 16 if bits == 16 else 8, "<") for row in rows]
    step = bits // 8
    pixels = b"".join(tga_rle(row, step) for row in each) if rle else b"".join(each)
    end = struct.pack("<II", 0, 0) + b"TRUEVISION-XFILE.\0" if footer else b""
    return head + colours + pixels + end


def tga_rle(row, step):
    pixels = [row[i : i + step] for i in range(0, len(row), step)]
    out, at = bytearray(), 0
    while at < len(pixels):
        run = 1
        while run < 128 and at + run < len(pixels) and pixels[at + run] == pixels[at]:
            run += 1
        if run > 1:
            out += bytes([127 + run]) + pixels[at]
            at += run
            continue
        end = at + 1
        while end < len(pixels) and end - at < 128 and pixels[end : end + 1] != pixels[end + 1 : end + 2]:
            end += 1
        out += bytes([end - at - 1]) + b"".join(pixels[at:end])
        at = end
    return bytes(out)


def qoi(samples):
    """The Quite OK Image format, https://qoiformat.org, with all of its operations."""
    height, width, channels = samples.shape
    out = bytearray(struct.pack(">4sIIBB", b"qoif", width, height, channels, 0))
    seen, previous, run = [(0, 0, 0, 0)] * 64, (0, 0, 0, 255), 0
    rgba = samples if channels == 4 else np.pad(samples, ((0, 0), (0, 0), (0, 1)), constant_values=255)
    for pixel in map(tuple, rgba.reshape(-1, 4).tolist()):
        if pixel == previous:
            run += 1
            if run == 62:
                out.append(0xC0 | 61)
                run = 0
            continue
        if run:
            out.append(0xC0 | run - 1)
            run = 0
        place = (pixel[0] * 3 + pixel[1] * 5 + pixel[2] * 7 + pixel[3] * 11) % 64
        red, green, blue = ((new - old + 128) % 256 - 128 for new, old in zip(pixel[:3], previous))
        if seen[place] == pixel:
            out.append(place)
        elif pixel[3] != previous[3]:
            out += bytes([0xFF, *pixel])
        elif all(-2 <= change <= 1 for change in (red, green, blue)):
            out.append(0x40 | red + 2 << 4 | green + 2 << 2 | blue + 2)
        elif -32 <= green <= 31 and -8 <= red - green <= 7 and -8 <= blue - green <= 7:
            out += bytes([0x80 | green + 32, red - green + 8 << 4 | blue - green + 8])
        else:
            out += bytes([0xFE, *pixel[:3]])
        seen[place] = previous = pixel
    if run:
        out.append(0xC0 | run - 1)
    return bytes(out) + b"\0" * 7 + b"\1"


def pnm(samples, number, most=255, comment=""):
    """P1 to P6; 1 to 3 are text."""
    height, width = samples.shape[:2]
    head = f"P{number}\n{comment}{width} {height}\n" + ("" if number in (1, 4) else f"{most}\n")
    if number <= 3:
        lines = (" ".join(map(str, row.reshape(-1).tolist())) for row in samples)
        return (head + "\n".join(lines) + "\n").encode()
    bits = 1 if number == 4 else 8 if most < 256 else 16
    return head.encode() + b"".join(pack_row(row, bits) for row in samples)


def pam(samples, tuple_type, most=255):
    height, width, channels = samples.shape
    head = f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {channels}\nMAXVAL {most}\nTUPLTYPE {tuple_type}\nENDHDR\n"
    return head.encode() + pack_row(samples, 8 if most < 256 else 16)
