"""Chooses how the columns of a table become features: the number of them must be what a checkpoint's network takes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unlearn_cli.console import pluralize
from unlearn_cli.data.layouts.features import Categories, describe_readings
from unlearn_cli.data.layouts.layout import DataLayout
from unlearn_cli.data.layouts.tables import fit_features
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.recorded_categories import read_categories

if TYPE_CHECKING:
    from unlearn_cli.checkpoints.checkpoint import Checkpoint


def fit_columns(layout: DataLayout, weights: "Checkpoint", data: Path, *, must_fit: bool) -> list[DataLayout]:
    """Return the layouts with each reading of the columns that fits the first layer of the network.

    Where the network's inputs are unknown, the layout is returned as it is; with `must_fit`, a misfit is an error.

    Raises:
        UserError: no reading fits, or the checkpoint records categories of columns that the table lacks.
    """
    from unlearn_cli.checkpoints.tensor_facts import list_input_counts

    if layout.kind == "text":
        return take_numbers(layout, weights) or [layout]
    if layout.kind != "numbers" or len(layout.shape) != 1:
        return [layout]
    recorded = read_categories(weights.metadata, weights.path)
    inputs = list_input_counts(weights.tensors)
    if recorded and layout.features:
        check_columns(recorded, layout.features.order, data)
    if not inputs or layout.features is None:
        fits = not inputs or layout.shape[0] in inputs or not must_fit
        if not fits:
            raise make_misfit_error(layout, inputs, data)
        return [layout]
    fitting = fit_features(layout, inputs, recorded)
    if not fitting and must_fit:
        raise make_misfit_error(layout, inputs, data)
    return fitting or [layout]


def take_numbers(layout: DataLayout, weights: "Checkpoint") -> list[DataLayout]:
    """Return the layouts without the columns of text, if the network is one of numbers and takes the other columns."""
    from unlearn_cli.checkpoints.tensor_facts import list_input_counts
    from unlearn_cli.models.matching import list_perceptrons

    is_of_numbers = any(list_perceptrons(weights.tensors))
    if layout.features is None or not is_of_numbers:
        return []
    fitting = fit_features(layout, list_input_counts(weights.tensors)[:1])
    return [replace(each, kind="numbers") for each in fitting]


def check_columns(recorded: Categories, columns: Sequence[str], data: Path) -> None:
    """Refuse a table without the columns of categories with which a checkpoint was trained."""
    missing = [name for name in recorded if name not in columns]
    if missing:
        raise UserError(
            f"{data}: lacks {pluralize(len(missing), 'column')} of categories with which the checkpoint was trained: "
            f"{', '.join(missing[:5])}; name the table of its training, with the same names of columns"
        )


def make_misfit_error(layout: DataLayout, inputs: Sequence[int], data: Path) -> UserError:
    given = (
        f"samples of {pluralize(layout.shape[0], 'number')}"
        if layout.features is None
        else describe_readings(layout.features)
    )
    return UserError(
        f"{data}: the network takes {pluralize(inputs[0], 'input')}, but the data gives {given}; name the data of its "
        "training, or the network with --architecture, and list the columns in the manifest"
    )
