"""Detects over-forgetting after a method has run: chooses the records to compare, and compares them."""

import numpy as np

from unlearn_cli.evaluation.checkpoint_outputs import CheckpointOutputs
from unlearn_cli.evaluation.holdout import draw_class_matched, mask_same_group, mask_unseen_of_selection_half
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.stats.margins import MIN_FORGOTTEN, MIN_NEVER_SEEN
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

    The never-seen records are from the selection half of test, because the other half must not choose a method.
    Returns None if nothing is forgotten.
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
    positions, kind = choose_never_seen(opened)
    if len(positions) < MIN_NEVER_SEEN:
        few = f"the selection half of test has {len(positions)} never-seen records like the forgotten ones"
        return undecided(dataset.task, f"{few}; {MIN_NEVER_SEEN} are needed")
    unseen = checkpoints.outputs("original")["test"].take(checkpoints.locate_in_test(positions))
    selection = opened.forget
    named = selection is not None and bool(selection.where or selection.groups)
    return compare(forget, [unseen], kind, unlike_others=named)


def is_retrained(metadata: dict[str, str]) -> bool:
    """Return whether a checkpoint's lineage shows a training from scratch without forget."""
    method = metadata.get(f"{PREFIX}method")
    of_retain = metadata.get(f"{PREFIX}split") == "retain" and f"{PREFIX}parent" not in metadata
    return method == "retrain" or (method == "train" and of_retain)


def choose_never_seen(opened: RunInputs) -> tuple[np.ndarray, Kind]:
    """Return positions of test to compare with, and what they share with forget: group, classes or nothing (test)."""
    allowed = mask_unseen_of_selection_half(opened)
    group = mask_same_group(opened)
    if group is not None and (group & allowed).sum() >= MIN_NEVER_SEEN:
        return np.flatnonzero(group & allowed), "group"
    if opened.dataset.task == "regression":
        return np.flatnonzero(allowed), "test"
    return draw_class_matched(opened, allowed), "classes"
