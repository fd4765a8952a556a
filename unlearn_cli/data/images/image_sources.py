"""Finds the images behind the inputs of records."""

from dataclasses import replace
from typing import Any

import numpy as np

from unlearn_cli.data.images.image_files import Images
from unlearn_cli.data.records import Inputs, StoredInput, Subset
from unlearn_cli.data.transforms.enlarge import EnlargedInputs


def find_images(inputs: Inputs) -> tuple[Images, np.ndarray] | None:
    """Return the images behind inputs, with their rows; None if the inputs are not images."""
    rows = np.arange(len(inputs))
    while isinstance(inputs, Subset | EnlargedInputs):
        rows = inputs.rows[rows] if isinstance(inputs, Subset) else rows
        inputs = inputs.inputs
    return (inputs, rows) if isinstance(inputs, Images) else None


def read_otherwise(inputs: Inputs, input: StoredInput) -> Inputs | None:
    """Return the same images, read in another way, such as resized; None if the inputs are not images."""
    if isinstance(inputs, Subset | EnlargedInputs):
        inner = read_otherwise(inputs.inputs, input)
        return None if inner is None else replace(inputs, inputs=inner)
    if not isinstance(inputs, Images):
        return None
    images: Any = inputs  # all kinds of images are dataclasses
    return replace(images, input=input)
