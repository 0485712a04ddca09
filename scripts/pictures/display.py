"""Pictures as viewers show them: upright, in sRGB, 8 bits, RGBA. Pillow decodes them.

It does not judge: `compare` says how far two pictures are apart.
"""

import io
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageCms, ImageOps

Image.MAX_IMAGE_PIXELS = None
Array = np.ndarray
# Formats whose further pictures are frames of an animation, not pages.
ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")
PROFILE_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
WITH_ALPHA = ("LA", "PA", "RGBA", "La", "RGBa")


class Refused(Exception):
    """A picture that a reference does not show, with its words."""


@dataclass
class Picture:
    """RGBA frames. A still has one and no durations; `loops` 0 is for ever."""

    frames: list[Array]
    durations: list[int] = field(default_factory=list)  # milliseconds
    loops: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.frames[0].shape[:2]
        return width, height

    def at(self, moment: float) -> Array:
        """The frame that is shown so many milliseconds after the start."""
        for frame, duration in zip(self.frames, self.durations, strict=True):
            moment -= duration
            if moment < 0:
                return frame
        return self.frames[-1]

    def resized(self, size: tuple[int, int]) -> "Picture":
        smooth = Image.Resampling.BICUBIC
        frames = [np.asarray(Image.fromarray(frame).resize(size, smooth)) for frame in self.frames]
        return Picture(frames, self.durations, self.loops)


def still(array: Array) -> Picture:
    """A picture of one frame, from grey, grey with alpha, RGB or RGBA of 8 bits."""
    array = np.asarray(array)
    if array.shape[2] < 3:
        array = np.concatenate([array[..., [0, 0, 0]], array[..., 1:]], axis=2)
    if array.shape[2] == 3:
        array = np.pad(array, ((0, 0), (0, 0), (0, 1)), constant_values=255)
    return Picture([array.astype(np.uint8)])


def to_rgba(image: Image.Image, profile: bytes | None, intent: int | None = None) -> Array:
    """A decoded image in sRGB. `intent` None takes the profile's own."""
    alpha = None
    if image.mode.startswith("I"):
        samples = np.asarray(image).astype(np.int64)
        if samples.min(initial=0) < 0 or samples.max(initial=0) > 65_535:
            raise Refused("samples of 32 bits")
        if "transparency" in image.info:
            clear = samples == image.info["transparency"]
            alpha = Image.fromarray(np.where(clear, 0, 255).astype(np.uint8))
        image = Image.fromarray(((samples + 128) // 257).astype(np.uint8))
    elif image.mode == "F":
        raise Refused("samples of mode F")
    elif "transparency" in image.info or image.mode in WITH_ALPHA:
        alpha = image.convert("RGBA").getchannel("A")
    image = without_alpha(image)
    if profile:
        image = to_srgb(image, profile, intent)
    image = image.convert("RGB")
    if alpha is not None:
        image.putalpha(alpha)
    return np.asarray(image.convert("RGBA"))


def without_alpha(image: Image.Image) -> Image.Image:
    """In a mode that a colour profile can be for."""
    if image.mode in ("1", "L", "LA", "La"):
        return image.convert("LA").getchannel("L")
    if image.mode in ("P", "PA", "RGBA", "RGBa", "YCbCr", "HSV") or "transparency" in image.info:
        return image.convert("RGBA").convert("RGB")
    return image


def to_srgb(image: Image.Image, profile: bytes, intent: int | None) -> Image.Image:
    """A profile that is broken, or for other colours than the picture's, changes nothing."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if PROFILE_SPACES.get(source.profile.xcolor_space.strip()) != image.mode:
            return image
        if intent is None:
            chosen, flags = ImageCms.getDefaultIntent(source), ImageCms.Flags.NONE
        else:
            chosen, flags = intent, ImageCms.Flags.BLACKPOINTCOMPENSATION
        return ImageCms.profileToProfile(image, source, srgb(), chosen, "RGB", flags=flags)
    except (OSError, ImageCms.PyCMSError):
        return image


def srgb() -> ImageCms.ImageCmsProfile:
    """Of version 2.

    With a profile of version 4, lcms stretches the darkest ink to black, which browsers do not.
    """
    from . import profiles

    data = profiles.rgb_profile("sRGB", profiles.SRGB, profiles.table_tag(4096))
    return ImageCms.ImageCmsProfile(io.BytesIO(data))


def frame_of(image: Image.Image, intent: int | None = None, turn: bool = True) -> Array:
    """The image's current frame, as it is shown."""
    image.load()
    profile = image.info.get("icc_profile")
    upright = ImageOps.exif_transpose(image) if turn else image
    return to_rgba(upright, profile, intent)


def decode(path: object, turn: bool = True) -> Picture:
    """A picture with all of its frames. Raises what Pillow raises."""
    with Image.open(path) as image:
        animated = getattr(image, "is_animated", False) and image.format in ANIMATED
        frames, durations = [], []
        for number in range(image.n_frames if animated else 1):
            if animated:
                image.seek(number)
            frames.append(frame_of(image, turn=turn))
            durations.append(round(image.info.get("duration", 0) or 0))
        loops = image.info.get("loop") if animated else None
    return Picture(frames, durations if animated else [], loops)
