"""Real data sets that are bundled with scikit-learn; every fifth row is the test part."""

from collections.abc import Callable
from typing import Any

import numpy as np

from unlearn_cli.data.images.image_arrays import make_sample_inputs
from unlearn_cli.data.records import Records, StoredInput, from_arrays, keep_rows
from unlearn_cli.schema.sources import Rows, Sklearn


def sklearn(spec: Sklearn, name: str, input: StoredInput, task: str) -> Records:
    """Load digits (8x8 images, values 0 to 16), diabetes (regression, raw units) or breast_cancer."""
    from sklearn import datasets  # imported on use, because it takes 1.4 s

    loaders: dict[str, Callable[[], Any]] = {
        "digits": datasets.load_digits,
        "diabetes": lambda: datasets.load_diabetes(scaled=False),
        "breast_cancer": datasets.load_breast_cancer,
    }
    bunch = loaders[spec.name]()
    samples = bunch.images.astype(np.uint8) if spec.name == "digits" else bunch.data.astype(np.float32)
    columns = {} if spec.name == "digits" else dict(zip(bunch.feature_names, samples.T, strict=True))
    inputs = make_sample_inputs(f"{name}: {spec.name}", samples, input)
    records = from_arrays(name, inputs, bunch.target, columns=columns)
    part = {"train": Rows(not_every=5), "test": Rows(every=5), "all": None}[spec.part]
    return keep_rows(records, part)
