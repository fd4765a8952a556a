"""The hold-out: never-seen records of test that the forgotten records are compared with."""

from dataclasses import dataclass

import numpy as np

from unlearn_cli import console
from unlearn_cli.console import pluralize
from unlearn_cli.data.dataset import Split
from unlearn_cli.data.held_out import mask_seen
from unlearn_cli.data.strings import to_strings
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.schema.forget import Forget
from unlearn_cli.stats.margins import MIN_NEVER_SEEN

UNMATCHED = 0.05  # share of forget that may lack counterparts; it changes an AUC by at most half of it, 0.025


@dataclass(frozen=True)
class Holdout:
    """The positions in test of never-seen records, and the number of excluded records that were trained on.

    If no comparison is possible, `positions` is empty and `reason` explains it. `notes` explain in which way the
    records differ from the forgotten ones. If `is_matched` is false, they differ systematically, as another period
    does: a comparison would measure this difference, too, also relative to references, because two trainings differ on
    another period by more than by what they remember.
    """

    positions: np.ndarray
    num_trained_on: int
    notes: tuple[str, ...] = ()
    reason: str | None = None
    is_matched: bool = True

    @property
    def caveats(self) -> list[str]:
        copies = f"{_describe_copies(self.num_trained_on)}."
        lacking = f"{self.reason}: attacks that compare with such records were not run."
        return [*([copies] if self.num_trained_on else []), *self.notes, *([lacking] if self.reason else [])]


def _describe_copies(count: int) -> str:
    equal = pluralize(count, "record of test equals", "records of test equal")
    return f"{equal} a record of train byte for byte; the hold-out excludes {'it' if count == 1 else 'them'}"


def choose_holdout(opened: RunInputs) -> Holdout:
    """Choose the records of test to compare with; exclude copies of training records, with a warning.

    If conditions select the forgotten records, the hold-out is the records of test that they select, too; if these are
    fewer than MIN_NEVER_SEEN (such as of a period that ends before test begins), it is all of test, unmatched. Persons
    (`forget.groups`), ids and random shares are compared with all of test, because other persons are exchangeable.

    Multilabel: a label in `forget.classes` is a condition. Sets of labels are not matched, because most are rare.

    Classification: the hold-out has the class mix of forget, because a never-trained but easier class would look like
    forgotten records. It has a constant multiple of the number of forgotten records of each class, drawn with the seed;
    the multiple is the largest that test allows, so the hold-out may be larger or smaller than forget. (It has at least
    one record per class, so the mix is not exact if test has very few records of a class.) Forgotten classes without a
    record in test are ignored while they hold at most 5 % of forget; otherwise no comparison is possible.
    """
    test = opened.dataset.split("test")
    unseen = ~mask_seen(test, opened.dataset.splits)
    like, notes = _mask_candidates(opened, unseen)
    is_matched, candidates = not notes, like & unseen
    dropped = int((like & ~unseen).sum())
    if dropped:
        console.warn(_describe_copies(dropped))
    if not candidates.any():
        but = " other than copies of training records" if dropped else ""
        return _make_empty(dropped, f"data.test has no records like the forgotten ones{but} to compare with")
    if opened.dataset.task != "classification":
        return Holdout(np.flatnonzero(candidates), dropped, notes, is_matched=is_matched)
    lacking, share = _find_missing_classes(opened, candidates)
    if lacking and share > UNMATCHED:
        unmatched = f"classes {', '.join(lacking)} hold {share:.1%} of forget"
        return _make_empty(dropped, f"{unmatched}, but data.test has no record of them that was not trained on")
    if lacking:
        notes += (
            f"The hold-out has no record of {', '.join(lacking)}, because test has none; they hold {share:.1%} of "
            "forget.",
        )
    return Holdout(draw_class_matched(opened, test, candidates), dropped, notes, is_matched=is_matched)


def _make_empty(dropped: int, reason: str) -> Holdout:
    return Holdout(np.empty(0, dtype=np.int64), dropped, reason=reason)


