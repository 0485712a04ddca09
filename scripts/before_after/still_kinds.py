"""Kinds of still pictures: orientations, profiles, CMYK, JPEG, PNG, drawings, sizes and private data."""

import io
import struct

import numpy as np
from PIL import Image, ImageDraw

from . import encoders as write
from . import profiles
from .kind import MOST_SIDE
from .scene import (
    HEIGHT,
    NOT_TURNED,
    SECRETS,
    WIDTH,
    XMP,
    alpha_ramp,
    bilevel_scene,
    exif,
    grey_scene,
    jpeg,
    palette_scene,
    png,
    save,
    scene,
    scene_float,
    to_8,
    turned,
)

# --- orientation ---


def orientation(make):
    make.group = "Orientation"
    upright = scene()
    for number in range(1, 9):
        data = jpeg(turned(upright, number), exif=exif(number))
        make.add(f"JPEG, EXIF {number}", "jpg", data, upright)
    for number in (3, 6):
        block = exif(number).removeprefix(b"Exif\0\0")
        chunks = [(b"eXIf", block)]
        make.add(f"PNG, eXIf {number}", "png", png(turned(upright, number), chunks=chunks), upright)
    for number in (5, 8):
        for how, options in (("lossy", {"quality": 90}), ("lossless", {"lossless": True})):
            data = save(turned(upright, number), "WEBP", exif=exif(number), **options)
            truth = None if how == "lossy" else upright
            make.add(f"WebP {how}, EXIF {number}", "webp", data, truth, browsers_err=True, says=NOT_TURNED)
    data = save(
        np.concatenate([turned(upright, 6), turned(alpha_ramp(), 6)], axis=2), "WEBP", lossless=True, exif=exif(6)
    )
    truth = np.concatenate([upright, alpha_ramp()], axis=2)
    make.add("WebP with alpha, EXIF 6", "webp", data, truth, browsers_err=True, says=NOT_TURNED)
    for number in (4, 6, 7):
        page = write.TiffPage(turned(upright, number), tags={274: ("H", [number])})
        make.add(f"TIFF, tag {number}", "tiff", write.tiff([page]), upright)
    data = jpeg(upright, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0\0\0\0\0")
    make.add("JPEG, EXIF 9 (no such)", "jpg", data, upright, says="an unknown orientation is none")
    swapped = profiles.rgb_profile("swapped", profiles.SRGB, profiles.table_tag(), order=(1, 2, 0))
    data = jpeg(turned(upright[..., [1, 2, 0]], 6), exif=exif(6), icc_profile=swapped)
    make.add("JPEG, EXIF 6 and a profile", "jpg", data, upright)


# --- colour profiles ---


def colour(make):
    make.group = "Profiles"
    rgb = scene_float()
    shown = scene()
    spaces = (
        ("Display P3", profiles.DISPLAY_P3, None, profiles.parametric_tag(), 4),
        ("Adobe RGB", profiles.ADOBE_RGB, 563 / 256, profiles.gamma_tag(563 / 256), 2),
        ("ProPhoto", profiles.PROPHOTO, 1.8, profiles.gamma_tag(1.8), 2),
    )
    for name, primaries, gamma, curve, version in spaces:
        icc = profiles.rgb_profile(name, primaries, curve, version)
        encoded = profiles.in_space(rgb, primaries, gamma)
        eight, sixteen = np.rint(encoded * 255).astype(int), np.rint(encoded * 65535).astype(int)
        # ProPhoto's dark steps are far apart: a JPEG's own noise is seen there.
        loose = 2 if name == "ProPhoto" else 1
        data = jpeg(eight, icc_profile=icc)
        make.add(f"JPEG, {name}", "jpg", data, shown, says=f"ICC version {version}", loose=loose)
        chunk = [(b"iCCP", b"p\0\0" + write.zlib.compress(icc))]
        make.add(f"PNG, {name}", "png", png(eight, chunks=chunk), shown)
        sixteen_png = write.png(sixteen, 16, write.RGB, chunks=chunk)
        make.add(f"PNG 16 bit, {name}", "png", sixteen_png, shown)
        page = write.TiffPage(eight, tags={34675: ("u", icc)})
        make.add(f"TIFF, {name}", "tiff", write.tiff([page]), shown)
        make.add(f"WebP, {name}", "webp", save(eight, "WEBP", lossless=True, icc_profile=icc), shown)
        both = np.concatenate([eight, alpha_ramp()], axis=2)
        data = save(both, "WEBP", lossless=True, exact=True, icc_profile=icc)
        make.add(f"WebP with alpha, {name}", "webp", data, np.concatenate([shown, alpha_ramp()], axis=2))
    swapped_profiles(make, shown)
    grey_profiles(make)
    broken_profiles(make, shown)


def swapped_profiles(make, shown):
    """A picture that only its profile puts right: whoever leaves it out sees other colours at once."""
    order = (1, 2, 0)
    moved = shown[..., list(order)]
    for name, icc in (
        ("matrix", profiles.rgb_profile("swapped", profiles.SRGB, profiles.table_tag(), order=order)),
        ("table", profiles.table_rgb_profile("swapped by a table", order)),
    ):
        says = "red, green and blue lie in each other's place; the profile puts them back"
        limits = {"says": says, "loose": 2 if name == "table" else 1}
        make.add(f"JPEG, channels swapped by a {name}", "jpg", jpeg(moved, icc_profile=icc), shown, **limits)
        chunk = [(b"iCCP", b"p\0\0" + write.zlib.compress(icc))]
        make.add(f"PNG, channels swapped by a {name}", "png", png(moved, chunks=chunk), shown, **limits)
        both = np.concatenate([moved, alpha_ramp()], axis=2)
        make.add(
            f"PNG with alpha, channels swapped by a {name}", "png", png(both, chunks=chunk),
            np.concatenate([shown, alpha_ramp()], axis=2), **limits,
        )  # fmt: skip
        data = save(moved, "WEBP", lossless=True, icc_profile=icc)
        make.add(f"WebP, channels swapped by a {name}", "webp", data, shown, **limits)
        indices, palette = palette_scene(64)
        data = write.png(indices, 8, write.PALETTE, palette=palette[:, list(order)], chunks=chunk)
        make.add(f"PNG palette, channels swapped by a {name}", "png", data, palette[indices[..., 0]], **limits)


def grey_profiles(make):
    luma = scene_float() @ [0.299, 0.587, 0.114]
    for name, gamma in (("gamma 1.0", 1.0), ("gamma 2.8", 2.8)):
        icc = profiles.grey_profile(name, profiles.gamma_tag(gamma))
        curve = round(gamma * 256) / 256
        encoded = np.rint(profiles.to_linear(luma) ** (1 / curve) * 255).astype(int)[..., None]
        truth = np.rint(profiles.from_linear((encoded / 255) ** curve) * 255)
        chunk = [(b"iCCP", b"p\0\0" + write.zlib.compress(icc))]
        # With a gamma of 1.0 a step of the source's noise is many steps in the dark.
        make.add(f"grey JPEG, {name}", "jpg", jpeg(encoded, 98, icc_profile=icc), truth, loose=2)
        make.add(f"grey PNG, {name}", "png", png(encoded, chunks=chunk), truth)
        both = np.concatenate([encoded, alpha_ramp()], axis=2)
        with_alpha = np.concatenate([truth, alpha_ramp()], axis=2)
        make.add(f"grey PNG with alpha, {name}", "png", png(both, chunks=chunk), with_alpha)
        encoded_16 = np.rint(profiles.to_linear(luma) ** (1 / curve) * 65535).astype(int)[..., None]
        truth_16 = np.rint(luma * 255)[..., None]
        data = write.png(encoded_16, 16, write.GREY, chunks=chunk)
        make.add(f"grey PNG 16 bit, {name}", "png", data, truth_16)
        page = write.TiffPage(encoded, photometric=1, tags={34675: ("u", icc)})
        make.add(f"grey TIFF, {name}", "tiff", write.tiff([page]), truth)


def broken_profiles(make, shown):
    srgb = profiles.rgb_profile("sRGB", profiles.SRGB, profiles.table_tag())
    make.add("WebP lossy, sRGB profile", "webp", save(shown, "WEBP", quality=90, icc_profile=srgb), exact=True,
             profile_may_stay=True, says="not encoded again: the profile changes nothing")  # fmt: skip
    make.add("JPEG, cut profile", "jpg", jpeg(shown, icc_profile=srgb[:200]), shown, says="a broken profile is none")
    grey = profiles.grey_profile("grey", profiles.gamma_tag(1.0))
    make.add("JPEG, profile of other colours", "jpg", jpeg(shown, icc_profile=grey), shown,
             says="a grey profile in an RGB picture is none")  # fmt: skip


# --- CMYK ---


def separated():
    """Cyan, magenta, yellow and black of 8 bits, and how they look without a profile."""
    rgb = scene_float()
    black = np.minimum(1 - rgb.max(axis=2, keepdims=True), 0.7) * 0.8
    inks = np.rint(np.concatenate([1 - rgb / (1 - black), black], axis=2).clip(0, 1) * 255)
    looks = (255 - inks[..., :3]) * (255 - inks[..., 3:]) / 255
    return inks.astype(int), np.rint(looks)


def ycck(inks):
    """A JPEG by Adobe's transform 2: Pillow stores 255 less what it is given, as it is, and calls it transform 0."""
    planes = np.asarray(Image.fromarray(inks[..., :3].astype(np.uint8)).convert("YCbCr")).astype(int)
    data = jpeg(np.concatenate([255 - planes, inks[..., 3:]], axis=2), mode="CMYK")
    adobe = data.index(b"\xff\xee\0\x0eAdobe")
    return data[: adobe + 15] + b"\2" + data[adobe + 16 :]


def without_adobe(data):
    adobe = data.index(b"\xff\xee\0\x0eAdobe")
    return data[:adobe] + data[adobe + 16 :]


def cmyk(make):
    make.group = "CMYK"
    inks, looks = separated()
    make.add("JPEG, Adobe (inverted)", "jpg", jpeg(inks, mode="CMYK"), looks)
    make.add("JPEG, Adobe (inverted), progressive, 4:2:0", "jpg",
             jpeg(inks, mode="CMYK", progressive=True, subsampling="4:2:0"), looks)  # fmt: skip
    make.add("JPEG, YCCK", "jpg", ycck(inks), looks)
    make.add("JPEG, no Adobe marker, inverted", "jpg", without_adobe(jpeg(inks, mode="CMYK")), looks,
             says="browsers, Pillow and ImageMagick take every CMYK JPEG as inverted")  # fmt: skip
    page = write.TiffPage(inks, photometric=5)
    make.add("TIFF", "tiff", write.tiff([page]), looks)
    make.add("TIFF, planar", "tiff", write.tiff([write.TiffPage(inks, photometric=5, planar=True)]), looks)
    make.add("TIFF, 16 bit", "tiff", write.tiff([write.TiffPage(inks * 257, 16, 5)]), looks)
    made = profiles.cmyk_profile("a press that never was")
    found = profiles.installed(make.profile_folders, b"CMYK")
    choices = [("made profile", made, np.rint(profiles.printed(inks / 255) * 255))]
    choices += [(f"press profile {found.stem}", found.read_bytes(), None)] if found else []
    for name, icc, truth in choices:
        # Colour engines interpolate such tables each in its own way.
        make.add(f"JPEG, {name}", "jpg", jpeg(inks, mode="CMYK", icc_profile=icc), truth, loose=2)
        page = write.TiffPage(inks, photometric=5, tags={34675: ("u", icc)})
        make.add(f"TIFF, {name}", "tiff", write.tiff([page]), truth, loose=2)
    if not found:
        make.skip("JPEG, press profile", "no CMYK profile is installed (--profiles)")


# --- JPEG ---


def jpegs(make):
    make.group = "JPEG"
    shown = scene()
    make.add("grey", "jpg", jpeg(grey_scene()), grey_scene())
    for how in ("4:4:4", "4:2:2", "4:2:0"):
        make.add(f"baseline {how}", "jpg", jpeg(shown, subsampling=how))
        make.add(f"progressive {how}", "jpg", jpeg(shown, subsampling=how, progressive=True))
    for name, factors in (("4:1:1", "4x1"), ("4:4:0", "1x2"), ("4:1:0", "4x2")):
        command = ["convert", "IN", "-quality", "95", "-sampling-factor", factors, "OUT"]
        make.tool(f"baseline {name}", "jpg", command, png(shown))
    make.add("stored as RGB", "jpg", jpeg(shown, keep_rgb=True), shown, says="Adobe transform 0")
    make.add("restart markers", "jpg", jpeg(shown, restart_marker_blocks=7), shown)
    make.add("quality 100", "jpg", jpeg(shown, 100), shown)
    make.add("quality 10", "jpg", jpeg(shown, 10, subsampling="4:2:0"))
    make.add("1 x 1", "jpg", jpeg(shown[:1, :1]), shown[:1, :1])
    make.add("bytes after the end", "jpg", jpeg(shown) + b"\0" * 3000 + b"MotionPhoto", shown)
    images = [Image.fromarray(shown.astype(np.uint8)), Image.fromarray(255 - shown.astype(np.uint8))]
    out = io.BytesIO()
    images[0].save(out, "MPO", save_all=True, append_images=images[1:], quality=95)
    make.add("multi-picture (MPO)", "jpg", out.getvalue(), shown, says="the first picture counts", loose=1.5)


# --- PNG ---


def pngs(make):
    make.group = "PNG"
    for interlaced in (False, True):
        lace = ", interlaced" if interlaced else ""
        for depth in (1, 2, 4, 8, 16):
            most = (1 << depth) - 1
            samples = bilevel_scene() if depth == 1 else grey_scene(most)
            make.add(
                f"grey {depth} bit{lace}",
                "png",
                write.png(samples, depth, write.GREY, interlaced),
                to_8(samples, most),
            )
        for depth in (1, 2, 4, 8):
            indices, palette = palette_scene(1 << depth)
            data = write.png(indices, depth, write.PALETTE, interlaced, palette=palette)
            make.add(f"palette {depth} bit{lace}", "png", data, palette[indices[..., 0]])
        for depth in (8, 16):
            most = (1 << depth) - 1
            rgb, grey, alpha = scene(most), grey_scene(most), alpha_ramp(most)
            for name, samples, kind in (
                ("grey with alpha", np.concatenate([grey, alpha], axis=2), write.GREY_ALPHA),
                ("RGB", rgb, write.RGB),
                ("RGBA", np.concatenate([rgb, alpha], axis=2), write.RGBA),
            ):
                data = write.png(samples, depth, kind, interlaced)
                make.add(f"{name} {depth} bit{lace}", "png", data, to_8(samples, most))
    transparent_pngs(make)
    make.add("1 x 1", "png", png(scene()[:1, :1]), scene()[:1, :1])
    clear = np.concatenate([scene(), np.zeros_like(alpha_ramp())], axis=2)
    make.add("wholly transparent", "png", png(clear), clear)
    opaque = np.concatenate([scene(), np.full_like(alpha_ramp(), 255)], axis=2)
    make.add("RGBA, all opaque", "png", png(opaque), opaque)


def transparent_pngs(make):
    indices, palette = palette_scene(16)
    alpha = np.full(16, 255)
    alpha[::3] = 0
    alpha[1::4] = 120
    truth = np.concatenate([palette, alpha[:, None]], axis=1)[indices[..., 0]]
    data = write.png(indices, 4, write.PALETTE, palette=palette, transparent=bytes(alpha.tolist()))
    make.add("palette 4 bit, tRNS", "png", data, truth)
    indices, palette = palette_scene(200)
    alpha = np.where(np.arange(200) < 90, np.arange(200) * 2, 255)
    truth = np.concatenate([palette, alpha[:, None]], axis=1)[indices[..., 0]]
    data = write.png(indices, 8, write.PALETTE, palette=palette, transparent=bytes(alpha[:90].tolist()))
    make.add("palette 8 bit, short tRNS", "png", data, truth, says="entries beyond tRNS are opaque")
    for depth in (8, 16):
        most = (1 << depth) - 1
        rgb = scene(most)
        key = np.array([220, 20, 20]) * (most // 255)  # the first patch
        near = key + ([0, 0, 1] if depth == 16 else [0, 0, 2])
        rgb[140:150, 5:15] = near
        clear = (rgb == key).all(axis=2, keepdims=True)
        truth = np.concatenate([to_8(rgb, most), np.where(clear, 0, 255)], axis=2)
        data = write.png(rgb, depth, write.RGB, transparent=struct.pack(">3H", *key.tolist()))
        says = "a square beside the transparent colour, one step off, stays" if depth == 16 else ""
        make.add(f"RGB {depth} bit, tRNS", "png", data, truth, says=says)
    for depth in (1, 2, 8, 16):
        most = (1 << depth) - 1
        samples = bilevel_scene() if depth == 1 else grey_scene(most)
        clear = samples == most
        truth = np.concatenate([to_8(samples, most), np.where(clear, 0, 255)], axis=2)
        data = write.png(samples, depth, write.GREY, transparent=struct.pack(">H", most))
        make.add(f"grey {depth} bit, tRNS", "png", data, truth)


# --- drawings, which few colours make small without loss ---


def drawings(make):
    make.group = "Drawings"
    image = Image.new("RGB", (400, 260), (248, 248, 248))
    draw = ImageDraw.Draw(image)
    draw.rectangle([0, 0, 400, 28], fill=(40, 44, 52))
    for number, colour in enumerate(((255, 95, 86), (255, 189, 46), (39, 201, 63))):
        draw.ellipse([10 + number * 18, 9, 20 + number * 18, 19], fill=colour)
    for line in range(14):
        draw.text(
            (14 + line % 3 * 14, 40 + line * 15), f"fn line_{line}() -> u32 {{ {line * 7919} }}", fill=(30, 60, 150)
        )
    draw.rectangle([280, 60, 380, 120], outline=(200, 0, 0), width=1)
    draw.line([280, 120, 380, 60], fill=(0, 120, 0), width=1)
    shot = np.asarray(image).astype(int)
    few = {"exact": True, "coding": "lossless", "says": "few colours: smaller, and right, without loss"}
    make.add("screenshot, PNG", "png", png(shot), shot, **few)
    make.add("screenshot, BMP", "bmp", write.bmp(shot, 24), shot, **few)
    both = np.concatenate([shot, np.full_like(shot[..., :1], 255)], axis=2)
    both[:40, 350:, 3] = 0
    make.add("screenshot with transparency, PNG", "png", png(both), both, **few)
    indices, palette = palette_scene(8)
    make.add("8 colours, GIF", "gif", write.gif(WIDTH, HEIGHT, palette, [write.GifFrame(indices[..., 0])]),
             palette[indices[..., 0]], **few)  # fmt: skip
    lettering = np.asarray(image.convert("L")).astype(int)[..., None]
    make.add("scanned text, 1-bit TIFF", "tiff", write.tiff([write.TiffPage(lettering // 128, 1, 1)]),
             lettering // 128 * 255, **few)  # fmt: skip


def sizes(make):
    make.group = "Sizes"
    for name, width, height in (("17,000 x 60", 17_000, 60), ("60 x 17,000", 60, 17_000)):
        tile = scene()
        repeats = (height // HEIGHT + 1, width // WIDTH + 1, 1)
        picture = np.tile(tile, repeats)[:height, :width]
        make.add(
            f"PNG, {name}",
            "png",
            png(picture),
            picture,
            scaled=True,
            loose=2.5,
            says=f"WebP ends at {MOST_SIDE:,} pixels a side",
        )
    exact = np.tile(scene(), (1, MOST_SIDE // WIDTH + 1, 1))[:40, :MOST_SIDE]
    make.add("PNG, 16,383 x 40", "png", png(exact), exact, says="just fits")


def private(make):
    make.group = "Metadata"
    rgb = scene()
    says = {"says": "camera, place and owner must not be served", "secrets": SECRETS}
    make.add(
        "JPEG, GPS and XMP", "jpg", jpeg(rgb, exif=exif(1, gps=True), xmp=XMP, comment=b"SECRETCOMMENT"), rgb, **says
    )
    chunks = [
        (b"eXIf", exif(1, gps=True).removeprefix(b"Exif\0\0")),
        (b"tEXt", b"Author\0SECRETTEXT"),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
    ]
    make.add("PNG, GPS, XMP and text", "png", png(rgb, chunks=chunks), rgb, **says)
    make.add(
        "WebP, GPS and XMP",
        "webp",
        save(rgb, "WEBP", quality=80, exif=exif(1, gps=True), xmp=XMP),
        exact=True,
        **says,
    )
    page = write.TiffPage(rgb, tags={271: ("s", b"SECRETMAKER\0"), 315: ("s", b"SECRETARTIST\0"), 700: ("B", XMP)})
    make.add("TIFF, maker, artist and XMP", "tiff", write.tiff([page]), rgb, **says)
    indices, palette = palette_scene(200)
    data = write.gif(WIDTH, HEIGHT, palette, [write.GifFrame(indices[..., 0])])
    data = data[:-1] + b"\x21\xfe\x0dSECRETCOMMENT\0\x3b"
    make.add("GIF, comment", "gif", data, palette[indices[..., 0]], **says)
