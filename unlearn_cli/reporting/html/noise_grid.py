"""Learned noise as one PNG: one row per class, its name at the left. Each sample is scaled to the full brightness."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from unlearn_cli.console import visible

CAPTION = (
    "Learned noise for {classes}, one row per class: {aim}. Computed from the network without data, so no record is "
    "shown. Up to eight samples per class, each scaled to the full brightness: brightness cannot be compared."
)
AIMS = {
    "maximize": "inputs on which the network's error for the class is as large as possible",
    "minimize": "inputs on which the network's error for the class is as small as possible",
}
PER_CLASS, MAX_CLASSES = 8, 50
SMALLEST, LARGEST = 64, 128  # pixels per side of a picture
WIDEST = 800  # pixels per heat map
GAP, FONT_SIZE, MAX_LETTERS = 6, 14, 28
NARROWEST, LINE_HEIGHT, MOST_NAMES = 480, 19, 5  # of a picture with a caption


def describe_noise(classes: Sequence[str], kind: str) -> str:
    """Return the caption of a picture of noise: what it shows, and what it does not."""
    names = [
        *classes[:MOST_NAMES],
        *([f"{len(classes) - MOST_NAMES} more classes"] if len(classes) > MOST_NAMES else []),
    ]
    return CAPTION.format(classes=", ".join(names), aim=AIMS.get(kind, "inputs that the method learned"))


def draw_noise_grid(images: np.ndarray, labels: Sequence[str], caption: str = "") -> bytes:
    """Draw images (K, B, C, H, W), or rows of numbers (K, B, F) as heat maps, and return the bytes of a PNG."""
    if len(images) != len(labels):
        raise ValueError(f"{len(images)} classes of noise, but {len(labels)} labels")
    rows = [draw_class(samples[:PER_CLASS]) for samples in images[:MAX_CLASSES]]
    labels = [visible(" ".join(label.split())) for label in labels]  # Pillow draws neither line breaks nor controls
    names = [label if len(label) <= MAX_LETTERS else label[: MAX_LETTERS - 1] + "…" for label in labels[:MAX_CLASSES]]
    if len(labels) > MAX_CLASSES:
        names[-1] += f" (and {len(labels) - MAX_CLASSES} more)"
    buffer = BytesIO()
    draw_rows(rows, names, caption).save(buffer, format="PNG", optimize=False)
    return buffer.getvalue()


def draw_rows(rows: list[np.ndarray], names: list[str], caption: str) -> Image.Image:
    """Draw the rows below each other on white, each next to its name, and the caption below all of them."""
    # Matplotlib's font file is the same on every machine, and it covers more scripts than Pillow's.
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), FONT_SIZE)
    margin = round(max((font.getlength(name) for name in names), default=0)) + 2 * GAP
    width = margin + max((row.shape[1] for row in rows), default=0) + GAP
    width = max(width, NARROWEST) if caption else width
    lines = wrap_text(visible(" ".join(caption.split())), font, width - 2 * GAP)
    height = sum(row.shape[0] + GAP for row in rows) + GAP + len(lines) * LINE_HEIGHT + (GAP if lines else 0)
    sheet = Image.new("RGB", (width, height), "white")
    draw, top = ImageDraw.Draw(sheet), GAP
    for row, name in zip(rows, names, strict=True):
        sheet.paste(Image.fromarray(row), (margin, top))
        draw.text((margin - GAP, top + row.shape[0] // 2), name, fill="#222222", font=font, anchor="rm")
        top += row.shape[0] + GAP
    for number, line in enumerate(lines):
        draw.text((GAP, top + number * LINE_HEIGHT), line, fill="#222222", font=font)
    return sheet


def wrap_text(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Divide text into lines of at most `width` pixels; a longer word is a line of its own."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def draw_class(samples: np.ndarray) -> np.ndarray:
    """Return the pictures of one class side by side; rows of numbers become one heat map, one line per sample."""
    if samples.ndim != 4 or samples.shape[1] not in (1, 3):
        return draw_heat_map(samples.reshape(len(samples), -1))
    pictures = [enlarge(to_rgb(sample)) for sample in samples]
    gap = np.full((pictures[0].shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=1)


def to_rgb(sample: np.ndarray) -> np.ndarray:
    """Turn (C, H, W) with one or three channels into (H, W, 3) bytes."""
    return np.broadcast_to(stretch_to_bytes(sample).transpose(1, 2, 0), (*sample.shape[1:], 3))


def draw_heat_map(samples: np.ndarray) -> np.ndarray:
    """Turn (B, F) into colours: one line of cells per sample, 8 pixels high."""
    cells = np.stack([stretch_to_bytes(sample) for sample in samples])
    cells = cells[:, :: -(-cells.shape[1] // WIDEST)]
    cells = cells.repeat(8, axis=0).repeat(max(1, WIDEST // 2 // cells.shape[1]), axis=1)
    return matplotlib.colormaps["viridis"](cells, bytes=True)[..., :3]


def stretch_to_bytes(sample: np.ndarray) -> np.ndarray:
    """Scale a sample from its minimum and maximum to 0..255; values that are not finite count as 0."""
    sample = np.nan_to_num(sample.astype(np.float64), posinf=0.0, neginf=0.0)
    spread = sample.max() - sample.min()
    return np.round((sample - sample.min()) / (spread or 1.0) * 255).astype(np.uint8)


def enlarge(picture: np.ndarray) -> np.ndarray:
    """Repeat the pixels of a small picture, and omit pixels of a large one: noise must not be smoothed."""
    longest = max(picture.shape[:2])
    times, step = max(1, -(-SMALLEST // longest)), -(-longest // LARGEST)
    return picture[::step, ::step].repeat(times, axis=0).repeat(times, axis=1)
