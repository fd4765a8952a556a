"""Detects over-forgetting after a method has run: chooses the records to compare, and compares them."""

import numpy as np

from unlearn_cli.data.dataset import Split
from unlearn_cli.data.halves import get_selection_half
from unlearn_cli.data.held_out import mask_seen
from unlearn_cli.evaluation.checkpoint_outputs import CheckpointOutputs
from unlearn_cli.evaluation.holdout import draw_class_matched, mask_same_group
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.stats.margins import MIN_FORGOTTEN, MIN_NEVER_SEEN
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.verdict.judgement import OverForgetting
from unlearn_cli.verdict.over_forgetting_checks import (
    Kind,
    compare,
    mask_retained_kinds,
    undecided,
)

PREFIX = "unlearn_cli."


def detect(checkpoints: CheckpointOutputs) -> OverForgetting | None:
    """Compare the subject on forget with references, or with the original on never-seen records like those of forget.

    The never-seen records are from the selection half of test, because the other half must not choose a method; also if
    the method read this half, because only the original's outputs on it are compared. Returns None if nothing is
    forgotten.
    """
    opened = checkpoints.session.opened
    dataset = opened.dataset
    if "forget" not in dataset.splits:
        return None
    if is_retrained(checkpoints.weights["subject"].metadata):
        return undecided(dataset.task, "the network was trained from scratch without forget")
    mask = mask_retained_kinds(dataset.split("forget").labels, dataset.split("retain").labels, dataset.task)
    if mask.mean() < 0.5:  # the retained records of such a class or range are not typical of it
        return undecided(
            dataset.task,
            "'forget' selects most of its classes or label ranges, which a retrained network would not predict well",
        )
    if mask.sum() < MIN_FORGOTTEN:
        return undecided(dataset.task, f"{mask.sum()} forgotten records are too few; {MIN_FORGOTTEN} are needed")
    forget = checkpoints.outputs("subject")["forget"].take(np.flatnonzero(mask))
    if checkpoints.references():
        levels = [checkpoints.outputs(role)["forget"].take(np.flatnonzero(mask)) for role in checkpoints.references()]
        return compare(forget, levels, "references")
    if "original" not in checkpoints.weights or "test" not in dataset.splits:
        lacking = "the original (--original)" if "test" in dataset.splits else "data.test"
        return undecided(dataset.task, f"the comparison needs {lacking}")
    records, kind = choose_never_seen(opened)
    if len(records) < MIN_NEVER_SEEN:
        few = f"the selection half of test has {len(records)} never-seen records like the forgotten ones"
        return undecided(dataset.task, f"{few}; {MIN_NEVER_SEEN} are needed")
    unseen = read_original(checkpoints, records)
    selection = opened.forget
    named = selection is not None and bool(selection.where or selection.groups)
    return compare(forget, [unseen], kind, unlike_others=named)


def is_retrained(metadata: dict[str, str]) -> bool:
    """Return whether a checkpoint's lineage shows a training from scratch without forget."""
    method = metadata.get(f"{PREFIX}method")
    of_retain = metadata.get(f"{PREFIX}split") == "retain" and f"{PREFIX}parent" not in metadata
    return method == "retrain" or (method == "train" and of_retain)


def choose_never_seen(opened: RunInputs) -> tuple[Split, Kind]:
    """Return records of test to compare with, and what they share with forget: group, classes or nothing (test)."""
    half = get_selection_half(opened.dataset)
    allowed = ~mask_seen(half, opened.dataset.splits)
    group = mask_same_group(opened.forget, half)
    if group is not None and (group & allowed).sum() >= MIN_NEVER_SEEN:
        return half.take(np.flatnonzero(group & allowed)), "group"
    if opened.dataset.task != "classification":
        return half.take(np.flatnonzero(allowed)), "test"
    return half.take(draw_class_matched(opened, half, allowed)), "classes"


def read_original(checkpoints: CheckpointOutputs, records: Split) -> Outputs:
    """Return the original's outputs on records of the selection half, which the splits may not contain."""
    session, dataset = checkpoints.session, checkpoints.session.opened.dataset
    if dataset.selection_half is None:
        positions = np.searchsorted(dataset.split("test").rows, records.rows)
        return checkpoints.outputs("original")["test"].take(checkpoints.locate_in_test(positions))
    return session.predict(session.load(checkpoints.weights["original"]), session.make_batches(records))
