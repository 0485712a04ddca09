"""Kinds of TIFF, BMP, icons, TGA, QOI, PNM, AVIF, HEIC and JPEG XL."""

import io

import numpy as np
from PIL import Image

from . import encoders as write
from . import profiles
from .moving_kinds import STAGE
from .reference import Picture, still
from .scene import (
    alpha_ramp,
    bilevel_scene,
    exif,
    grey_scene,
    jpeg,
    palette_scene,
    png,
    png_16,
    save,
    scene,
    scene_float,
    to_8,
    turned,
)

# --- TIFF ---


def tiffs(make):
    make.group = "TIFF"
    rgb, grey, alpha = scene(), grey_scene(), alpha_ramp()
    page = write.TiffPage

    def add(name, pages, truth, order="<", big=False, **more):
        make.add(name, "tiff", write.tiff(pages if isinstance(pages, list) else [pages], order, big), truth, **more)

    add("uncompressed", page(rgb), rgb)
    add("big endian", page(rgb), rgb, ">")
    add("BigTIFF", page(rgb), rgb, big=True)
    add("BigTIFF, big endian, 16 bit", page(scene(65535), 16), rgb, ">", True)
    add("packbits", page(rgb, compression=write.PACKBITS), rgb)
    add("deflate, predictor", page(rgb, compression=write.DEFLATE, predictor=True), rgb)
    add("deflate, tiled", page(rgb, compression=write.DEFLATE, tile=64), rgb)
    add("planar", page(rgb, planar=True), rgb)
    add("planar, tiled, deflate", page(rgb, planar=True, tile=64, compression=write.DEFLATE), rgb)
    add("multi-page", [page(rgb), page(255 - rgb)], rgb, says="the first page counts")
    add("RGB 16 bit", page(scene(65535), 16), rgb)
    add(
        "RGB 16 bit, big endian, predictor",
        page(scene(65535), 16, compression=write.DEFLATE, predictor=True),
        rgb,
        ">",
    )
    add("RGB 32 bit float", page(scene_float(), 32, floating=True), rgb, says="0.0 is black, 1.0 white")
    add("grey 32 bit float", page(scene_float() @ [[0.299], [0.587], [0.114]], 32, 1, floating=True), grey)
    both = np.concatenate([rgb, alpha], axis=2)
    add("RGBA", page(both, extra_samples=(2,)), both)
    multiplied = np.concatenate([np.rint(rgb * alpha / 255).astype(int), alpha], axis=2)
    add("RGBA, alpha multiplied in", page(multiplied, extra_samples=(1,)), both, says="ExtraSamples 1", loose=1.5)
    add("RGB and a sample of no meaning", page(both, extra_samples=(0,)), rgb, says="ExtraSamples 0 is not alpha")
    add("grey with alpha", page(np.concatenate([grey, alpha], axis=2), photometric=1, extra_samples=(2,)),
        np.concatenate([grey, alpha], axis=2))  # fmt: skip
    for bits in (1, 2, 4, 8, 16):
        most = (1 << bits) - 1
        samples = bilevel_scene() if bits == 1 else grey_scene(most)
        add(f"grey {bits} bit, black is zero", page(samples, bits, 1), to_8(samples, most))
        add(f"grey {bits} bit, white is zero", page(most - samples, bits, 0), to_8(samples, most))
    for bits in (1, 2, 4, 8):
        indices, palette = palette_scene(1 << bits)
        table = (palette.T.reshape(-1).astype(int) * 257).tolist()
        add(f"palette {bits} bit", page(indices, bits, 3, tags={320: ("H", table)}), palette[indices[..., 0]])
    library_tiffs(make, rgb)


