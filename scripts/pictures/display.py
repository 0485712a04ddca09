"""Pictures as viewers show them: upright, in sRGB, 8 bits, RGBA. Pillow decodes them.

It does not judge: `compare` says how far two pictures are apart.
"""

import io

import numpy as np
from PIL import Image, ImageCms, ImageOps

Image.MAX_IMAGE_PIXELS = None
Array = np.ndarray
PROFILE_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
WITH_ALPHA = ("LA", "PA", "RGBA", "La", "RGBa")


class Refused(Exception):
    """A picture that a reference does not show, with its words."""


def to_rgba(image: Image.Image, profile: bytes | None, intent: int) -> Array:
    """A decoded image in sRGB."""
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


def to_srgb(image: Image.Image, profile: bytes, intent: int) -> Image.Image:
    """A profile that is broken, or for other colours than the picture's, changes nothing."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if PROFILE_SPACES.get(source.profile.xcolor_space.strip()) != image.mode:
            return image
        flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
        return ImageCms.profileToProfile(image, source, srgb(), intent, "RGB", flags=flags)
    except (OSError, ImageCms.PyCMSError):
        return image


def srgb() -> ImageCms.ImageCmsProfile:
    """Of version 2, which the header says at byte 8.

    With a profile of version 4, lcms stretches the darkest ink to black, which browsers do not.
    """
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    data[8:12] = 2, 0x40, 0, 0
    return ImageCms.ImageCmsProfile(io.BytesIO(data))


def frame_of(image: Image.Image, intent: int) -> Array:
    """The image's current frame, as it is shown."""
    image.load()
    profile = image.info.get("icc_profile")
    return to_rgba(ImageOps.exif_transpose(image), profile, intent)
