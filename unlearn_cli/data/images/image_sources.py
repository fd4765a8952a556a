"""Finds the images behind the inputs of records."""

import numpy as np

from unlearn_cli.data.images.image_files import Images
from unlearn_cli.data.records import Inputs, Subset
from unlearn_cli.data.transforms.enlarge import EnlargedInputs


def find_images(inputs: Inputs) -> tuple[Images, np.ndarray] | None:
    """Return the images behind inputs, with their rows; None if the inputs are not images."""
    rows = np.arange(len(inputs))
    while isinstance(inputs, Subset | EnlargedInputs):
        rows = inputs.rows[rows] if isinstance(inputs, Subset) else rows
        inputs = inputs.inputs
    return (inputs, rows) if isinstance(inputs, Images) else None
