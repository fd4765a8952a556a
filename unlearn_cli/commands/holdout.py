"""What the forgotten records are compared with by an attack: records of test that the network never saw."""

from dataclasses import dataclass

import numpy as np

from unlearn_cli import console
from unlearn_cli.commands.inputs import Opened
from unlearn_cli.errors import SelectionError


@dataclass(frozen=True)
class Holdout:
    """The positions in test of records never trained on, and how many were left out because they were."""

    positions: np.ndarray
    num_trained_on: int

    @property
    def caveats(self) -> list[str]:
        if not self.num_trained_on:
            return []
        return [
            f"{self.num_trained_on} records of test equal one of train byte for byte; the hold-out leaves them out."
        ]


def class_matched_holdout(opened: Opened) -> Holdout:
    """Choose the records of test to compare with, less those that equal one of train byte for byte; warn of these.

    In a classification they have the class mix of forget, because a never-trained but easier class would look like
    forgotten records (attacks.md, A1): of each forgotten class the same multiple of its number in forget, drawn with
    the seed, and the multiple is the largest that test allows. So there may be more of them than of forget, or fewer.
    (At least one of each class: the mix is not exact where test has very few of one.)

    Raises:
        SelectionError: test has no such record, or none of one of the forgotten classes.
    """
    trained_on = _trained_on(opened)
    candidates = _candidates(opened)
    dropped = int((candidates & trained_on).sum())
    if dropped:
        console.warn(f"{dropped} records of test equal one of train byte for byte; the hold-out leaves them out")
    unseen = candidates & ~trained_on
    if not unseen.any():
        what = "but copies of those of train " if dropped else ""
        raise SelectionError(f"data.test has no records like the forgotten ones {what}to compare with; add some")
    chosen = np.flatnonzero(unseen) if opened.manifest.task == "regression" else _matched(opened, unseen)
    return Holdout(chosen, dropped)


def _trained_on(opened: Opened) -> np.ndarray:
    """Return the mask of test: copies of what the network is trained on, or was before it was made to forget it."""
    test, splits = opened.dataset.split("test"), opened.dataset.splits
    mask = test.copies_of(splits["train"])
    return mask | test.copies_of(splits["forgotten"]) if "forgotten" in splits else mask


def _candidates(opened: Opened) -> np.ndarray:
    """Return the mask of test: records like those to forget, if the manifest tells them apart."""
    dataset, test = opened.dataset, opened.dataset.split("test")
    if opened.manifest.task == "regression":
        return np.isin(test.rows, dataset.split("test_forget" if "test_forget" in dataset.splits else "test").rows)
    return np.isin(test.labels, dataset.split("forget").labels)


def _matched(opened: Opened, unseen: np.ndarray) -> np.ndarray:
    forget, test = opened.dataset.split("forget"), opened.dataset.split("test")
    numbers, counts = np.unique(forget.labels, return_counts=True)
    mix = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    places = {number: np.flatnonzero((test.labels == number) & unseen) for number in mix}
    lacking = [number for number, found in places.items() if not len(found)]
    if lacking:
        name = (opened.dataset.classes or [])[lacking[0]]
        raise SelectionError(
            f"data.test has no record of the forgotten class '{name}' to compare with that was not trained on; add some"
        )
    scale = min(len(places[number]) / count for number, count in mix.items())
    random = np.random.default_rng(opened.common.seed)
    drawn = [random.permutation(places[number])[: max(1, int(scale * count))] for number, count in mix.items()]
    return np.sort(np.concatenate(drawn))
