"""The halves of test: `selection` chooses methods and settings, or is read by a method; `verdict` judges. No torch."""

from dataclasses import replace

import numpy as np

from unlearn_cli.data.dataset import Dataset, Split
from unlearn_cli.data.digests import take_last_bits
from unlearn_cli.data.groups import assign_halves
from unlearn_cli.errors import UserError
from unlearn_cli.schema.literals import Half


def take_half(dataset: Dataset, half: Half) -> Dataset:
    """Keep one half of the hold-out (test): `selection` chooses methods and settings, `verdict` judges them.

    The last bit of a sample's digest decides, so that the half does not depend on seeds, order or other records, and
    equal samples are in the same half. For groups of records (`data.group`), the digest of the group decides, so that
    no person or recording is in both halves.

    Raises:
        UserError: the half has no record.
    """
    if half == "all" or "test" not in dataset.splits:
        return dataset
    splits = {
        name: select_half(split, half) if name.startswith("test") else split for name, split in dataset.splits.items()
    }
    if not len(splits["test"]):
        missing = "records" if dataset.splits["test"].groups is None else "group of records"
        raise UserError(f"data.test: its {half} half has no {missing}; add more, or use --half all")
    other = select_half(dataset.splits["test"], "selection") if half == "verdict" else None
    return replace(dataset, splits=splits, selection_half=other)


def select_half(split: Split, half: Half) -> Split:
    """Return the records of a split in one half of the hold-out; it may be empty."""
    groups, bit = split.groups, 0 if half == "selection" else 1
    bits = take_last_bits(split.records.fingerprints[split.rows]) if groups is None else assign_halves(groups)
    return split.take(np.flatnonzero(bits == bit))


def get_selection_half(dataset: Dataset) -> Split:
    """Return the selection half of test, also if the splits have only the verdict half."""
    if dataset.selection_half is not None:
        return dataset.selection_half
    return select_half(dataset.split("test"), "selection")
