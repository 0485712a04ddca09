"""Files that are small and ask for much.

Headers claim more than any memory, streams inflate to gigabytes, structures refer to themselves.
check-corpus.py goes by their names: what "claims-" must be refused, what is "sound-" imported.
Those that are but a few texts stand in corpus.toml.
"""

import struct
import zlib
from collections.abc import Iterator

Bombs = Iterator[tuple[str, bytes]]
HUGE = 60_000
CLAIM = f"claims-{HUGE}x{HUGE}"
MOST = 2**32 - 1


def deflated_zeros(length: int) -> bytes:
    """So many zero bytes, deflated a megabyte at a time."""
    stream, block = zlib.compressobj(9), bytes(1 << 20)
    parts = [stream.compress(block) for _ in range(length >> 20)]
    return b"".join([*parts, stream.compress(bytes(length % (1 << 20))), stream.flush()])


def png_chunk(name: bytes, data: bytes = b"") -> bytes:
    checksum = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


def png(
    width: int, height: int, depth: int, color: int, data: bytes, between: bytes = b""
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)
    return head + between + png_chunk(b"IDAT", data) + png_chunk(b"IEND")


def pngs() -> Bombs:
    dot = zlib.compress(b"\0\xff\0\0")

    def small(between: bytes) -> bytes:
        return png(1, 1, 8, 2, dot, between)

    yield f"{CLAIM}.png", png(HUGE, HUGE, 8, 2, deflated_zeros(900_000))
    yield "claims-2147483647x2147483647.png", png(2**31 - 1, 2**31 - 1, 16, 6, dot)
    yield "claims-0x0.png", png(0, 0, 8, 2, dot)
    inflating = deflated_zeros(2 << 30)
    yield "inflates-2-gigabytes-idat.png", png(1, 1, 8, 2, inflating)
    for name, head in (
        (b"zTXt", b"Comment\0\0"),
        (b"iTXt", b"Comment\0\1\0\0\0"),
        (b"iCCP", b"profile\0\0"),
    ):
        chunk = png_chunk(name, head + inflating)
        yield f"inflates-2-gigabytes-{name.decode().lower()}.png", small(chunk)
    yield "200000-text-chunks.png", small(png_chunk(b"tEXt", b"Comment\0text") * 200_000)
    frames = png_chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    frames += png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 1, 1, 0, 0, 1, 10, 0, 0))
    yield "2147483647-frames-of-1x1.apng", small(frames)
    # Sound, and below any sensible limit of pixels, but a gigabyte before samples are made 8 bit.
    rows = deflated_zeros(11_000 * (11_000 * 8 + 1))
    yield "sound-11000x11000-16-bit.png", png(11_000, 11_000, 16, 6, rows)


def bmps() -> Bombs:
    # Each line ends at once, so that a decoder fills the picture from very few bytes.
    lines = bytes(1024) + b"\0\0" * 400 + b"\0\1"
    for name, width, height, bits, compression, data in (
        (CLAIM, HUGE, HUGE, 24, 0, bytes(1000)),
        (f"{CLAIM}-rle", HUGE, HUGE, 8, 1, lines),
        ("claims-minimal-height", 100, -(2**31), 24, 0, bytes(1000)),
    ):
        info = struct.pack("<IiiHHI20x", 40, width, height, 1, bits, compression)
        head = b"BM" + struct.pack("<IHHI", 54 + len(data), 0, 0, 54)
        yield f"{name}.bmp", head + info + data


def gif(width: int, height: int, frames: int) -> bytes:
    # Clear, one pixel of colour 0, end: in codes of three bits.
    control, place = b"\x21\xf9\x04\x04\x02\0\0\0", struct.pack("<HHHHB", 0, 0, 1, 1, 0)
    frame = control + b"\x2c" + place + b"\x02\x02\x44\x01\0"
    loop = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return b"GIF89a" + screen + loop + frame * frames + b"\x3b"


def gifs() -> Bombs:
    yield f"{CLAIM}.gif", gif(HUGE, HUGE, 1)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, HUGE, HUGE, 0) + b"\x02\x02\x44\x01\0"
    screen = struct.pack("<HHBBB6x", 1, 1, 0x80, 0, 0)
    yield f"{CLAIM}-frame.gif", b"GIF89a" + screen + frame + b"\x3b"
    for frames, side in ((100_000, 1), (100_000, 10_000), (9000, 3000)):
        yield f"{frames}-frames-of-{side}x{side}.gif", gif(side, side, frames)
    still, comment = gif(1, 1, 1), b"\x21\xfe\xff" + b"x" * 255 + b"\0"
    yield "20000-comments.gif", still[:19] + comment * 20_000 + still[19:]


