"""Kinds of animations, and WebP: what is stored as it comes."""

import io

import numpy as np
from PIL import Image

from . import encoders as write
from . import profiles
from .reference import Picture
from .scene import HEIGHT, NOT_TURNED, SECRETS, WIDTH, XMP, alpha_ramp, exif, palette_scene, save, scene, turned

STAGE = (150, 110)
STEPS = 8


def stage(colours=32):
    """The background of the animations, as indices. The last colour is left free for transparency."""
    indices, palette = palette_scene(colours - 1, *STAGE)
    return indices[..., 0], np.concatenate([palette, [[255, 0, 255]]]).astype(np.uint8)


def disc(radius, index, clear):
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.where(np.hypot(x, y) <= radius, index, clear)


def moving(clear, dispose, **more):
    """The stage, and then a disc that crosses it, as a part of the canvas."""
    first, _ = stage()
    frames = [write.GifFrame(first, delay=30)]
    for step in range(1, STEPS):
        part = disc(14, step * 3, clear)
        place = {"x": 4 + step * 14, "y": 10 + step * 7}
        frames.append(write.GifFrame(part, **place, delay=5 + step, dispose=dispose, transparent=clear, **more))
    return frames


def truth_of(frames, palette, loops, size=STAGE):
    painted = [frame.painted(palette) for frame in frames]
    return Picture(write.compose(*size, painted), [frame.duration for frame in painted], loops)


def gifs(make):
    make.group = "GIF"
    indices, palette = palette_scene(256)
    make.add(
        "still", "gif", write.gif(WIDTH, HEIGHT, palette, [write.GifFrame(indices[..., 0])]), palette[indices[..., 0]]
    )
    make.add("still, 87a", "gif", write.gif(WIDTH, HEIGHT, palette, [write.GifFrame(indices[..., 0])], version=b"87a"),
             palette[indices[..., 0]])  # fmt: skip
    frame = write.GifFrame(indices[..., 0], interlaced=True, transparent=int(indices[30, 30, 0]))
    make.add(
        "still, interlaced, transparent",
        "gif",
        write.gif(WIDTH, HEIGHT, palette, [frame]),
        frame.painted(palette).rgba,
    )
    small = write.GifFrame(indices[:100, :120, 0], x=40, y=30)
    make.add("still, smaller than its canvas", "gif", write.gif(WIDTH, HEIGHT, palette, [small]),
             write.compose(WIDTH, HEIGHT, [small.painted(palette)])[0],
             says="around the frame it is transparent")  # fmt: skip
    local = write.GifFrame(255 - indices[..., 0], palette=palette[::-1])
    make.add(
        "still, local palette", "gif", write.gif(WIDTH, HEIGHT, 255 - palette, [local]), palette[indices[..., 0]]
    )
    animated_gifs(make)


def animated_gifs(make):
    _, palette = stage()
    clear = len(palette) - 1

    def add(name, frames, loops=0, shown=None, size=STAGE, **more):
        shown = {None: 1, 0: 0}.get(loops, (loops or 0) + 1) if shown is None else shown
        make.add(
            name, "gif", write.gif(*size, palette, frames, loops), truth_of(frames, palette, shown, size), **more
        )

    for dispose in ("keep", "background", "previous"):
        add(f"animated, disposal {dispose}", moving(clear, dispose))
    mixed = moving(clear, "keep")
    for number, frame in enumerate(mixed[1:]):
        frame.dispose = ("previous", "background", "keep")[number % 3]
        if number % 2:
            frame.interlaced = True
        if number % 3 == 1:
            frame.palette = palette[::-1].copy()
            frame.indices = np.where(frame.indices == clear, 0, frame.indices)
            frame.transparent = 0
    add("animated, everything mixed", mixed, says="disposals, local palettes, interlacing, parts")
    whole = []
    for step in range(5):
        scroll = np.roll(stage()[0], step * 20, axis=1)
        whole.append(write.GifFrame(scroll, delay=20))
    add("animated, whole frames, no loop extension", whole, None, says="plays once")
    add("animated, loops for ever", whole, 0)
    add("animated, loop count 3", whole, 3, says="GIF counts the repeats: browsers show it 4 times, as gif2webp does")
    still_delay = [write.GifFrame(frame.indices, delay=0) for frame in whole]
    add("animated, zero delays", still_delay, 0, any_delay=True, says="browsers show such frames for 100 ms each")
    ghost = [write.GifFrame(disc(40, 3 + step * 4, clear), x=5 + step * 10, y=8, transparent=clear, dispose="background",
                            delay=10) for step in range(5)]  # fmt: skip
    add("animated, transparent, first frame is a part", ghost)
    outside = moving(clear, "keep")[:4]
    outside.append(write.GifFrame(disc(30, 5, clear), x=STAGE[0] - 35, y=STAGE[1] - 35, transparent=clear, delay=40))
    add("animated, frame beyond the canvas", outside, says="what lies outside is cut off")
    same = [write.GifFrame(stage()[0], delay=10) for _ in range(3)] + whole[2:3]
    add("animated, frames that do not change", same, says="may be merged; the time must stay")
    long = [write.GifFrame(np.roll(stage()[0], step, axis=1), delay=3) for step in range(60)]
    add("animated, 60 frames", long)
    add("animated, a frame of 11 minutes", [write.GifFrame(whole[0].indices, delay=65535), whole[1]], 0)


