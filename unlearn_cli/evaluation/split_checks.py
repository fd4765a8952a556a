"""Checks of the splits, on which every measured number depends. No torch."""

import numpy as np

from unlearn_cli.data.dataset import Dataset
from unlearn_cli.data.strings import to_strings


def check_splits(dataset: Dataset) -> dict[str, bool]:
    """Check that train has no forgotten record, that forget and retain partition it, and what methods and tests share.

    Returns whether each check holds, by its name.
    """
    splits = dataset.splits
    checks: dict[str, bool] = {}
    if "forgotten" in splits:
        trained = to_strings(splits["train"].records.ids)
        checks["train_has_no_forgotten_record"] = not trained.are_among(splits["forgotten"].ids).any()
    if "held_out" in splits:
        checks["held_out_has_no_training_sample"] = not splits["held_out"].copies_of(splits["train"]).any()
    if {"held_out", "test"} <= splits.keys():  # fails only if --half reports what the method read
        checks["test_has_no_held_out_sample"] = not splits["test"].copies_of(splits["held_out"]).any()
    if "forget" not in splits:
        return checks
    rows = np.concatenate([splits["forget"].rows, splits["retain"].rows])
    counts = np.bincount(rows, minlength=len(splits["train"]))  # number of these splits that contain each record
    checks["forget_and_retain_are_disjoint"] = bool((counts <= 1).all())
    checks["forget_and_retain_make_train"] = bool((counts >= 1).all())
    if "test" in splits:
        checks["test_has_no_forgotten_sample"] = not splits["test"].copies_of(splits["forget"]).any()
    return checks
