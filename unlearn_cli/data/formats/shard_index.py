"""The index of the records in tar shards, in compact arrays; Python objects exist only for one shard at a time."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unlearn_cli.data.strings import Strings, Values, concatenate, pack

Column = Values | list[Any]  # a list if the values have several types


@dataclass
class ShardRecord:
    """The index entry of one record; `location` is (shard, offset, bytes) of its image."""

    key: str
    location: tuple[int, int, int] | None = None
    label: Any = None
    columns: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ShardIndex:
    """The records (n,): keys, `locations` (n, 3) of the images, labels, and the fields that every record has."""

    keys: Strings
    locations: np.ndarray
    labels: Any
    columns: dict[str, Any]


def build_index(records: list[ShardRecord]) -> ShardIndex:
    """Build the index of one shard; `merge_indexes` joins its labels and columns with those of other shards."""
    keys = pack([[record.key for record in records]])
    locations = np.array([record.location for record in records], dtype=np.int64).reshape(-1, 3)
    common = set.intersection(*(set(record.columns) for record in records)) if records else set()
    columns = {name: _compact([record.columns[name] for record in records]) for name in common}
    return ShardIndex(keys, locations, _compact([record.label for record in records]), columns)


def merge_indexes(shards: list[ShardIndex]) -> ShardIndex:
    """Merge the indexes of all shards."""
    filled = [shard for shard in shards if len(shard.keys)]
    common = set.intersection(*(set(shard.columns) for shard in filled)) if filled else set()
    columns = {name: _concatenate_column([shard.columns[name] for shard in filled]) for name in sorted(common)}
    locations = np.concatenate([np.zeros((0, 3), dtype=np.int64), *(shard.locations for shard in filled)])
    return ShardIndex(
        concatenate([shard.keys for shard in filled]),
        locations,
        _concatenate_column([shard.labels for shard in filled]),
        columns,
    )


def _compact(values: list[Any]) -> Column:
    """Return values of one type as an array, others as a list."""
    kinds = set(map(type, values))
    if kinds == {str}:
        return pack([values])
    array = np.array(values) if len(kinds) == 1 else np.array([])
    return array if array.dtype.kind in "bif" and len(array) else values


def _concatenate_column(parts: list[Column]) -> Values:
    """Concatenate a column of several shards; NumPy chooses the type for all values."""
    strings = [part for part in parts if isinstance(part, Strings)]
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(strings) == len(parts):
        return concatenate(strings)
    if len(arrays) == len(parts) and len({part.dtype for part in arrays}) == 1:
        return np.concatenate(arrays)
    return np.array([value for part in parts for value in (part if isinstance(part, list) else part.tolist())])
