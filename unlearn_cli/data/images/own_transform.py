"""The user's own transform of images: of torchvision or albumentations, or a function of an image."""

import importlib
import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unlearn_cli.errors import UserError

KEY = "input.own_transform"


def apply_own_transform(image: Image.Image, name: str, path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Return the sample (C, H, W) that a transform makes of an image: uint8, or float32 for other numbers.

    The caller has checked that the user's own code is allowed.

    Raises:
        UserError: the code cannot be imported, or its result is not a finite sample of this shape.
    """
    result = _load(name)(image)
    sample = np.asarray(result.numpy() if hasattr(result, "numpy") else result)
    if sample.ndim == 2:
        sample = sample[None]
    if sample.shape != shape and (*sample.shape[2:], *sample.shape[:2]) == shape:  # channels last
        sample = sample.transpose(2, 0, 1)
    if sample.shape != shape or sample.dtype.kind not in "uif":
        raise UserError(
            f"{path}: {KEY}: {name} returns {sample.dtype} of shape {list(sample.shape)}; expected numbers of shape "
            f"{list(shape)}, as input.shape"
        )
    sample = np.ascontiguousarray(sample, dtype=np.uint8 if sample.dtype == np.uint8 else np.float32)
    if not np.isfinite(sample).all():
        raise UserError(f"{path}: {KEY}: {name} returns NaN or infinite numbers; fix it")
    return sample


def check_repeats(first: np.ndarray, second: np.ndarray, source: str) -> None:
    """Check that a transform makes the same sample of the same image.

    Raises:
        UserError: it is random, so that predictions could not be repeated.
    """
    if not np.array_equal(first, second):
        raise UserError(
            f"{source}: {KEY}: gives different samples of the same image; name the transform of the evaluation, and "
            "use data.augment for random changes"
        )


@cache
def _load(name: str) -> Callable[[Image.Image], Any]:
    """Import a transform; a function without required parameters is called once and returns it."""
    module, _, attribute = name.partition(":")
    try:
        transform = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{KEY}: {name}: {error}; set PYTHONPATH to its folder") from None
    if inspect.isfunction(transform) and not _has_required_parameters(transform):
        transform = transform()
    if not callable(transform):
        raise UserError(f"{KEY}: {name} is a {type(transform).__name__}; expected a transform of an image")
    if type(transform).__module__.partition(".")[0] == "albumentations":
        albumentation: Any = transform
        return lambda image: albumentation(image=np.asarray(image))["image"]
    return transform


def _has_required_parameters(function: Callable[..., Any]) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return any(parameter.default is parameter.empty for parameter in parameters)