def tiff_directory(entries: list[tuple], following: int = 0) -> bytes:
    """A little-endian TIFF of one directory at 8; an entry is tag, type, count, value."""
    rows = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    return head + rows + struct.pack("<I", following)


def tiff(
    width: int, height: int, changed: dict[int, tuple] | None = None, following: int = 0
) -> bytes:
    tags = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 1)}
    tags |= {262: (3, 1, 1), 273: (4, 1, 200), 277: (3, 1, 1), 278: (4, 1, height)}
    tags |= {279: (4, 1, 100)} | (changed or {})
    return tiff_directory([(tag, *tags[tag]) for tag in sorted(tags)], following)


def tiffs() -> Bombs:
    tile = 2**32 - 16
    tiles = {322: (4, 1, tile), 323: (4, 1, tile), 324: (4, 1, 200), 325: (4, 1, 100)}
    for name, data in (
        (CLAIM, tiff(HUGE, HUGE)),
        (f"claims-{MOST}x{MOST}", tiff(MOST, MOST)),
        ("next-directory-is-itself", tiff(10, 10, following=8)),
        ("sub-directory-is-itself", tiff(10, 10, {330: (4, 1, 8), 34665: (4, 1, 8)})),
        (f"strips-counted-{MOST}", tiff(10, 10, {273: (4, MOST, 8), 279: (4, MOST, 8)})),
        (f"strip-of-{MOST}-bytes", tiff(10, 10, {279: (4, 1, MOST)})),
        (f"tiles-of-{tile}", tiff(10, 10, tiles)),
        ("65535-samples-a-pixel", tiff(5000, 5000, {277: (3, 1, 65_535)})),
    ):
        yield f"{name}.tiff", data + bytes(200)
    deflated = deflated_zeros(1 << 30)
    head = tiff(10, 10, {259: (3, 1, 8), 279: (4, 1, len(deflated))})
    yield "inflates-1-gigabyte.tiff", head.ljust(200, b"\0") + deflated
    yield "directories-in-a-ring.tiff", b"II*\0" + struct.pack("<IHIHI", 8, 0, 14, 0, 8)


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def jpeg_head(frame: int, width: int, height: int, components: int = 1) -> bytes:
    parts = b"".join(bytes([number % 256, 0x11, 0]) for number in range(1, components + 1))
    size = struct.pack(">BHHB", 8, height, width, components)
    return b"\xff\xd8" + segment(0xDB, b"\0" + b"\x01" * 64) + segment(frame, size + parts)


