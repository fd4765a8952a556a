"""What the forgotten records are compared with: records of test that the network never saw."""

from dataclasses import dataclass

import numpy as np

from unlearn_cli import console
from unlearn_cli.console import pluralize
from unlearn_cli.data.dataset import select_half
from unlearn_cli.data.strings import to_strings
from unlearn_cli.evaluation.run_inputs import RunInputs

UNMATCHED = 0.05  # share of forget without counterparts that moves an AUC by at most half of that: 0.025


@dataclass(frozen=True)
class Holdout:
    """The positions in test of records never trained on, and how many were left out because they were.

    Where nothing can be compared there are none, and `reason` says why; `notes` say in which way they are not like the
    forgotten records.
    """

    positions: np.ndarray
    num_trained_on: int
    notes: tuple[str, ...] = ()
    reason: str | None = None

    @property
    def caveats(self) -> list[str]:
        copies = f"{_copies(self.num_trained_on)}."
        lacking = f"{self.reason}: attacks that compare with such records were not run."
        return [*([copies] if self.num_trained_on else []), *self.notes, *([lacking] if self.reason else [])]


def _copies(count: int) -> str:
    equal = pluralize(count, "record of test equals", "records of test equal")
    return f"{equal} one of train byte for byte; the hold-out leaves out what does"


def class_matched_holdout(opened: RunInputs) -> Holdout:
    """Choose the records of test to compare with, less those that equal one of train byte for byte; warn of these.

    In a classification they have the class mix of forget, because a never-trained but easier class would look like
    forgotten records (attacks.md, A1): of each forgotten class the same multiple of its number in forget, drawn with
    the seed, and the multiple is the largest that test allows. So there may be more of them than of forget, or fewer.
    (At least one of each class: the mix is not exact where test has very few of one.) Forgotten classes of which test
    has no record are left out while they hold at most 5 % of forget; otherwise nothing can be compared.

    In a regression they are those that the conditions of 'forget' select in test, or, where these select none (a
    period that ends before test begins), all of test.
    """
    unseen = ~_trained_on(opened)
    candidates, notes = _candidates(opened, unseen)
    dropped = int((candidates & ~unseen).sum())
    if dropped:
        console.warn(_copies(dropped))
    if not (candidates & unseen).any():
        but = " but copies of those of train" if dropped else ""
        return _empty(dropped, f"data.test has no records like the forgotten ones{but} to compare with")
    if opened.dataset.task == "regression":
        return Holdout(np.flatnonzero(candidates & unseen), dropped, notes)
    lacking, share = _lacking(opened, unseen)
    if lacking and share > UNMATCHED:
        unmatched = f"classes {', '.join(lacking)} hold {share:.1%} of forget, and data.test has no record of them"
        return _empty(dropped, f"{unmatched} to compare with that was not trained on")
    if lacking:
        notes += (
            f"The hold-out has no record of {', '.join(lacking)}: test has none. They hold {share:.1%} of forget.",
        )
    return Holdout(class_matched(opened, unseen), dropped, notes)


def _empty(dropped: int, reason: str) -> Holdout:
    return Holdout(np.empty(0, dtype=np.int64), dropped, reason=reason)


def _trained_on(opened: RunInputs) -> np.ndarray:
    """Return the mask of test: copies of what the network is trained on, or was before it was made to forget it."""
    test, splits = opened.dataset.split("test"), opened.dataset.splits
    mask = test.copies_of(splits["train"])
    return mask | test.copies_of(splits["forgotten"]) if "forgotten" in splits else mask


def _candidates(opened: RunInputs, unseen: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the mask of test: records like those to forget, if the manifest tells them apart; and what they lack."""
    dataset, test = opened.dataset, opened.dataset.split("test")
    if opened.dataset.task == "classification":
        return np.isin(test.labels, dataset.split("forget").labels), ()
    if "test_forget" not in dataset.splits:
        return np.ones(len(test), dtype=bool), ()
    selected = np.isin(test.rows, dataset.split("test_forget").rows)
    if (selected & unseen).any():
        return selected, ()
    note = (
        "The hold-out is all of test: 'forget' selects no record of test that was not trained on. Forgotten records "
        "may differ from it in their kind and not only in having been trained on."
    )
    return np.ones(len(test), dtype=bool), (note,)


def _lacking(opened: RunInputs, unseen: np.ndarray) -> tuple[list[str], float]:
    """Return the names of the forgotten classes without an unseen record in test, and their share of forget."""
    forget, test = opened.dataset.split("forget"), opened.dataset.split("test")
    lacking = np.setdiff1d(forget.labels, test.labels[unseen])
    names = opened.dataset.classes or []
    return [names[number] for number in lacking], float(np.isin(forget.labels, lacking).mean())


def class_matched(opened: RunInputs, allowed: np.ndarray) -> np.ndarray:
    """Draw positions of test, of those allowed, with the class mix of forget as far as test has its classes."""
    forget, test = opened.dataset.split("forget"), opened.dataset.split("test")
    numbers, counts = np.unique(forget.labels, return_counts=True)
    places = {number: np.flatnonzero((test.labels == number) & allowed) for number in numbers.tolist()}
    mix = {number: count for number, count in zip(places, counts.tolist(), strict=True) if len(places[number])}
    scale = min((len(places[number]) / count for number, count in mix.items()), default=0.0)
    random = np.random.default_rng(opened.common.seed)
    drawn = [random.permutation(places[number])[: max(1, int(scale * count))] for number, count in mix.items()]
    return np.sort(np.concatenate([np.empty(0, dtype=np.int64), *drawn]))


def unseen_of_selection_half(opened: RunInputs) -> np.ndarray:
    """Return the mask of test: records never trained on, of the half that chooses a method and never judges it."""
    test = opened.dataset.split("test")
    half = select_half(test, "selection")  # empty where test is the verdict half
    return np.isin(test.rows, half.rows) & ~_trained_on(opened)


def same_group(opened: RunInputs) -> np.ndarray | None:
    """Return the mask of test: records of the group that 'forget' names by a column or by conditions; None: neither.

    Test need not have the column that groups are named by.
    """
    forget, test = opened.forget, opened.dataset.split("test")
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
