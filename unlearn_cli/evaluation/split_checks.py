"""Checks of the splits, on which every measured number depends. No torch."""

import numpy as np

from unlearn_cli.data.dataset import Dataset
from unlearn_cli.data.strings import to_strings


def check_splits(dataset: Dataset) -> dict[str, bool]:
    """Check that train has no forgotten record and that forget and retain partition it; return the result by name."""
    splits = dataset.splits
    checks: dict[str, bool] = {}
    if "forgotten" in splits:
        trained = to_strings(splits["train"].records.ids)
        checks["train_has_no_forgotten_record"] = not trained.are_among(splits["forgotten"].ids).any()
    if "forget" not in splits:
        return checks
    rows = np.concatenate([splits["forget"].rows, splits["retain"].rows])
    counts = np.bincount(rows, minlength=len(splits["train"]))  # number of these splits that contain each record
    checks["forget_and_retain_are_disjoint"] = bool((counts <= 1).all())
    checks["forget_and_retain_make_train"] = bool((counts >= 1).all())
    if "test" in splits:
        checks["test_has_no_forgotten_sample"] = not splits["test"].copies_of(splits["forget"]).any()
    return checks