def jpeg_scans(side: int) -> bytes:
    """5,000 scans of runs of 32,767 blocks that stay as they are."""
    blocks = ((side + 7) // 8) ** 2
    first = segment(0xDA, b"\x01\x01\0\0\0\0") + bytes((blocks + 7) // 8)
    # A bit 0 for the code and fourteen bits 1 for the length.
    bits = ("0" + "1" * 14) * (blocks // 32_767 + 1)
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    heads = (segment(0xDA, bytes([1, 1, 0, 1 + n % 63, 1 + n % 63, 0])) for n in range(5000))
    return first + b"".join(head + data for head in heads)


def jpegs() -> Bombs:
    # One code of one bit for each table: category 0 for DC, "the end of 2^14 + n blocks" for AC.
    code = b"\x01" + bytes(15)
    table = segment(0xC4, b"\0" + code + b"\0") + segment(0xC4, b"\x10" + code + b"\xe0")
    scan, end = segment(0xDA, b"\x01\x01\0\0\x3f\0"), b"\xff\xd9"
    for more, frame in (("", 0xC0), ("-progressive", 0xC2)):
        head = jpeg_head(frame, HUGE, HUGE)
        yield f"{CLAIM}{more}.jpg", head + table + scan + bytes(100) + end
    for side in (2000, 10_000):
        data = jpeg_head(0xC2, side, side) + table + jpeg_scans(side) + end
        yield f"5000-scans-of-{side}x{side}.jpg", data
    head = jpeg_head(0xC0, 5000, 5000)[:-4] + b"\xff" + b"\x01\x11\0" * 255
    head = head.replace(b"\xff\xc0\0\x0b", b"\xff\xc0" + struct.pack(">H", 8 + 3 * 255))
    yield "255-components.jpg", head + table + scan + end
    small = jpeg_head(0xC0, 8, 8) + table + scan + b"\0" + end
    # Exif whose directory names itself as its sub-directory and as its successor.
    exif = b"Exif\0\0" + tiff_directory([(0x8769, 4, 1, 8), (0x112, 3, 1, 6)], 8)
    # 255 parts of a colour profile of which no two belong together.
    parts = [b"ICC_PROFILE\0" + bytes([n, 255]) + bytes(65_000) for n in (1, 1, 255, 0, 7)]
    for name, segments in (
        ("100000-empty-segments", segment(0xEF, b"") * 100_000),
        ("exif-refers-to-itself", segment(0xE1, exif)),
        ("profile-in-senseless-parts", b"".join(segment(0xE2, part) for part in parts) * 20),
    ):
        yield f"{name}.jpg", small[:2] + segments + small[2:]


def webps() -> Bombs:
    def riff(chunks: bytes) -> bytes:
        return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks

    def canvas(flags: int, side: int) -> bytes:
        return b"VP8X" + struct.pack("<IB3x", 10, flags) + (side - 1).to_bytes(3, "little") * 2

    yield f"{CLAIM}.webp", riff(canvas(0, HUGE) + b"VP8 " + struct.pack("<I", 100) + bytes(100))
    frames = (b"ANMF" + struct.pack("<I", 16) + bytes(16)) * 10_000
    anim = b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    yield "10000-empty-frames-of-16383x16383.webp", riff(canvas(2, 16_383) + anim + frames)


def others() -> Bombs:
    head = b"qoif" + struct.pack(">IIBB", HUGE, HUGE, 4, 0)
    yield f"{CLAIM}.qoi", head + b"\xfd" * 1000 + bytes(7) + b"\1"
    head = struct.pack("<BBB9xHHBB", 0, 0, 10, HUGE, HUGE, 24, 0)
    yield f"{CLAIM}.tga", head + b"\xff\0\0\0" * 200
    inner = png(HUGE, HUGE, 8, 6, zlib.compress(bytes(1000)))
    head = struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(inner), 22)
    yield f"{CLAIM}.ico", head + inner
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, MOST, MOST)
    head = struct.pack("<HHH", 0, 1, 65_535)
    yield "65535-entries-beyond-the-end.ico", head + entry * 65_535
    head = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    yield "box-of-0-bytes.jxl", head + b"\0\0\0\1jxlc" + bytes(100)
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    svg = '<svg xmlns="http://www.w3.org/2000/svg">&l11;</svg>'
    yield "laughs.svg", f'<!DOCTYPE svg [<!ENTITY l0 "ha">{laughs}]>{svg}'.encode()


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + kind + content


def heifs() -> Bombs:
    for brand, codec in (("avif", b"av01"), ("heic", b"hvc1")):
        head = box(b"ftyp", brand.encode() + bytes(4) + b"mif1" + brand.encode())
        size = box(b"ispe", struct.pack(">III", 0, HUGE, HUGE))
        item = box(b"infe", struct.pack(">IHH", 2 << 24, 1, 0) + codec + b"\0")
        meta = box(b"hdlr", bytes(8) + b"pict" + bytes(13))
        meta += box(b"pitm", struct.pack(">IH", 0, 1))
        meta += box(b"iloc", struct.pack(">IHHHHHII", 0, 0x4400, 1, 1, 0, 1, 0, 100))
        meta += box(b"iinf", struct.pack(">IH", 0, 1) + item)
        one = box(b"ipma", struct.pack(">IIHBB", 0, 1, 1, 1, 1))
        meta += box(b"iprp", box(b"ipco", size) + one)
        data = box(b"mdat", bytes(1000))
        yield f"{CLAIM}.{brand}", head + box(b"meta", bytes(4) + meta) + data
        nested = b""
        for _ in range(20_000):
            nested = box(b"meta", bytes(4) + nested)
        yield f"20000-boxes-in-boxes.{brand}", head + nested
        yield f"box-of-0-bytes.{brand}", head + bytes(8) * 100
        large = b"\0\0\0\1meta" + b"\xff" * 8 + bytes(100)
        yield f"box-of-{2**64 - 1}-bytes.{brand}", head + large


def all_bombs() -> Bombs:
    for bombs in (pngs, bmps, gifs, tiffs, jpegs, webps, others, heifs):
        yield from bombs()
