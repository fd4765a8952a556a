"""Checks of the held-out records that a method reads: whether they contain the classes that it needs. No torch."""

import numpy as np
from pydantic import BaseModel

from unlearn_cli import console
from unlearn_cli.data.dataset import Dataset
from unlearn_cli.data.held_out import name_source
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.plugins.plugin import Plugin
from unlearn_cli.schema.manifest import Manifest

MOST_NAMES = 5  # of classes in a message
REWIND, HELD_OUT = "rewind", "held_out"


def skip_rewind_of_classes(method: Plugin, settings: BaseModel, manifest: Manifest) -> BaseModel:
    """Return the settings without rewind if whole classes are forgotten: no record of them should be recognised.

    So half of test is not taken from the report for records that the method would not use.
    """
    are_classes = manifest.task == "classification" and manifest.forget and manifest.forget.only_classes
    if method.code or not are_classes or getattr(settings, REWIND, None) != HELD_OUT:
        return settings
    if REWIND in settings.model_fields_set:
        console.warn(
            "rewind=held_out has no effect on whole classes, of which no record should be recognised; "
            "held-out records are not read"
        )
    return settings.model_copy(update={REWIND: "last"})


def check_held_out_classes(opened: RunInputs) -> None:
    """Check that the records of `held_out`, if the method reads them, contain the classes that it compares.

    Raises:
        UserError: whole classes are forgotten, and all held-out records are of these classes.
    """
    dataset = opened.dataset
    if HELD_OUT not in dataset.splits or dataset.task != "classification":
        return
    if dataset.forget_classes is None:
        _warn_of_lacking_classes(dataset)
        return
    if np.isin(dataset.splits[HELD_OUT].labels, dataset.forget_classes).all():
        raise UserError(
            f"{opened.path}: the held-out records ({name_source(dataset)}) have only the forgotten classes; "
            "add never-seen records of the other classes to data.validation"
        )
    _warn_of_empty_half(dataset)


def _warn_of_lacking_classes(dataset: Dataset) -> None:
    labels = dataset.split("forget").labels
    lacking = np.setdiff1d(labels, dataset.splits[HELD_OUT].labels)
    if len(lacking):
        shown = ", ".join(_name(dataset, int(number)) for number in lacking[:MOST_NAMES])
        more = f" and {len(lacking) - MOST_NAMES} others" if len(lacking) > MOST_NAMES else ""
        n = console.pluralize(int(np.isin(labels, lacking).sum()), "forgotten record")
        console.warn(
            f"the held-out records ({name_source(dataset)}) have no record of {shown}{more}: {n} of these classes are "
            "compared with records of other classes; add such records to data.validation"
        )


def _warn_of_empty_half(dataset: Dataset) -> None:
    """Warn if test has records of the forgotten classes, but all of them are in the half that the method reads."""
    selection, judged = dataset.selection_half, dataset.splits.get("test_forget")
    if selection is None or judged is None or len(judged):
        return
    if np.isin(selection.labels, dataset.forget_classes or []).any():
        console.warn(
            "the verdict half of data.test has no record of the forgotten classes: all of them are in the half that "
            "the method reads, so no number on test_forget is reported; set data.validation to other never-seen records"
        )


def _name(dataset: Dataset, number: int) -> str:
    return dataset.classes[number] if dataset.classes else str(number)
