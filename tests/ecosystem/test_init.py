"""`init` on what people bring: networks of torchvision, timm, transformers and bundled ones, and data in four forms."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from tests.tiny import invoke

LABELS = ("cat", "dog", "owl")


def write_folders(folder: Path) -> Path:
    for part in ("train", "test"):
        for number, label in enumerate(LABELS):
            (folder / part / label).mkdir(parents=True)
            for image in range(4):
                pixels = np.random.default_rng(10 * number + image).integers(0, 256, (40, 36, 3), np.uint8)
                Image.fromarray(pixels).save(folder / part / label / f"{part}{image}.png")
    return folder


def write_table_of_images(folder: Path) -> Path:
    write_folders(folder)
    rows = [
        f"{path.relative_to(folder)},{path.parent.name},{path.parent.parent.name}" for path in folder.rglob("*.png")
    ]
    (folder / "images.csv").write_text("file,label,split\n" + "\n".join(sorted(rows)) + "\n")
    return folder / "images.csv"


def write_arrays(folder: Path) -> Path:
    folder.mkdir()
    arrays = {
        f"{part}_{name}": value
        for part in ("train", "test")
        for name, value in (
            ("images", np.random.default_rng(len(part)).integers(0, 256, (12, 32, 32, 3), np.uint8)),
            ("labels", np.arange(12) % 3),
        )
    }
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def write_texts(folder: Path) -> Path:
    import duckdb

    folder.mkdir()
    rows = ", ".join(f"('this is sentence number {n}', {n % 3})" for n in range(15))
    target = folder / "texts.parquet"
    duckdb.sql(f"COPY (SELECT * FROM (VALUES {rows}) AS t(text, label)) TO '{target}' (FORMAT parquet)")
    return target
