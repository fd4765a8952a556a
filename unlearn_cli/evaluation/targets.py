"""The scale of a regression: a network's output times std plus mean is its prediction in the labels' unit.

A network that is trained on labels of any other mean and spread than 0 and 1 learns badly, so `train` standardises them
by the labels that it may keep. Mean and std belong to the weights: they lie in the checkpoint's metadata, and each
network is read with its own. What the manifest's `target` says must agree with it.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.schema.network_sections import Target

KEYS = ("unlearn_cli.target_mean", "unlearn_cli.target_std")  # of a checkpoint's metadata


def target_of_labels(opened: RunInputs) -> Target:
    """Return mean and standard deviation of the retained labels; of equal labels the deviation is taken as 1."""
    splits = opened.dataset.splits
    labels = splits["retain" if "retain" in splits else "train"].labels
    std = float(np.std(labels))
    return Target(mean=float(np.mean(labels)), std=std if std > 0 and math.isfinite(std) else 1.0)


def target_to_train_with(opened: RunInputs, start: Mapping[str, str] | None, path: Path | None) -> Target:
    """Return the scale for a training: the manifest's, or that of the checkpoint it starts from, or the labels'.

    Raises:
        UserError: as `target_of_checkpoint`.
    """
    if opened.dataset.task == "classification":
        return Target()
    if start is not None and path is not None:
        return target_of_checkpoint(opened, start, path)
    return opened.network.target or target_of_labels(opened)


def target_of_checkpoint(opened: RunInputs, metadata: Mapping[str, str], path: Path) -> Target:
    """Return the scale of the checkpoint that a command is about, as `own_target`.

    Raises:
        UserError: the manifest's target contradicts the one that the checkpoint records, or that is damaged.
    """
    own, given = own_target(opened, metadata, path), opened.network.target
    if given is None or opened.dataset.task == "classification" or agree(own, given):
        return own
    raise UserError(
        f"{path}: was trained with target mean {own.mean:g} and std {own.std:g}, but the manifest says mean "
        f"{given.mean:g} and std {given.std:g}; take 'target' out of the manifest"
    )


def own_target(opened: RunInputs, metadata: Mapping[str, str], path: Path) -> Target:
    """Return the scale of any checkpoint: what its metadata records, else the manifest's, else mean 0 and std 1.

    Raises:
        UserError: as `recorded_target`.
    """
    if opened.dataset.task == "classification":
        return Target()
    return recorded_target(metadata, path) or opened.network.target or Target()


def is_unknown(opened: RunInputs, metadata: Mapping[str, str]) -> bool:
    """Say whether nothing says which scale the outputs of a regression have."""
    return opened.dataset.task == "regression" and KEYS[0] not in metadata and opened.network.target is None


def recorded_target(metadata: Mapping[str, str], path: Path) -> Target | None:
    """Return the scale that a checkpoint's metadata records, if it does.

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
    """Return what a checkpoint's metadata says of the scale, without the prefix of its keys."""
    if task == "classification":
        return {}
    values = (target.mean, target.std)
    return {key.partition(".")[2]: repr(float(value)) for key, value in zip(KEYS, values, strict=True)}


def agree(first: Target, second: Target) -> bool:
    """Say whether two scales are the same up to rounding."""
    return math.isclose(first.std, second.std, rel_tol=1e-9) and math.isclose(
        first.mean, second.mean, rel_tol=1e-9, abs_tol=1e-9 * first.std
    )