def library_tiffs(make, rgb):
    """The codings that libtiff writes."""
    bilevel = bilevel_scene()
    for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        make.add(f"{name.removeprefix('tiff_')}, libtiff", "tiff", save(rgb, "TIFF", compression=name), rgb)
    for name in ("group3", "group4", "tiff_ccitt"):
        image, out = Image.fromarray((bilevel[..., 0] * 255).astype(np.uint8)).convert("1"), io.BytesIO()
        image.save(out, "TIFF", compression=name)
        make.add(f"CCITT {name.removeprefix('tiff_ccitt') or 'RLE'}", "tiff", out.getvalue(), bilevel * 255)
    make.add("JPEG in TIFF, RGB", "tiff", save(rgb, "TIFF", compression="jpeg", quality=95))
    make.tool(
        "JPEG in TIFF, YCbCr", "tiff", ["convert", "IN", "-compress", "jpeg", "-quality", "95", "OUT"], png(rgb), rgb
    )
    tiled = "OUT[tile,compression=jpeg,Q=95,tile-width=64,tile-height=64]"
    make.tool("JPEG in TIFF, tiled", "tiff", ["vips", "copy", "IN", tiled], png(rgb))
    levels = "OUT[tile,pyramid,compression=lzw,tile-width=64,tile-height=64]"
    make.tool("pyramid", "tiff", ["vips", "copy", "IN", levels],
              png(rgb), rgb, says="the largest level comes first")  # fmt: skip
    make.tool("LZW, predictor, 16 bit", "tiff", ["vips", "copy", "IN", "OUT[compression=lzw,predictor=horizontal]"],
              png_16(scene(65535)), rgb)  # fmt: skip
    make.tool("zstd", "tiff", ["vips", "copy", "IN", "OUT[compression=zstd]"], png(rgb), rgb)
    make.tool("WebP in TIFF", "tiff", ["vips", "copy", "IN", "OUT[compression=webp,lossless]"], png(rgb), rgb)
    make.tool("CIELab", "tiff", ["vips", "colourspace", "IN", "OUT", "lab"], png(rgb), rgb, loose=1.5)


# --- BMP, ICO, CUR ---


def bmps(make):
    make.group = "BMP"
    rgb, alpha = scene(), alpha_ramp()
    for bits in (1, 4, 8):
        indices, palette = palette_scene(1 << bits)
        truth = palette[indices[..., 0]]
        make.add(f"{bits} bit", "bmp", write.bmp(indices, bits, palette=palette), truth)
        make.add(f"{bits} bit, OS/2 header", "bmp", write.bmp(indices, bits, 12, palette), truth)
    for bits in (4, 8):
        indices, palette = palette_scene(1 << bits)
        truth = palette[indices[..., 0]]
        make.add(f"RLE{bits}", "bmp", write.bmp(indices, bits, palette=palette, rle=True), truth)
        make.add(
            f"RLE{bits}, top down", "bmp", write.bmp(indices, bits, palette=palette, rle=True, top_down=True), truth
        )
        for odd, says in (("beyond", "runs go beyond their rows"), ("skips", "pixels of the first colour are skipped")):
            source = write.bmp(indices, bits, palette=palette, rle=True, odd=odd)
            make.add(f"RLE{bits}, {odd}", "bmp", source, truth, says=says)
    indices, palette = palette_scene(100)
    make.add("8 bit, 100 colours", "bmp", write.bmp(indices, 8, palette=palette), palette[indices[..., 0]])
    make.add(
        "8 bit, top down", "bmp", write.bmp(indices, 8, palette=palette, top_down=True), palette[indices[..., 0]]
    )
    make.add("24 bit", "bmp", write.bmp(rgb, 24), rgb)
    make.add("24 bit, top down", "bmp", write.bmp(rgb, 24, top_down=True), rgb)
    make.add("24 bit, OS/2 header", "bmp", write.bmp(rgb, 24, 12), rgb)
    make.add("24 bit, OS/2 2 header", "bmp", write.bmp(rgb, 24, 64), rgb)
    for version, header in ((4, 108), (5, 124)):
        make.add(f"24 bit, V{version} header", "bmp", write.bmp(rgb, 24, header), rgb)
    five, six = np.rint(rgb * 31 / 255).astype(int), np.rint(rgb * 63 / 255).astype(int)
    eight = np.rint(five * 255 / 31)
    pixels = (five[..., :1] << 10 | five[..., 1:2] << 5 | five[..., 2:]).astype(int)
    make.add("16 bit", "bmp", write.bmp(pixels, 16), eight, says="5 bits a colour")
    pixels = five[..., :1] << 11 | six[..., 1:2] << 5 | five[..., 2:]
    truth = np.concatenate([eight[..., :1], np.rint(six[..., 1:2] * 255 / 63), eight[..., 2:]], axis=2)
    make.add("16 bit, masks 565", "bmp", write.bmp(pixels, 16, masks=(0xF800, 0x07E0, 0x001F, 0)), truth)
    whole = rgb[..., :1] << 16 | rgb[..., 1:2] << 8 | rgb[..., 2:]
    make.add(
        "32 bit, fourth byte 0", "bmp", write.bmp(whole, 32), rgb, says="without a mask there is no alpha: opaque"
    )
    masks = (0xFF0000, 0x00FF00, 0x0000FF, 0)
    make.add("32 bit, masks, no alpha", "bmp", write.bmp(whole, 32, masks=masks), rgb)
    both = np.concatenate([rgb, alpha], axis=2)
    pixels = alpha << 24 | whole
    masks = (0xFF0000, 0x00FF00, 0x0000FF, 0xFF000000)
    for header in (56, 108, 124):
        make.add(f"32 bit, alpha mask, {header}-byte header", "bmp", write.bmp(pixels, 32, header, masks=masks), both)
    odd = rgb[..., 2:] << 24 | rgb[..., 1:2] << 16 | rgb[..., :1] << 8 | alpha
    masks = (0x0000FF00, 0x00FF0000, 0xFF000000, 0x000000FF)
    make.add("32 bit, masks in another order", "bmp", write.bmp(odd, 32, 124, masks=masks), both)


