"""Checks that a plug-in suits a manifest, before any expensive work, and describes its requirements for help pages."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from pydantic import BaseModel

from unlearn_cli.errors import SelectionError, UserError, prefix_field
from unlearn_cli.plugins import discovery, plugin
from unlearn_cli.plugins.plugin import Plugin
from unlearn_cli.plugins.requirements import describe_section, list_missing
from unlearn_cli.schema.literals import Task
from unlearn_cli.stats.representation import MIN_REPRESENTED, share_represented, usual_width

SPLITS = {
    "forget": "forget",
    "forget_inputs": "forget without labels",
    "retain": "retain",
    "retain_inputs": "retain without labels",
    "held_out": "held-out records",
}


class UnsuitableSelection(SelectionError):
    """A method for whole classes, or for part of them, cannot forget the selected records."""


def list_lacking(wanted: Plugin, present: set[str], settings: BaseModel | None = None) -> list[str]:
    """Return the inputs of a plug-in with these settings, or the defaults, that such a manifest cannot provide."""
    names = wanted.list_inputs(settings or wanted.settings())
    return [name for name in names if list_missing(name, present)]


def list_fitting(kind: str, present: set[str], task: str, *, whole_classes: bool = True) -> list[str]:
    """Return the names of the plug-ins of a kind for which such a manifest is sufficient."""
    loaded = [plugin.load(kind, name) for name in discovery.entries(kind)]
    return [
        candidate.name
        for candidate in loaded
        if task in candidate.tasks
        and not list_lacking(candidate, present)
        and (whole_classes or not candidate.whole_classes)
    ]


def check(wanted: Plugin, present: set[str], task: str, path: Path, settings: BaseModel | None = None) -> None:
    """Refuse a manifest whose task does not fit the plug-in, or that does not provide its inputs.

    `settings` are those of a method, which may name optional inputs.

    Raises:
        UserError: with the reason and the plug-ins of the kind for which the manifest is sufficient.
    """
    missing = list_lacking(wanted, present, settings)
    if task in wanted.tasks and not missing:
        return
    others = ", ".join(list_fitting(wanted.kind, present, task))
    if task not in wanted.tasks:
        hint = f"; these fit: {others}" if others else ""
        raise UserError(
            f"{path}: {wanted.name} is for {describe_tasks(wanted.tasks)}, but the manifest's task is {task}{hint}"
        )
    sections = sorted({section for name in missing for section in list_missing(name, present)})
    alternatives = [wanted.find_alternative(settings, name) for name in missing] if settings else []
    hint = "".join(f", set {alternative}" for alternative in filter(None, alternatives))
    hint += f", or use one that needs less: {others}" if others else ""
    raise UserError(
        f"{path}: {wanted.name} needs {' and '.join(missing)}, but the manifest has no "
        f"{' and no '.join(map(describe_section, sections))};"
        f" add {'it' if len(sections) == 1 else 'them'}{hint}"
    )


def check_selection(wanted: Plugin, forget_classes: list[int] | None, present: set[str], path: Path) -> None:
    """Refuse a method for whole classes unless the selection consists of whole classes, and one for the opposite.

    Raises:
        UnsuitableSelection: with the methods that suit the selection.
    """
    if wanted.whole_classes and forget_classes is None:
        others = ", ".join(list_fitting(wanted.kind, present, "classification", whole_classes=False))
        raise UnsuitableSelection(
            f"{path}: {wanted.name} forgets whole classes, but 'forget' selects only part of one; "
            f"these methods forget any records: {others}"
        )
    if wanted.part_of_classes and forget_classes is not None:
        others = ", ".join(_list_fitting_whole(wanted.kind, present, "classification"))
        raise UnsuitableSelection(
            f"{path}: {wanted.name} forgets part of a class, but 'forget' selects whole classes; "
            f"these methods forget whole classes: {others}"
        )


def check_range(
    wanted: Plugin, forget_labels: np.ndarray, retain_labels: np.ndarray, present: set[str], path: Path
) -> None:
    """Refuse a range of numeric labels that retain lacks, for a method that forgets part of the classes.

    Only labels decide, so no network is needed; the method may refuse a narrower range once it has measured its errors.

    Raises:
        UnsuitableSelection: with the methods that suit the selection.
    """
    if not wanted.part_of_classes:
        return
    width = usual_width(forget_labels, retain_labels)
    with prefix_field(str(path)):
        require_represented(
            wanted.name,
            share_represented(forget_labels, retain_labels, width),
            ", ".join(_list_fitting_whole(wanted.kind, present, "regression")),
        )


def require_represented(method: str, represented: float, others: str) -> None:
    """Refuse forgotten records of which retain represents too few; `others` are methods that can forget them.

    Raises:
        UnsuitableSelection: less than half of what random records have.
    """
    if represented < MIN_REPRESENTED:
        raise UnsuitableSelection(
            f"{method} forgets records that others resemble, but 'forget' selects a range of labels that retain lacks "
            f"(near these labels it has {represented:.0%} of the records that a random selection would leave; at least "
            f"{MIN_REPRESENTED:.0%} are needed); these methods forget a range: {others}"
        )


def _list_fitting_whole(kind: str, present: set[str], task: str) -> list[str]:
    """Return the names of the fitting plug-ins that also suit whole classes or ranges of labels."""
    return [name for name in list_fitting(kind, present, task) if not plugin.load(kind, name).part_of_classes]


def describe_needs(method: Plugin) -> str:
    """Describe the data that a method receives with default settings."""
    given = method.list_inputs(method.settings())
    return ", ".join(words for name, words in SPLITS.items() if name in given) or "no data"


def describe_suited(method: Plugin) -> str:
    """Describe the records that a method can forget."""
    if method.whole_classes:
        return "whole classes"
    if method.part_of_classes:
        return f"records, not whole classes or ranges; {describe_tasks(method.tasks)}"
    return f"any records; {describe_tasks(method.tasks)}"


def describe_tasks(tasks: Sequence[Task]) -> str:
    """Return the names of tasks for messages and tables."""
    names = list(tasks)
    if len(names) == len(get_args(Task)):
        return "all tasks"
    return " and ".join(names)
