"""The scene that nearly all pictures show, in the sample formats of the writers, and its files by Pillow."""

import io
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from . import encoders as write

# Odd, and no multiple of 8: rows end within a byte, and blocks within a row.
WIDTH, HEIGHT = 249, 165
NOT_TURNED = "browsers do not turn a WebP; viewers do"


def drawn(width, height):
    """An uneven picture: nothing of it looks the same when it is turned, mirrored, or its channels are swapped."""
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    for y in range(height):
        t = y / height
        draw.line(
            [(0, y), (width, y)], fill=tuple(round(a + (b - a) * t) for a, b in ((70, 235), (130, 205), (210, 170)))
        )

    def place(*points):
        return [(round(x * width), round(y * height)) for x, y in points]

    draw.ellipse(place((0.72, 0.08), (0.88, 0.32)), fill=(250, 210, 60))
    draw.polygon(place((0, 0.8), (0.3, 0.42), (0.55, 0.8)), fill=(60, 105, 80))
    draw.polygon(place((0.35, 0.8), (0.68, 0.35), (1, 0.72), (1, 0.8)), fill=(95, 80, 120))
    for box in (((0.06, 0.08), (0.11, 0.5)), ((0.11, 0.08), (0.3, 0.15)), ((0.11, 0.25), (0.24, 0.32))):
        draw.rectangle(place(*box), fill=(200, 30, 40))  # an F
    patches = ((220, 20, 20), (20, 170, 40), (30, 50, 210), (20, 180, 190), (200, 40, 170), (230, 220, 30))
    for number, colour in enumerate(patches):
        draw.rectangle(place((number * 0.1, 0.8), (number * 0.1 + 0.1, 1)), fill=colour)
    for number in range(8):
        grey = round(number * 255 / 7)
        draw.rectangle(place((0.6 + number * 0.05, 0.8), (0.65 + number * 0.05, 1)), fill=(grey, grey, grey))
    return image


@cache
def scene_float(width=WIDTH, height=HEIGHT):
    """RGB from 0 to 1, smoothed: it has values between those of 8 bits."""
    fine = np.asarray(drawn(width * 4, height * 4), np.float64) / 255
    return fine.reshape(height, 4, width, 4, 3).mean(axis=(1, 3))


def scene(most=255, width=WIDTH, height=HEIGHT):
    return np.rint(scene_float(width, height) * most).astype(np.int64)


def grey_scene(most=255):
    luma = scene_float() @ [0.299, 0.587, 0.114]
    return np.rint(luma * most).astype(np.int64)[..., None]


def alpha_ramp(most=255, width=WIDTH, height=HEIGHT):
    """Opaque within, clear outside of an egg, and soft between; the corner at the top left is opaque again."""
    y, x = np.mgrid[0:height, 0:width]
    away = np.hypot((x / width - 0.5) * 2, (y / height - 0.55) * 2)
    alpha = np.clip((1.05 - away) / 0.4, 0, 1)
    alpha[: height // 4, : width // 3] = 1
    return np.rint(alpha * most).astype(np.int64)[..., None]


def to_8(samples, most):
    return np.rint(samples * (255 / most)).astype(np.uint8)


def palette_scene(colours, width=WIDTH, height=HEIGHT):
    """Indices, and the palette of so many colours."""
    image = Image.fromarray(scene(255, width, height).astype(np.uint8)).quantize(colours, dither=Image.Dither.NONE)
    palette = np.asarray(image.getpalette(), np.uint8).reshape(-1, 3)[:colours]
    if len(palette) < colours:
        palette = np.pad(palette, ((0, colours - len(palette)), (0, 0)))
    return np.asarray(image)[..., None].astype(np.int64), palette


def bilevel_scene():
    """1 is white. Dots stand for grey, as in a newspaper."""
    image = Image.fromarray(grey_scene()[..., 0].astype(np.uint8)).convert("1")
    return np.asarray(image).astype(np.int64)[..., None]


def turned(array, orientation):
    """The stored pixels that `orientation` makes upright."""
    turns = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: np.swapaxes(a, 0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
        8: lambda a: np.rot90(a, -1),
    }
    return np.ascontiguousarray(turns[orientation](array))


def exif(orientation=None, gps=False):
    tags = Image.Exif()
    if orientation:
        tags[0x0112] = orientation
    if gps:
        tags[0x010F], tags[0x0110] = "SECRETMAKER", "SECRETMODEL"
        tags[0x013B] = "SECRETARTIST"
        place = tags.get_ifd(0x8825)
        place[1], place[2], place[3], place[4] = "N", (47.0, 22.0, 11.25), "E", (8.0, 33.0, 1.5)
        place[0x1D] = "2001:02:03"
    return tags.tobytes()


XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:creator="SECRETXMP"/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)
SECRETS = [b"SECRET", b"2001:02:03", b"xpacket", b"Exif\0\0", b"rdf:RDF"]


def save(array, kind, mode=None, **options):
    """Bytes of a picture by Pillow."""
    array = np.asarray(array)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    image = Image.fromarray(array.astype(np.uint8), mode) if mode else Image.fromarray(array.astype(np.uint8))
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def jpeg(array, quality=95, mode=None, **options):
    return save(array, "JPEG", mode, **({"quality": quality, "subsampling": "4:4:4"} | options))


def png(array, **options):
    """8 bits, for tools to read."""
    colours = {1: write.GREY, 2: write.GREY_ALPHA, 3: write.RGB, 4: write.RGBA}
    return write.png(array, 8, colours[array.shape[2]], **options)


def png_16(array):
    colours = {1: write.GREY, 2: write.GREY_ALPHA, 3: write.RGB, 4: write.RGBA}
    return write.png(array, 16, colours[array.shape[2]])
