"""How a checkpoint's inputs were prepared, as its folder says it: keys of the manifest's section `input`.

Reads `preprocessor_config.json` or `processor_config.json` (transformers) and the `pretrained_cfg` of a `config.json`
(timm). What they say and
the manifest cannot express is returned as a remark.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unlearn_cli.errors import UserError
from unlearn_cli.storage import json_text
from unlearn_cli.storage.regular_files import read_regular

MOST_BYTES = 10 * 2**20
FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}  # numbers of Pillow
FULL_SIZE = 384  # of ConvNeXt's processor: larger images are resized without a crop
SCALE = 255.0
LEVIT_RATIO = 256 / 224  # of the shorter side to the stated one
SHORTER_SIDE = ("CLIP", "ConvNext", "Levit", "MobileNet", "MobileViT", "PoolFormer", "Bit", "ChineseCLIP", "AltCLIP")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # timm's defaults


@dataclass(frozen=True)
class Preprocessing:
    """Keys of `input` (`shape` of images included, if it is stated), the file that states them, and remarks."""

    keys: Mapping[str, Any]
    file: str
    remarks: Sequence[str] = field(default_factory=tuple)


def read_preprocessing(folder: Path) -> Preprocessing | None:
    """Return the preprocessing that the files of a folder state; None if they state none.

    Raises:
        UserError: a file is not JSON, or states values of another form than the libraries write.
    """
    readers = {
        "preprocessor_config.json": _read_processor,
        "processor_config.json": _read_processor,
        "config.json": _read_timm,
    }
    for name, read in readers.items():
        content = read_json(folder / name)
        try:
            keys, remarks = read(content) if content else ({}, [])
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            raise UserError(f"{folder / name}: states a preprocessing of an unknown form; fetch it again") from None
        if keys:
            return Preprocessing(keys, name, remarks)
    return None


def read_json(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file; empty if there is no such file.

    Raises:
        UserError: it is not a JSON object.
    """
    if not path.is_file():
        return {}
    try:
        content = json_text.read(read_regular(path, MOST_BYTES))
    except ValueError as error:
        raise UserError(f"{path}: is not a JSON file ({error}); fetch it again") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: is not a JSON object; fetch it again")
    return content


def _read_processor(content: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Translate the processor of an image model of transformers."""
    content = content.get("image_processor", content)
    if "image_mean" not in content and "size" not in content:
        return {}, []  # of audio, or of text
    keys = {**_read_size(content), **_read_numbers(content)}
    if "resize" in keys:
        keys["interpolation"] = FILTERS[content["resample"]] if content.get("resample") is not None else "bilinear"
    if content.get("do_flip_channel_order"):
        keys["mode"] = "bgr"
    unclear = "shape" not in keys and content.get("do_resize", True)
    return keys, [
        f"size {content.get('size')} cannot be expressed: set input.shape and input.resize"
    ] if unclear else []


def _name_type(content: Mapping[str, Any]) -> str:
    return str(content.get("image_processor_type") or content.get("feature_extractor_type") or "")


def _read_size(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return resize, crop and the sides of the shape."""
    kind = _name_type(content)
    size, crop = _sides(content.get("size"), kind), _sides(content.get("crop_size"), "")
    crops = content.get("do_center_crop", False) and crop
    if not content.get("do_resize", True) or not size:
        return {"crop": "centre_floor", "shape": [3, *_pair(crop)]} if crops else {}
    if content.get("crop_pct") and isinstance(size, int) and size < FULL_SIZE:  # ConvNeXt
        return {"resize": int(size / content["crop_pct"]), "crop": "centre_floor", "shape": [3, size, size]}
    if content.get("crop_pct") and isinstance(size, int):
        size = [size, size]
    if kind.startswith("Levit") and isinstance(size, int):
        size = int(LEVIT_RATIO * size)
    if isinstance(size, int) and not crops:  # the width depends on the image
        return {}
    cut: dict[str, Any] = {"crop": "centre_floor"} if crops else {}
    return {"resize": size, **cut, "shape": [3, *_pair(crop if crops else size)]}


def _sides(size: Any, kind: str) -> int | list[int] | None:
    """Return the shorter side, or [height, width], of a size as processors write it; None for other rules.

    Old files have one number: the shorter side for the processors of SHORTER_SIDE, both sides for others.
    """
    if size is None or isinstance(size, int):
        return size and (size if kind.startswith(SHORTER_SIDE) else [size, size])
    if "shortest_edge" in size:
        return None if size.get("longest_edge") else int(size["shortest_edge"])
    return [int(size["height"]), int(size["width"])] if "height" in size else None


def _pair(size: int | list[int] | None) -> list[int]:
    return [size, size] if isinstance(size, int) else list(size or [])


def _read_numbers(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return scale, mean and std."""
    keys: dict[str, Any] = {}
    kind, offset = _name_type(content), content.get("rescale_offset") or content.get("offset")
    if not content.get("do_rescale", True):
        keys["scale"] = 1.0
    elif not math.isclose(content.get("rescale_factor", 1 / SCALE), 1 / SCALE):
        keys["scale"] = 1 / content["rescale_factor"]
    normalised = content.get("do_normalize", not kind.startswith("MobileViT")) and "image_mean" in content
    mean = _numbers(content["image_mean"]) if normalised else [0.0]
    std = _numbers(content["image_std"]) if normalised else [1.0]
    if kind.startswith("EfficientNet") and content.get("include_top", True) and normalised:
        std = [value**2 for value in std]  # its processor divides twice
    if offset:  # of EfficientNet: x / scale - 1 is normalised
        mean = [value + 1 for value in mean]
    if normalised or offset:
        keys |= {"mean": mean if len(mean) > 1 else mean[0], "std": std if len(std) > 1 else std[0]}
    return keys


def _read_timm(content: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Translate the `pretrained_cfg` of a model of timm, with which `timm.data.create_transform` evaluates."""
    stated = content.get("pretrained_cfg", {})
    keys = read_timm_size(stated)
    if not keys:
        return {}, []
    keys |= {"mean": _numbers(stated.get("mean") or IMAGENET_MEAN), "std": _numbers(stated.get("std") or IMAGENET_STD)}
    mode = stated.get("crop_mode") or "center"
    remarks = (
        [] if mode in ("center", "squash") else [f"crop_mode {mode} of timm cannot be expressed, this is a centre crop"]
    )
    return keys, remarks


def read_timm_size(stated: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys shape, resize and interpolation of a `pretrained_cfg` of timm; empty if it states no size."""
    if "input_size" not in stated:
        return {}
    channels, height, width = map(int, stated["input_size"])
    share, mode = stated.get("crop_pct") or 0.875, stated.get("crop_mode") or "center"
    sides = [math.floor(height / share), math.floor(width / share)]
    resize = sides if mode == "squash" else min(sides)
    interpolation = stated.get("interpolation") or "bicubic"
    return {"shape": [channels, height, width], "resize": resize, "interpolation": interpolation}


def _numbers(values: Sequence[float]) -> list[float]:
    return [float(value) for value in values]
