"""Kinds of animations, of every disposal, blending and timing."""

import io

import numpy as np
from PIL import Image

from . import profiles, writers
from .display import Picture
from .kinds import XMP, Maker, exif_block
from .scene import HEIGHT, WIDTH, alpha_ramp, joined, palette_scene, samples, scene, turned
from .writers import Frame, GifFrame

Array = np.ndarray
STAGE = (150, 110)
STEPS = 8
NOT_TURNED = "browsers do not turn a WebP; viewers do"


def over(top: Array, bottom: Array) -> Array:
    """Porter and Duff's `over` of two pictures whose alpha is not multiplied in."""
    top_alpha = top[..., 3:] / 255
    bottom_alpha = bottom[..., 3:] / 255 * (1 - top_alpha)
    alpha = top_alpha + bottom_alpha
    colour = top[..., :3] * top_alpha + bottom[..., :3] * bottom_alpha
    return np.rint(joined(colour / np.maximum(alpha, 1e-9), alpha * 255)).astype(np.uint8)


def shown(frames: list[Frame], loops: int | None, size: tuple[int, int] = STAGE) -> Picture:
    """What a viewer sees at each frame of an animation."""
    width, height = size
    canvas, seen = np.zeros((height, width, 4), np.uint8), []
    for frame in frames:
        before = canvas.copy()
        part = frame.rgba[: height - frame.y, : width - frame.x]
        bottom, right = frame.y + part.shape[0], frame.x + part.shape[1]
        place = np.s_[frame.y : bottom, frame.x : right]
        canvas[place] = part if frame.blend == "source" else over(part, canvas[place])
        seen.append(canvas.copy())
        if frame.dispose == "background":
            canvas[place] = 0
        elif frame.dispose == "previous":
            canvas = before
    return Picture(seen, [frame.duration for frame in frames], loops)


# --- GIF ---


def stage(colours: int = 32) -> tuple[Array, Array]:
    """The background, as indices, and its palette, whose last colour is free for transparency."""
    indices, palette = palette_scene(colours - 1, *STAGE)
    return indices[..., 0], np.concatenate([palette, [[255, 0, 255]]]).astype(np.uint8)


def scrolled(step: int, delay: int) -> GifFrame:
    return GifFrame(np.roll(stage()[0], step, axis=1), delay=delay)


def disc(radius: int, index: int, clear: int) -> Array:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.where(np.hypot(x, y) <= radius, index, clear)


def crossing(clear: int, dispose: str) -> list[GifFrame]:
    """The stage, and then a disc that crosses it, as a part of the canvas."""
    frames = [scrolled(0, 30)]
    for step in range(1, STEPS):
        part, x, y = disc(14, step * 3, clear), 4 + step * 14, 10 + step * 7
        frames.append(GifFrame(part, x, y, 5 + step, dispose, transparent=clear))
    return frames


def mixed(clear: int, palette: Array) -> list[GifFrame]:
    frames = crossing(clear, "keep")
    for number, frame in enumerate(frames[1:]):
        frame.dispose = ("previous", "background", "keep")[number % 3]
        frame.interlaced = number % 2 == 1
        if number % 3 == 1:
            frame.palette = palette[::-1].copy()
            frame.indices = np.where(frame.indices == clear, 0, frame.indices)
            frame.transparent = 0
    return frames


def still_gifs(make: Maker) -> None:
    """GIFs of one frame that is interlaced, a part of the canvas, or has its own palette."""
    of = samples("palette 256")
    indices, palette = of.array[..., 0], of.palette
    laced = GifFrame(indices, interlaced=True, transparent=int(indices[30, 30]))
    around = {"says": "around the frame it is transparent"}
    for name, frame, global_palette, more in (
        ("interlaced, transparent", laced, palette, {}),
        ("smaller than its canvas", GifFrame(indices[:100, :120], 40, 30), palette, around),
        ("local palette", GifFrame(255 - indices, palette=palette[::-1]), 255 - palette, {}),
    ):
        size = (WIDTH, HEIGHT)
        truth = shown([frame.painted(global_palette)], None, size).frames[0]
        make.add(f"still, {name}", "gif", writers.gif(size, global_palette, [frame]), truth, **more)


def animated_gifs(make: Maker) -> None:
    _, palette = stage()
    clear = len(palette) - 1

    def add(
        name: str, frames: list[GifFrame], says: str = "", loops: int | None = 0, **more: bool
    ) -> None:
        """`loops` counts repeats in the file: one less than the plays, but 0 is for ever."""
        plays = 1 if loops is None else loops + 1 if loops else 0
        truth = shown([frame.painted(palette) for frame in frames], plays)
        data = writers.gif(STAGE, palette, frames, loops)
        make.add(f"animated, {name}", "gif", data, truth, says=says, **more)

    for dispose in writers.DISPOSALS:
        add(f"disposal {dispose}", crossing(clear, dispose))
    everything = "disposals, local palettes, interlacing, parts"
    add("everything mixed", mixed(clear, palette), everything)
    whole = [scrolled(step * 20, 20) for step in range(5)]
    add("whole frames, no loop extension", whole, "plays once", None)
    add("loops for ever", whole)
    repeats = "GIF counts the repeats: browsers show it 4 times, as gif2webp does"
    add("loop count 3", whole, repeats, 3)
    hurried = [GifFrame(frame.indices, delay=0) for frame in whole]
    add("zero delays", hurried, "browsers show such frames for 100 ms each", any_delay=True)
    ghost = [
        GifFrame(disc(40, 3 + step * 4, clear), 5 + step * 10, 8, 10, "background", None, clear)
        for step in range(5)
    ]
    add("transparent, first frame is a part", ghost)
    corner = GifFrame(disc(30, 5, clear), STAGE[0] - 35, STAGE[1] - 35, 40, transparent=clear)
    beyond = [*crossing(clear, "keep")[:4], corner]
    add("frame beyond the canvas", beyond, "what lies outside is cut off")
    same = [scrolled(0, 10) for _ in range(3)] + whole[2:3]
    add("frames that do not change", same, "may be merged; the time must stay")
    add("60 frames", [scrolled(step, 3) for step in range(60)])
    add("a frame of 11 minutes", [scrolled(0, 65535), whole[1]])