def _mask_candidates(opened: RunInputs, unseen: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the mask of test records like the forgotten ones, and a note if they differ systematically."""
    dataset, test = opened.dataset, opened.dataset.split("test")
    same_classes = np.ones(len(test), dtype=bool)
    if dataset.task == "classification":
        same_classes = np.isin(test.labels, dataset.split("forget").labels)
    if not _selects_by_conditions(opened):
        return same_classes, ()
    selected = same_classes & np.isin(test.rows, dataset.split("test_forget").rows)
    count = int((selected & unseen).sum())
    if count >= MIN_NEVER_SEEN and _has_classes(opened, selected & unseen):
        return selected, ()
    return same_classes, (_describe_unmatched(dataset.task, count),)


def _selects_by_conditions(opened: RunInputs) -> bool:
    """Return whether conditions select the forgotten records; in a classification, nothing but conditions.

    To name a label of multilabel records is a condition, too.
    """
    forget, is_multilabel = opened.forget, opened.dataset.task == "multilabel"
    if forget is None or "test_forget" not in opened.dataset.splits:
        return False
    if not (forget.where or (is_multilabel and forget.classes)):
        return False
    others = (forget.classes, forget.ids, forget.ids_file, forget.groups, forget.fraction)
    return opened.dataset.task != "classification" or not any(others)


def _has_classes(opened: RunInputs, mask: np.ndarray) -> bool:
    return opened.dataset.task != "classification" or _find_missing_classes(opened, mask)[1] <= UNMATCHED


def _describe_unmatched(task: str, count: int) -> str:
    every = "all of test" if task != "classification" else "all records of test of the same classes"
    selects = f"only {count} never-seen records" if count else "no never-seen record"
    return (
        f"The hold-out is {every}, because 'forget' selects {selects} of test. The forgotten records may differ from "
        "it not only in having been trained on, so comparisons of the two are reported, but are not gates."
    )


def _find_missing_classes(opened: RunInputs, candidates: np.ndarray) -> tuple[list[str], float]:
    """Return the names of the forgotten classes without a candidate in test, and their share of forget."""
    forget, test = opened.dataset.split("forget"), opened.dataset.split("test")
    lacking = np.setdiff1d(forget.labels, test.labels[candidates])
    names = opened.dataset.classes or []
    return [names[number] for number in lacking], float(np.isin(forget.labels, lacking).mean())


def draw_class_matched(opened: RunInputs, records: Split, allowed: np.ndarray) -> np.ndarray:
    """Draw allowed positions of a split with the class mix of forget, for the classes that the split has."""
    numbers, counts = np.unique(opened.dataset.split("forget").labels, return_counts=True)
    places = {number: np.flatnonzero((records.labels == number) & allowed) for number in numbers.tolist()}
    mix = {number: count for number, count in zip(places, counts.tolist(), strict=True) if len(places[number])}
    scale = min((len(places[number]) / count for number, count in mix.items()), default=0.0)
    random = np.random.default_rng(opened.common.seed)
    drawn = [random.permutation(places[number])[: max(1, int(scale * count))] for number, count in mix.items()]
    return np.sort(np.concatenate([np.empty(0, dtype=np.int64), *drawn]))


def mask_same_group(forget: Forget | None, test: Split) -> np.ndarray | None:
    """Return the mask of records of test in the group that 'forget' names by a column or by conditions.

    None if 'forget' names no group, or if test does not have the column of the groups.
    """
    if forget is None or not (forget.where or forget.groups):
        return None
    mask = np.zeros(len(test), dtype=bool)
    if forget.where:
        mask |= test.records.where(forget.where)[test.rows]
    if forget.groups:
        if forget.groups.column not in (*test.records.columns, "label", "id"):
            return mask if mask.any() else None
        members = to_strings(test.records.column(forget.groups.column))
        mask |= members.are_among([str(value) for value in forget.groups.values])[test.rows]
    return mask
