"""Separates the records that earlier runs forgot from the other records of train."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unlearn_cli.console import pluralize
from unlearn_cli.data.records import Records, choose_records
from unlearn_cli.data.selection import list_ids, read_ids_file
from unlearn_cli.data.strings import to_strings
from unlearn_cli.errors import UserError
from unlearn_cli.schema.forget import Forget, Forgotten


@dataclass(frozen=True)
class TrainDivision:
    """The train source, divided into the remaining records and those that were forgotten earlier."""

    remaining: Records
    forgotten: Records | None
    unresolved: int | None = None  # number of listed ids without a record; None: no ids are listed


def divide(train: Records, forgotten: Forgotten | None, forget: Forget | None, folder: Path) -> TrainDivision:
    """Separate the records that `forgotten` lists, so that no method can train on them again.

    Raises:
        UserError: `forget` lists one of these ids, two records share one, or no record would remain.
    """
    if forgotten is None:
        return TrainDivision(train, None)
    listed = set(read_ids_file(forgotten.ids_file, folder, "forgotten.ids_file"))
    if forget is not None:
        _refuse_ids_in_both(listed, list_ids(forget, folder))
    ids = to_strings(train.ids)
    mask = ids.are_among(listed)
    resolved = len(set(ids[mask].tolist()))
    if mask.sum() > resolved:
        count = pluralize(resolved, "forgotten id names", "forgotten ids name")
        raise UserError(f"{train.name}: the ids are not unique: {count} {mask.sum()} records")
    if mask.all():
        raise UserError(
            f"forgotten.ids_file: 'forgotten' lists all {len(train)} records of {train.name}, so none remain; check "
            "the file"
        )
    if not resolved:
        return TrainDivision(train, None, len(listed))
    remaining, taken_out = choose_records(train, np.flatnonzero(~mask)), choose_records(train, np.flatnonzero(mask))
    return TrainDivision(remaining, taken_out, len(listed) - resolved)


def _refuse_ids_in_both(forgotten: set[str], to_forget: list[str]) -> None:
    both = sorted(forgotten.intersection(to_forget))
    if both:
        raise UserError(
            f"forget: {pluralize(len(both), 'id is', 'ids are')} in 'forget' and in 'forgotten', the first is "
            f"'{both[0]}'; forgotten records need not be forgotten again: remove them from 'forget'"
        )