def icons(make):
    make.group = "ICO"

    def picture(side):
        return np.concatenate([scene(255, side, side), alpha_ramp(255, side, side)], axis=2)

    def whole(rgba):
        return rgba[..., 3:] << 24 | rgba[..., :1] << 16 | rgba[..., 1:2] << 8 | rgba[..., 2:3]

    def hard(side):
        """Wholly clear or wholly opaque."""
        return alpha_ramp(255, side, side)[..., 0] < 128

    def bitmap_32(side):
        rgba = picture(side)
        return side, 32, write.icon_bitmap(whole(rgba), 32, rgba[..., 3] == 0)

    def png_entry(side):
        return side, 32, png(picture(side))

    entries = [bitmap_32(16), bitmap_32(32), bitmap_32(48), png_entry(256)]
    make.add("several sizes, PNG of 256 within", "ico", write.icon(entries), picture(256), says="the largest counts")
    backwards = [bitmap_32(64), bitmap_32(48), bitmap_32(16)]
    make.add("several sizes, largest first", "ico", write.icon(backwards), picture(64))
    make.add("32 bit BMP", "ico", write.icon([bitmap_32(64)]), picture(64))
    lie = bytearray(write.icon([bitmap_32(64)]))
    lie[6:8] = 128, 32
    make.add("an entry of another size", "ico", bytes(lie), picture(64), says="it says 128 x 32")
    opaque = picture(64)
    opaque[..., 3] = 0
    empty = write.icon([(64, 32, write.icon_bitmap(whole(opaque), 32, hard(64)))])
    make.add("32 bit BMP, alpha all 0, mask", "ico", empty,
             np.concatenate([opaque[..., :3], np.where(hard(64), 0, 255)[..., None]], axis=2),
             says="old programs left alpha empty: then the mask counts")  # fmt: skip
    masked = np.concatenate([scene(255, 64, 64), np.where(hard(64), 0, 255)[..., None]], axis=2)
    make.add(
        "24 bit BMP with mask",
        "ico",
        write.icon([(64, 24, write.icon_bitmap(scene(255, 64, 64), 24, hard(64)))]),
        masked,
    )
    for bits in (1, 4, 8):
        indices, palette = palette_scene(1 << bits, 64, 64)
        truth = np.concatenate([palette[indices[..., 0]], masked[..., 3:]], axis=2)
        data = write.icon([(64, bits, write.icon_bitmap(indices, bits, hard(64), palette))])
        make.add(f"{bits} bit BMP with mask", "ico", data, truth)
    indices, palette = palette_scene(16, 64, 64)
    flat = (64, 4, write.icon_bitmap(indices, 4, hard(64), palette))
    make.add(
        "two depths of one size", "ico", write.icon([flat, bitmap_32(64)]), picture(64), says="the deeper counts"
    )
    make.add("CUR, 32 bit", "cur", write.icon([bitmap_32(64)], cursor=True), picture(64))


# --- the rest ---


