"""Converts the colours of an image to the mode of a sample: grey, RGB or RGBA."""

from PIL import Image

from unlearn_cli.schema.image_steps import ImageSteps, Mode

PILLOW_MODES: dict[Mode, str] = {"grey": "L", "rgb": "RGB", "bgr": "RGB", "rgba": "RGBA"}
DIRECT = ("1", "L", "LA", "P", "RGB", "RGBA", "RGBX")  # Pillow converts the others only by way of RGB or RGBA


def convert_mode(image: Image.Image, steps: ImageSteps, channels: int) -> Image.Image:
    """Return an image of 8 bits as L, RGB (the order of bgr is reversed later) or RGBA."""
    if image.mode == "La":
        image = image.convert("LA")  # its only direct conversion
    if steps.transparency != "drop" and image.has_transparency_data:
        image = _blend(image, steps.transparency)
    mode = PILLOW_MODES[steps.choose_mode(channels)]
    if image.mode not in DIRECT and mode != "RGB":
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image.convert(mode)


def _blend(image: Image.Image, background: str) -> Image.Image:
    """Blend the transparent pixels with a background."""
    pixels = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", pixels.size, background), pixels).convert("RGB")
