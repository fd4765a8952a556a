"""The split `held_out`: the never-seen records that a method with this input receives. No torch.

They are those of `validation` where the manifest has it, otherwise of the selection half of test, without copies of
records that a network was trained on or that a report reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from unlearn_cli.console import pluralize
from unlearn_cli.data.dataset import Dataset, Split
from unlearn_cli.data.halves import select_half
from unlearn_cli.data.notices import make_notices
from unlearn_cli.data.transforms.overlaps import mask_overlapping
from unlearn_cli.errors import UserError

SELECTION_HALF = "selection half of test"  # the sources, as the lineage of a checkpoint names them
GROUPED_HALF = "selection half of test by groups"  # other records: persons or recordings were divided
VALIDATION = "validation"
# A share of 50 records has a 95 % interval of at most +- 14 points, and the largest of 50 confidences stands for the
# upper 2 %. With fewer, neither the method's quantiles nor the report's numbers mean much.
MIN_HELD_OUT = 50
MIN_HELD_OUT_CLUSTERS = 2  # persons or recordings; one has no variance
OVERLAPPING = (
    "windows of its selection half that share rows with windows of the verdict half; set data.group to longer periods, "
    "or data.validation to another period"
)


@dataclass(frozen=True)
class Part:
    """Some records with their name for messages."""

    name: str
    records: Split
    never_seen: np.ndarray  # (n,) bool


def mask_seen(split: Split, splits: Mapping[str, Split]) -> np.ndarray:
    """Return the mask (n,) of the records that equal one that the network was trained on, forgotten ones included."""
    mask = split.copies_of(splits["train"])
    return mask | split.copies_of(splits["forgotten"]) if "forgotten" in splits else mask


def count_copies(dataset: Dataset) -> Dataset:
    """Add a notice with the number of records of validation that methods do not receive, because they are copies."""
    if "validation" not in dataset.splits:
        return dataset
    validation = dataset.split("validation")
    kinds = {
        "copies of training records, which methods do not receive": mask_seen(validation, dataset.splits),
        "copies of records of test, which methods do not receive": _mask_copies_of_test(validation, dataset),
    }
    counts = {kind: int(mask.sum()) for kind, mask in kinds.items()}
    return replace(dataset, notices=dataset.notices + make_notices("data.validation", counts))


def add_held_out(dataset: Dataset, alternative: str = "") -> Dataset:
    """Add the split `held_out` to a data set with test or validation, of which no half has been taken.

    `alternative` is a setting of the method with which it reads no held-out records.

    Raises:
        UserError: too few never-seen records remain for the method, or in the verdict half of test for the report.
    """
    if "validation" in dataset.splits:
        part = _read_validation(dataset)
        if lack := _describe_lack(part):
            raise UserError(f"data.validation: has {lack} for methods; add records{_advise(alternative)}")
        return _add(dataset, part)
    part, verdict = _divide_test(dataset)
    for half in (part, verdict):
        if lack := _describe_lack(half):
            advice = f"add records, or set data.validation to other never-seen records{_advise(alternative)}"
            raise UserError(f"data.test: is too small to be divided: its {half.name} has {lack}; {advice}")
    kinds = {
        "records of its selection half that equal one of train or of the verdict half; methods do not receive them": (
            ~part.never_seen
        ),
        OVERLAPPING: mask_overlapping(part.records.records.inputs, part.records.rows, verdict.records.rows),
    }
    counts = {kind: int(mask.sum()) for kind, mask in kinds.items()}
    return _add(replace(dataset, notices=dataset.notices + make_notices("data.test", counts)), part)


def _advise(alternative: str) -> str:
    return f", or set {alternative}, with which the method reads none" if alternative else ""


def name_source(dataset: Dataset) -> str:
    """Return the source of `held_out`, as the lineage of a checkpoint names it."""
    return VALIDATION if "validation" in dataset.splits else name_selection_half(dataset)


def name_selection_half(dataset: Dataset) -> str:
    """Return the name of the selection half of test, as the lineage of a checkpoint names it."""
    test = dataset.splits.get("test")
    return SELECTION_HALF if test is None or test.groups is None else GROUPED_HALF


def _add(dataset: Dataset, part: Part) -> Dataset:
    held_out = replace(part.records.take(np.flatnonzero(part.never_seen)), name="held_out")
    return replace(dataset, splits={**dataset.splits, "held_out": held_out})


def _read_validation(dataset: Dataset) -> Part:
    validation = dataset.split("validation")
    copies = mask_seen(validation, dataset.splits) | _mask_copies_of_test(validation, dataset)
    return Part("validation", validation, ~copies)


def _mask_copies_of_test(validation: Split, dataset: Dataset) -> np.ndarray:
    if "test" not in dataset.splits:
        return np.zeros(len(validation), dtype=bool)
    return validation.copies_of(dataset.split("test"))


def _divide_test(dataset: Dataset) -> tuple[Part, Part]:
    """Return the halves of test. With groups, equal samples may be in both: the method does not receive them."""
    test = dataset.split("test")
    selection, verdict = select_half(test, "selection"), select_half(test, "verdict")
    unseen = ~mask_seen(selection, dataset.splits) & ~selection.copies_of(verdict)
    return (
        Part("selection half", selection, unseen),
        Part("verdict half", verdict, ~mask_seen(verdict, dataset.splits)),
    )


def _describe_lack(part: Part) -> str:
    """Describe why a part has too few never-seen records, or records of too few persons; '' if it has enough."""
    n, groups = int(part.never_seen.sum()), part.records.groups
    if n < MIN_HELD_OUT:
        return f"{pluralize(n, 'never-seen record')}, but {MIN_HELD_OUT} are needed"
    clusters = MIN_HELD_OUT_CLUSTERS if groups is None else len(np.unique(groups[part.never_seen]))
    if clusters < MIN_HELD_OUT_CLUSTERS:
        return f"never-seen records of {clusters} person or recording (data.group), but 2 or more are needed"
    return ""