def tgas(make):
    make.group = "TGA"
    rgb, grey, alpha = scene(), grey_scene(), alpha_ramp()
    both = np.concatenate([rgb, alpha], axis=2)
    bgr, bgra = rgb[..., ::-1], both[..., [2, 1, 0, 3]]
    indices, palette = palette_scene(256)
    make.add("true colour", "tga", write.tga(bgr, 2, 24), rgb)
    make.add(
        "true colour, no footer",
        "tga",
        write.tga(bgr, 2, 24, footer=False),
        rgb,
        says="nothing in it says TGA but its name",
    )
    make.add("true colour, RLE", "tga", write.tga(bgr, 2, 24, rle=True), rgb)
    make.add("with alpha", "tga", write.tga(bgra, 2, 32), both)
    make.add("with alpha, RLE", "tga", write.tga(bgra, 2, 32, rle=True), both)
    make.add("top left", "tga", write.tga(bgr, 2, 24, top=True), rgb)
    make.add("bottom right", "tga", write.tga(bgr, 2, 24, right=True), rgb, says="rows run from right to left")
    make.add("palette", "tga", write.tga(indices, 1, 8, palette), palette[indices[..., 0]])
    make.add("palette, RLE", "tga", write.tga(indices, 1, 8, palette, rle=True), palette[indices[..., 0]])
    make.add("grey", "tga", write.tga(grey, 3, 8), grey)
    make.add("grey, RLE", "tga", write.tga(grey, 3, 8, rle=True), grey)
    five = np.rint(rgb * 31 / 255).astype(int)
    pixels = five[..., :1] << 10 | five[..., 1:2] << 5 | five[..., 2:]
    source = write.tga(pixels, 2, 16)
    make.add("16 bit", "tga", source, np.rint(five * 255 / 31))
    source = source[:17] + bytes([source[17] | 8]) + source[18:]
    make.add("16 bit, 8 for alpha", "tga", source, np.rint(five * 255 / 31), says="there are but 16 bits a pixel")


def pnms(make):
    make.group = "QOI and PNM"
    rgb, grey, alpha = scene(), grey_scene(), alpha_ramp()
    both = np.concatenate([rgb, alpha], axis=2)
    make.add("QOI, RGB", "qoi", write.qoi(rgb), rgb)
    make.add("QOI, RGBA", "qoi", write.qoi(both), both)
    black = 1 - bilevel_scene()
    make.add("P1, text", "pbm", write.pnm(black, 1, comment="# a comment\n"), bilevel_scene() * 255)
    make.add("P2, text", "pgm", write.pnm(grey, 2), grey)
    make.add("P3, text", "ppm", write.pnm(rgb, 3, comment="# a comment\n"), rgb)
    make.add("P4", "pbm", write.pnm(black, 4), bilevel_scene() * 255)
    make.add("P5", "pgm", write.pnm(grey, 5), grey)
    make.add("P6", "ppm", write.pnm(rgb, 6, comment="# a comment\n"), rgb)
    make.add("P5, up to 1000", "pgm", write.pnm(grey_scene(1000), 5, 1000), to_8(grey_scene(1000), 1000))
    make.add("P6, up to 31", "ppm", write.pnm(scene(31), 6, 31), to_8(scene(31), 31))
    make.add("P6, 16 bit", "ppm", write.pnm(scene(65535), 6, 65535), rgb)
    make.add("PAM, RGBA", "pam", write.pam(both, "RGB_ALPHA"), both)
    make.add("PAM, RGB", "pam", write.pam(rgb, "RGB"), rgb)
    make.add("PAM, grey with alpha", "pam", write.pam(np.concatenate([grey, alpha], axis=2), "GRAYSCALE_ALPHA"),
             np.concatenate([grey, alpha], axis=2))  # fmt: skip


