"""Selects the records to forget: the union of classes, ids, groups, conditions and a random share."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_cli.console import pluralize
from unlearn_cli.data.digests import are_among
from unlearn_cli.data.id_matching import match_ids
from unlearn_cli.data.labels import Classes, find_class_numbers
from unlearn_cli.data.notices import Notice, make_notices
from unlearn_cli.data.records import Records
from unlearn_cli.data.strings import Strings, to_strings
from unlearn_cli.errors import SelectionError, UserError, find_nearest, prefix_field
from unlearn_cli.schema.forget import Expect, Forget, Groups, IdsFile, RandomFraction
from unlearn_cli.schema.sources import Condition
from unlearn_cli.schema.spelling import text_of
from unlearn_cli.storage.remote import locate

SHOWN = 5  # values of a column, in messages


@dataclass(frozen=True)
class Selection:
    """The mask (n,) of the training records to forget, and what was not matched exactly."""

    mask: np.ndarray
    notices: tuple[Notice, ...] = ()


def select(forget: Forget, records: Records, labels: np.ndarray, classes: Classes, folder: Path) -> Selection:
    """Select the training records to forget.

    Raises:
        UserError: a class or an id does not exist, nothing or everything is selected, or `expect` is violated.
    """
    mask = select_by_content(forget, records, labels, classes)
    ids, notices = list_ids(forget, folder), ()
    if ids:
        chosen, counts = _select_ids(ids, records, set(map(str, forget.ids)))
        mask, notices = mask | chosen, make_notices("forget", counts)
    if forget.groups:
        with prefix_field("forget.groups"):
            mask |= _select_group(forget.groups.column, forget.groups.values, records)
    if forget.fraction:
        mask |= _select_share(forget.fraction, len(records))
    if not mask.any():
        hint = _explain_empty(forget, records)
        raise SelectionError(f"forget: selects none of {len(mask)} records of {records.name}; {hint}")
    _check(mask, forget.expect, records.name)
    return Selection(mask, notices)


def select_by_content(forget: Forget, records: Records, labels: np.ndarray, classes: Classes) -> np.ndarray:
    """Return the mask of the records that classes and conditions select; they also apply to test data."""
    chosen = find_class_numbers(forget.classes, classes, "forget.classes")
    mask = _mask_classes(labels, chosen) if chosen else np.zeros(len(records), dtype=bool)
    if not forget.where:
        return mask
    with prefix_field("forget.where"):
        return mask | records.where(forget.where)


def _mask_classes(labels: np.ndarray, chosen: list[int]) -> np.ndarray:
    """Return the mask (n,) of the records of these classes; of multilabel records, of those with one of the labels."""
    return np.isin(labels, chosen) if labels.ndim == 1 else np.any(labels[:, chosen] != 0, axis=1)


def _select_ids(ids: list[str], records: Records, in_manifest: set[str]) -> tuple[np.ndarray, dict[str, int]]:
    """Return the mask of the records with these ids, and the numbers of ids that were not matched exactly."""
    ids_of_records = to_strings(records.ids)
    matched = match_ids(set(ids), in_manifest, ids_of_records, records.id_folder)
    if matched.missing:
        raise _refuse_missing(matched.missing, records.name, ids_of_records, in_manifest)
    chosen = ids_of_records[matched.mask].tolist()
    if len(chosen) > len(set(chosen)):
        ids_text = pluralize(len(set(chosen)), "id names", "ids name")
        raise UserError(f"{records.name}: the ids are not unique: {ids_text} {len(chosen)} records")
    mask = matched.mask if matched.by_pattern is None else np.logical_or(matched.mask, matched.by_pattern)
    return np.asarray(mask), dict(matched.counts)


def _refuse_missing(missing: list[str], name: str, ids: Strings, in_manifest: set[str]) -> UserError:
    hint = find_nearest(missing[0], ids.chunks())
    field = "forget.ids" if missing[0] in in_manifest else "forget.ids_file"
    several = f"{len(missing)} ids to forget do not exist in {name}, the first is '{missing[0]}'"
    absent = several if len(missing) > 1 else f"the id '{missing[0]}' to forget does not exist in {name}"
    return UserError(f"{field}: {absent}; {hint}correct or remove what does not exist")


def list_ids(forget: Forget, folder: Path) -> list[str]:
    """Return the ids that are listed in the manifest and in its file of ids."""
    if forget.ids_file is None:
        return list(map(str, forget.ids))
    more = read_ids_file(forget.ids_file, folder, "forget.ids_file").tolist()
    if not more:
        raise SelectionError(f"forget.ids_file: {forget.ids_file.path}: contains no ids; list the records to forget")
    return [*map(str, forget.ids), *more]


def read_ids_file(file: IdsFile, folder: Path, name: str) -> np.ndarray:
    """Return the ids (n,) of a file of ids, as text; `name` is for messages."""
    from unlearn_cli.data.tables.ids_file import read_ids  # imports DuckDB: only where a table is read

    return read_ids(locate(file.path, folder), file.column, name)


def resolve_groups_file(forget: Forget, folder: Path) -> Forget:
    """Return the selection with the values of `groups_file` in `groups`.

    Raises:
        UserError: the file cannot be read or has no value.
    """
    file = forget.groups_file
    if file is None:
        return forget
    from unlearn_cli.data.tables.ids_file import read_ids  # imports DuckDB: only where a table is read

    values = read_ids(locate(file.path, folder), file.values_column or file.column, "forget.groups_file").tolist()
    if not values:
        raise UserError(f"forget.groups_file: {file.path}: contains no values; list the groups to forget")
    more = forget.groups.values if forget.groups else []
    groups = Groups(column=file.column, values=list(dict.fromkeys([*map(str, more), *values])))
    return forget.model_copy(update={"groups": groups, "groups_file": None})


def _select_group(column: str, values: list[Any], records: Records) -> np.ndarray:
    members = to_strings(records.column(column))
    mask = members.are_among([str(value) for value in values]) & (members.sizes > 0)  # an empty cell is in no group
    present, _ = members[mask].factorize()
    for value in values:
        if str(value) not in present:
            hint = find_nearest(str(value), members.chunks()) + describe_most_frequent(column, members)
            raise UserError(f"{records.name}: no record has {column} = {value}; {hint}; remove it from forget.groups")
    return mask


def _explain_empty(forget: Forget, records: Records) -> str:
    """Describe the columns of conditions that no record fulfils: frequent values, and the nearest one."""
    hints = [f"no record has the class {' or '.join(map(repr, map(str, forget.classes)))}"] if forget.classes else []
    for condition in forget.where:
        if not records.where([condition]).any():
            cells = to_strings(records.column(condition.column))
            wanted = condition.value if isinstance(condition.value, list) else [condition.value]
            near = _find_near_cell(text_of(wanted[0]), cells) if condition.op in ("==", "in") else ""
            hints.append(
                f"no record has {_format_condition(condition)}: {near}{describe_most_frequent(condition.column, cells)}"
            )
    if forget.where and not hints:
        return "each condition holds for some records, but no record fulfils all of them"
    return "; ".join(hints) or "check the selection"


def _find_near_cell(value: str, cells: Strings) -> str:
    return find_nearest(value, cells.chunks()) if value else "an empty cell fulfils no condition; "


def _format_condition(condition: Condition) -> str:
    values = condition.value if isinstance(condition.value, list) else [condition.value]
    return f"{condition.column} {condition.op} {', '.join(map(text_of, values))[:60]}"


def describe_most_frequent(column: str, cells: Strings) -> str:
    """Describe the most frequent values of a column, for messages."""
    return describe_frequencies(column, Counter(cell for chunk in cells.chunks() for cell in chunk).most_common(SHOWN))


def describe_frequencies(column: str, counts: Sequence[tuple[str, int]]) -> str:
    """Describe values with their numbers of cells, for messages."""
    listed = ", ".join(f"'{value[:60]}' ({count})" for value, count in counts)
    return f"the most frequent values of '{column}' are {listed}"


def _select_share(fraction: RandomFraction, n: int) -> np.ndarray:
    mask = np.zeros(n, dtype=bool)
    count = round(fraction.share * n)
    mask[np.random.default_rng(fraction.seed).permutation(n)[:count]] = True
    return mask


def _check(mask: np.ndarray, expect: Expect, name: str) -> None:
    count, n = int(mask.sum()), len(mask)
    selected = f"'forget' selects {pluralize(count, 'record')} of the {n} of {name}"
    if count == n:
        raise SelectionError(
            f"forget: selects all {n} records of {name}, so nothing remains to retain; check the selection"
        )
    if expect.min is not None and count < expect.min:
        raise SelectionError(f"forget.expect.min: is {expect.min}, but {selected}; correct one of the two")
    if expect.max is not None and count > expect.max:
        raise SelectionError(f"forget.expect.max: is {expect.max}, but {selected}; correct one of the two")
    if expect.max_share is not None and count > expect.max_share * n:
        raise SelectionError(f"forget.expect.max_share: is {expect.max_share}, but {selected}; correct one of the two")


def find_duplicates(records: Records, forget: np.ndarray, *, trusted: bool = True) -> np.ndarray:
    """Return the rows of retain whose samples equal a forgotten one byte for byte: training on them may restore it.

    Only to count them, digests of earlier runs do, too (`trusted=False`, see `Records.quick_fingerprints`).
    """
    digests = records.fingerprints if trusted else records.quick_fingerprints
    return np.flatnonzero(are_among(digests, digests[forget]) & ~forget)
