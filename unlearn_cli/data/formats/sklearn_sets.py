"""Real data sets that are bundled with scikit-learn; every fifth row is the test part."""

from functools import cache
from typing import Any

import numpy as np

from unlearn_cli.data.images.image_arrays import make_sample_inputs
from unlearn_cli.data.records import Records, StoredInput, from_arrays, keep_rows
from unlearn_cli.schema.sources import Rows, Sklearn


def sklearn(spec: Sklearn, name: str, input: StoredInput, task: str) -> Records:
    """Load digits (8x8 images, values 0 to 16), diabetes (regression, raw units) or breast_cancer."""
    samples, targets, names = _load(spec.name)
    inputs = make_sample_inputs(f"{name}: {spec.name}", samples, input)
    records = from_arrays(name, inputs, targets, columns=dict(zip(names, samples.T, strict=True)) if names else {})
    part = {"train": Rows(not_every=5), "test": Rows(every=5), "all": None}[spec.part]
    return keep_rows(records, part)


@cache  # train and test are parts of the same file
def _load(name: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return samples, targets and the names of columns, none for images; all parts share them."""
    from sklearn import datasets  # imported on use, because it takes 1.4 s

    if name == "digits":
        pixels, targets = datasets.load_digits(return_X_y=True)
        return pixels.reshape(-1, 8, 8).astype(np.uint8), targets, ()
    bunch: Any = datasets.load_diabetes(scaled=False) if name == "diabetes" else datasets.load_breast_cancer()
    return bunch.data.astype(np.float32), bunch.target, tuple(map(str, bunch.feature_names))