def modern(make):
    make.group = "AVIF, HEIC, JPEG XL"
    rgb, grey = scene(), grey_scene()
    both = np.concatenate([rgb, alpha_ramp()], axis=2)
    avif = ["avifenc", "-s", "8", "-j", "1", "--min", "4", "--max", "12"]
    for how in ("444", "422", "420"):
        make.tool(f"AVIF 8 bit, {how}", "avif", [*avif, "-y", how, "IN", "OUT"], png(rgb), loose=1.5)
    make.tool(
        "AVIF 8 bit, limited range",
        "avif",
        [*avif, "-r", "limited", "-y", "444", "IN", "OUT"],
        png(rgb),
        rgb,
        loose=1.5,
    )
    make.tool("AVIF, lossless", "avif", ["avifenc", "-s", "8", "-j", "1", "-l", "IN", "OUT"], png(rgb), rgb)
    make.tool("AVIF, grey", "avif", [*avif, "-y", "400", "IN", "OUT"], png(grey), grey, loose=1.5)
    command = [*avif, "-y", "444", "--minalpha", "0", "--maxalpha", "0", "IN", "OUT"]
    make.tool("AVIF 8 bit, alpha", "avif", command, png(both),
              both, loose=1.5)  # fmt: skip
    for depth in ("10", "12"):
        command = [*avif, "-y", "444", "-d", depth, "IN", "OUT"]
        make.tool(f"AVIF {depth} bit", "avif", command, png_16(scene(65535)), rgb, loose=1.5)
    make.tool(
        "AVIF, turned by irot",
        "avif",
        [*avif, "-y", "444", "--irot", "3", "IN", "OUT"],
        png(turned(rgb, 6)),
        rgb,
        loose=1.5,
    )
    make.tool(
        "AVIF, mirrored by imir",
        "avif",
        [*avif, "-y", "444", "--imir", "1", "IN", "OUT"],
        png(turned(rgb, 2)),
        rgb,
        loose=1.5,
    )
    frames = [png(np.roll(rgb, step * 30, axis=1)) for step in range(4)]
    make.tool("AVIF, animated", "avif", [*avif, "-y", "444", "--fps", "5", "IN", "OUT"], frames,
              still(rgb), loose=1.5, says="of a sequence the primary picture is taken")  # fmt: skip
    heic = ["heif-enc", "-q", "92"]
    make.tool("HEIC", "heic", [*heic, "-o", "OUT", "IN"], png(rgb), loose=1.5)
    make.tool("HEIC, 4:4:4", "heic", [*heic, "-p", "chroma=444", "-o", "OUT", "IN"], png(rgb), loose=1.5)
    make.tool("HEIC, alpha", "heic", [*heic, "-o", "OUT", "IN"], png(both), loose=1.5)
    make.tool("HEIC 10 bit", "heic", [*heic, "-b", "10", "-o", "OUT", "IN"], png_16(scene(65535)), loose=1.5)
    jpeg_xl(make, rgb, both)


def jpeg_xl(make, rgb, both):
    lossless = ["cjxl", "IN", "OUT", "-d", "0"]
    make.tool("JPEG XL, lossless", "jxl", lossless, png(rgb), rgb)
    make.tool("JPEG XL, lossless 16 bit", "jxl", lossless, png_16(scene(65535)), rgb)
    make.tool("JPEG XL, lossless, alpha", "jxl", lossless, png(both), both)
    make.tool("JPEG XL, lossless, grey", "jxl", lossless, png(grey_scene()), grey_scene())
    make.tool("JPEG XL, lossy", "jxl", ["cjxl", "IN", "OUT", "-d", "1"], png(rgb), loose=1.5)
    make.tool("JPEG XL, lossy, progressive", "jxl", ["cjxl", "IN", "OUT", "-d", "1", "-p"], png(rgb), loose=1.5)
    turned_jpeg = jpeg(turned(rgb, 6), exif=exif(6))
    make.tool("JPEG XL, from a JPEG with EXIF 6", "jxl", ["cjxl", "IN", "OUT", "--lossless_jpeg=1"], turned_jpeg, rgb,
              source_suffix="jpg")  # fmt: skip
    icc = profiles.rgb_profile("swapped", profiles.SRGB, profiles.table_tag(), order=(1, 2, 0))
    chunk = [(b"iCCP", b"p\0\0" + write.zlib.compress(icc))]
    make.tool("JPEG XL, channels swapped by a profile", "jxl", lossless, png(rgb[..., [1, 2, 0]], chunks=chunk), rgb)
    width, height = STAGE
    first = np.concatenate([scene(255, width, height), np.full((height, width, 1), 255)], axis=2).astype(np.uint8)
    frames = [
        write.Frame(np.roll(first, step * 20, axis=1), duration=100 + step * 50, blend="source") for step in range(4)
    ]
    truth = Picture([frame.rgba for frame in frames], [frame.duration for frame in frames], 0)
    make.tool("JPEG XL, animated", "jxl", lossless, write.apng(width, height, frames, 0), truth, source_suffix="apng")