def apngs(make):
    make.group = "APNG"
    width, height = STAGE
    background = np.concatenate([scene(255, width, height), alpha_ramp(255, width, height)], axis=2).astype(np.uint8)
    opaque = background.copy()
    opaque[..., 3] = 255

    def parts(first, dispose, blend):
        frames = [write.Frame(first, duration=250, blend="source")]
        for step in range(1, STEPS):
            y, x = np.mgrid[-16:17, -16:17]
            alpha = np.clip((16.5 - np.hypot(x, y)) / 10, 0, 1) * 255
            colour = np.broadcast_to([250 - step * 20, 40 + step * 25, 60], (33, 33, 3))
            part = np.concatenate([colour, alpha[..., None]], axis=2).astype(np.uint8)
            how = dispose if dispose != "mixed" else ("keep", "background", "previous")[step % 3]
            onto = blend if blend != "mixed" else ("over", "source")[step % 2]
            frames.append(write.Frame(part, 4 + step * 13, 8 + step * 7, 40 + step * 10, how, onto))
        return frames

    def add(name, frames, plays=0, **more):
        truth = Picture(write.compose(width, height, frames), [frame.duration for frame in frames], plays)
        hidden = more.pop("hidden", None)
        make.add(name, "png", write.apng(width, height, frames, plays, hidden), truth, **more)

    for dispose in ("keep", "background", "previous"):
        add(f"disposal {dispose}, blend over", parts(opaque, dispose, "over"))
    add(
        "disposal keep, blend source",
        parts(opaque, "keep", "source"),
        says="parts replace what is below, alpha and all",
    )
    add("everything mixed, transparent", parts(background, "mixed", "mixed"))
    hidden = 255 - opaque
    hidden[..., 3] = 255
    add(
        "hidden default picture",
        parts(opaque, "keep", "over"),
        hidden=hidden,
        says="the default, a negative, is no frame",
    )
    add("plays once", parts(opaque, "keep", "over"), 1)
    add("plays 3 times", parts(opaque, "keep", "over"), 3)
    add("one frame only", [write.Frame(opaque, blend="source")], says="a still may come out")


def webps(make):
    make.group = "WebP"
    shown = scene()
    both = np.concatenate([shown, alpha_ramp()], axis=2)
    says = {"says": "stored byte for byte", "exact": True, "untouched": True}
    make.add("lossy", "webp", save(shown, "WEBP", quality=80), **says)
    make.add("lossless", "webp", save(shown, "WEBP", lossless=True), **says)
    make.add("lossy with alpha", "webp", save(both, "WEBP", quality=80), **says)
    make.add("lossless with alpha", "webp", save(both, "WEBP", lossless=True), **says)
    for name, options in (("EXIF", {"exif": exif(gps=True)}), ("XMP", {"xmp": XMP}), ("EXIF 1", {"exif": exif(1)})):
        make.add(f"lossy, {name}", "webp", save(both, "WEBP", quality=80, **options), exact=True, secrets=SECRETS,
                 says="the chunk is dropped, the picture not encoded again")  # fmt: skip
    _, palette = stage()
    seen = truth_of(moving(len(palette) - 1, "previous"), palette, 0)
    images = [Image.fromarray(frame) for frame in seen.frames]

    def animation(loop=0, pictures=images, **options):
        out = io.BytesIO()
        pictures[0].save(
            out, "WEBP", save_all=True, append_images=pictures[1:], duration=seen.durations, loop=loop, **options
        )
        return out.getvalue()

    make.add("animated, lossless", "webp", animation(lossless=True), Picture(seen.frames, seen.durations, 0), **says)
    make.add("animated, lossy, plays twice", "webp", animation(2, quality=80), **says)
    data = animation(lossless=True, exif=exif(gps=True), xmp=XMP)
    make.add(
        "animated, EXIF and XMP", "webp", data, Picture(seen.frames, seen.durations, 0), exact=True, secrets=SECRETS
    )
    order = (1, 2, 0)
    icc = profiles.rgb_profile("swapped", profiles.SRGB, profiles.table_tag(), order=order)
    moved = [
        Image.fromarray(np.concatenate([frame[..., list(order)], frame[..., 3:]], axis=2)) for frame in seen.frames
    ]
    data = animation(0, moved, lossless=True, icc_profile=icc)
    make.add("animated, channels swapped by a profile", "webp", data, Picture(seen.frames, seen.durations, 0),
             browsers_err=True, says="Chromium leaves the profile of an animation out")  # fmt: skip
    data = animation(0, [Image.fromarray(turned(frame, 6)) for frame in seen.frames], lossless=True, exif=exif(6))
    make.add("animated, EXIF orientation 6", "webp", data, Picture(seen.frames, seen.durations, 0),
             browsers_err=True, says=NOT_TURNED)  # fmt: skip
