"""The scale of a regression: a network's output times std plus mean is its prediction in the labels' unit.

Networks learn badly from labels whose mean and standard deviation are far from 0 and 1, so `train` standardises the
labels with the statistics of retain. Mean and std belong to the weights: they are stored in the checkpoint's metadata,
and each network uses its own. A `target` in the manifest must agree with them.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.schema.network_sections import Target

KEYS = ("unlearn_cli.target_mean", "unlearn_cli.target_std")  # of a checkpoint's metadata


def compute_target(opened: RunInputs) -> Target:
    """Return mean and standard deviation of the labels of retain; for equal labels, the standard deviation is 1."""
    splits = opened.dataset.splits
    labels = splits["retain" if "retain" in splits else "train"].labels
    std = float(np.std(labels))
    return Target(mean=float(np.mean(labels)), std=std if std > 0 and math.isfinite(std) else 1.0)


def choose_training_target(opened: RunInputs, start: Mapping[str, str] | None, path: Path | None) -> Target:
    """Return the scale for a training: of the checkpoint that it starts from, else of the manifest, else of the labels.

    Raises:
        UserError: as `choose_target`.
    """
    if opened.dataset.task != "regression":
        return Target()
    if start is not None and path is not None:
        return choose_target(opened, start, path)
    return opened.network.target or compute_target(opened)


def choose_target(opened: RunInputs, metadata: Mapping[str, str], path: Path) -> Target:
    """Return the scale of a command's main checkpoint, as `find_own_target`, and check it against the manifest.

    Raises:
        UserError: the manifest's target contradicts the recorded one, or the recorded one is damaged.
    """
    own, given = find_own_target(opened, metadata, path), opened.network.target
    if given is None or opened.dataset.task != "regression" or are_equal(own, given):
        return own
    raise UserError(
        f"{path}: was trained with target mean {own.mean:g} and std {own.std:g}, but the manifest has mean "
        f"{given.mean:g} and std {given.std:g}; remove 'target' from the manifest"
    )


def find_own_target(opened: RunInputs, metadata: Mapping[str, str], path: Path) -> Target:
    """Return the scale of a checkpoint: the one in its metadata, else the manifest's, else mean 0 and std 1.

    Raises:
        UserError: as `read_recorded_target`.
    """
    if opened.dataset.task != "regression":
        return Target()
    return read_recorded_target(metadata, path) or opened.network.target or Target()


def is_unknown(opened: RunInputs, metadata: Mapping[str, str]) -> bool:
    """Return whether the scale of a regression's outputs is given neither by the checkpoint nor by the manifest."""
    return opened.dataset.task == "regression" and KEYS[0] not in metadata and opened.network.target is None


def read_recorded_target(metadata: Mapping[str, str], path: Path) -> Target | None:
    """Return the scale in a checkpoint's metadata, or None.

    Raises:
        UserError: it is not two finite numbers, the second above 0.
    """
    if not set(KEYS) & set(metadata):
        return None
    try:
        mean, std = (float(metadata[key]) for key in KEYS)
    except (KeyError, ValueError):
        mean, std = math.nan, math.nan
    if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
        raise UserError(f"{path}: {' and '.join(KEYS)} of its metadata are not a finite mean and a std above 0")
    return Target(mean=mean, std=std)


def as_lineage(task: str, target: Target) -> dict[str, str]:
    """Return the scale as entries of a checkpoint's metadata, without the prefix of the keys."""
    if task != "regression":
        return {}
    values = (target.mean, target.std)
    return {key.partition(".")[2]: repr(float(value)) for key, value in zip(KEYS, values, strict=True)}


def are_equal(first: Target, second: Target) -> bool:
    """Return whether two scales are equal up to rounding."""
    return math.isclose(first.std, second.std, rel_tol=1e-9) and math.isclose(
        first.mean, second.mean, rel_tol=1e-9, abs_tol=1e-9 * first.std
    )