# --- APNG ---


def backdrop() -> Array:
    return joined(scene(*STAGE), alpha_ramp(255, *STAGE)).astype(np.uint8)


def opaque(array: Array) -> Array:
    return joined(array[..., :3], np.full_like(array[..., :1], 255))


def soft_discs(first: Array, disposals: tuple[str, ...], blends: tuple[str, ...]) -> list[Frame]:
    """Discs with soft edges that cross the first frame, of each disposal and blending in turn."""
    frames = [Frame(first, duration=250, blend="source")]
    y, x = np.mgrid[-16:17, -16:17]
    alpha = np.clip((16.5 - np.hypot(x, y)) / 10, 0, 1)[..., None] * 255
    for step in range(1, STEPS):
        colour = np.broadcast_to([250 - step * 20, 40 + step * 25, 60], (33, 33, 3))
        part = joined(colour, alpha).astype(np.uint8)
        dispose, blend = disposals[step % len(disposals)], blends[step % len(blends)]
        frames.append(Frame(part, 4 + step * 13, 8 + step * 7, 40 + step * 10, dispose, blend))
    return frames


def apngs(make: Maker) -> None:
    first = opaque(backdrop())

    def add(
        name: str, frames: list, plays: int = 0, says: str = "", hidden: Array | None = None
    ) -> None:
        data = writers.apng(STAGE, frames, plays, hidden)
        make.add(name, "png", data, shown(frames, plays), says=says)

    for dispose in writers.DISPOSALS:
        add(f"disposal {dispose}, blend over", soft_discs(first, (dispose,), ("over",)))
    source, replaces = ("source",), "parts replace what is below, alpha and all"
    add("disposal keep, blend source", soft_discs(first, ("keep",), source), says=replaces)
    everything = soft_discs(backdrop(), writers.DISPOSALS, ("over", "source"))
    add("everything mixed, transparent", everything)
    plain = soft_discs(first, ("keep",), ("over",))
    negative = opaque(255 - first)
    says = "the default, a negative, is no frame"
    add("hidden default picture", plain, says=says, hidden=negative)
    add("plays once", plain, 1)
    add("plays 3 times", plain, 3)
    add("one frame only", [Frame(first, blend="source")], says="a still may come out")


# --- the others ---


def animated_webps(make: Maker) -> None:
    """The WebPs are made by Pillow, of the frames of a GIF."""
    _, palette = stage()
    frames = [frame.painted(palette) for frame in crossing(len(palette) - 1, "previous")]
    truth = shown(frames, 0)
    as_it_comes = {"says": "stored byte for byte", "exact": True, "untouched": True}

    def written(pictures: list[Array], loop: int = 0, **options: object) -> bytes:
        first, *others = map(Image.fromarray, pictures)
        out, times = io.BytesIO(), {"duration": truth.durations, "loop": loop}
        first.save(out, "WEBP", save_all=True, append_images=others, **times, **options)
        return out.getvalue()

    def add(name: str, data: bytes, as_made: bool = True, **more: object) -> None:
        make.add(f"animated, {name}", "webp", data, truth if as_made else None, **more)

    lossless = {"lossless": True}
    add("lossless", written(truth.frames, **lossless), **as_it_comes)
    add("lossy, plays twice", written(truth.frames, 2, quality=80), False, **as_it_comes)
    told = written(truth.frames, **lossless, exif=exif_block("private"), xmp=XMP)
    add("EXIF and XMP", told, exact=True, private=True)
    order = [*profiles.SWAPPED, 3]
    icc = profiles.named("swapped by a matrix")
    moved = written([frame[..., order] for frame in truth.frames], **lossless, icc_profile=icc)
    says = "Chromium leaves the profile of an animation out"
    add("channels swapped by a profile", moved, browsers_err=True, says=says)
    lying = written([turned(frame, 6) for frame in truth.frames], **lossless, exif=exif_block(6))
    add("EXIF orientation 6", lying, browsers_err=True, says=NOT_TURNED)


def avif_sequence(make: Maker) -> None:
    rgb = scene()
    name, frames = "AVIF, animated", [writers.png(np.roll(rgb, step * 30, 1)) for step in range(4)]
    command = "avifenc -s 8 -j 1 --min 4 --max 12 -y 444 --fps 5 IN OUT"
    says = "of a sequence the primary picture is taken"
    if data := make.run(name, "avif", command, frames):
        make.add(name, "avif", data, rgb, loose=1.5, says=says)


def animated_jpeg_xl(make: Maker) -> None:
    name, first = "JPEG XL, animated", opaque(backdrop())
    frames = [
        Frame(np.roll(first, step * 20, axis=1), duration=100 + step * 50, blend="source")
        for step in range(4)
    ]
    source = writers.apng(STAGE, frames, 0, None)
    if data := make.run(name, "jxl", "cjxl IN OUT -d 0", [source], "apng"):
        make.add(name, "jxl", data, shown(frames, 0))
