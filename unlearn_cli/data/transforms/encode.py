"""Encodes the cells of tables as numbers, with the same categories in all sources and all runs of a network.

The categories are those in the manifest, else those recorded in the checkpoint, else those of all rows of train: text
as it is written, sorted; an empty cell is a category, too. All other categories have one code in common.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest
from typing import Protocol

import numpy as np

from unlearn_cli.data.notices import make_notices
from unlearn_cli.data.records import Inputs, Records, Subset
from unlearn_cli.data.tables.cells import CategoryCells, CellInputs, NumberCells, TextCells
from unlearn_cli.data.transforms.windows import WindowInputs
from unlearn_cli.errors import UserError

Categories = Mapping[str, tuple[str, ...]]  # by column, in the order of their codes
MOST = 1000  # categories of a column: each is a feature and an entry in the checkpoint's metadata


class EncodedBlock(Protocol):
    """Some columns as numbers."""

    @property
    def size(self) -> int:
        """The number of features."""
        ...

    @property
    def is_quantity(self) -> bool:
        """Whether the numbers are quantities, which may be standardised."""
        ...

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return the features (n, size) float32."""
        ...


@dataclass(frozen=True)
class Numbers:
    """Columns of numbers."""

    values: np.ndarray  # (n, size) float32
    is_quantity: bool = True

    @property
    def size(self) -> int:
        return self.values.shape[1]

    def take(self, rows: np.ndarray) -> np.ndarray:
        return self.values[rows]


@dataclass(frozen=True)
class OneHot:
    """One feature per category, and one for all others."""

    positions: np.ndarray  # (n,)
    size: int
    is_quantity: bool = False

    def take(self, rows: np.ndarray) -> np.ndarray:
        features = np.zeros((len(rows), self.size), dtype=np.float32)
        features[np.arange(len(rows)), self.positions[rows]] = 1
        return features


@dataclass(frozen=True)
class EncodedInputs:
    """The features (n, F) of a table, blocks of columns in their order; encoded on access."""

    blocks: Sequence[EncodedBlock]
    cells: CellInputs

    def __len__(self) -> int:
        return len(self.cells)

    def take(self, rows: np.ndarray) -> np.ndarray:
        return np.concatenate([block.take(rows) for block in self.blocks], axis=1, dtype=np.float32)

    def fingerprints(self, rows: np.ndarray) -> np.ndarray:
        return self.cells.fingerprints(rows)

    @cached_property
    def are_quantities(self) -> np.ndarray:
        """Which features (F,) are quantities; the others are codes of categories and words."""
        return np.concatenate([np.full(block.size, block.is_quantity) for block in self.blocks])


def encode_sources(
    sources: Mapping[str, Records], shape: list[int], recorded: Categories | None
) -> tuple[dict[str, Records], Categories | None]:
    """Encode the cells of all sources; return the categories, too, or None if no column has categories.

    Raises:
        UserError: the columns of the sources differ, a column has too many categories, the recorded categories are
            not those of the manifest, or the number of features is not the one in `shape`.
    """
    _check_same_order(sources)
    cells = {name: find_cells(records.inputs) for name, records in sources.items()}
    if all(stored is None for stored in cells.values()):
        if recorded:
            _refuse_recorded(recorded, {}, "data")
        return dict(sources), None
    basis = cells["train"]
    _check_same_columns(cells)
    assert basis is not None
    categories = _choose_categories(basis, sources["train"], recorded)
    encoded = {name: _encode_records(records, categories, shape) for name, records in sources.items()}
    return encoded, categories or None


def find_cells(inputs: Inputs) -> CellInputs | None:
    """Return the cells behind inputs; None if there are none."""
    while isinstance(inputs, Subset | WindowInputs):
        inputs = inputs.inputs
    return inputs if isinstance(inputs, CellInputs) else None


def find_quantities(inputs: Inputs) -> np.ndarray | None:
    """Return which features are quantities; None if all are."""
    while isinstance(inputs, Subset | WindowInputs):
        inputs = inputs.inputs
    return inputs.are_quantities if isinstance(inputs, EncodedInputs) else None


def _check_same_order(sources: Mapping[str, Records]) -> None:
    """Refuse tables whose columns differ, if the manifest does not name the features."""
    expected = sources["train"].listed_features
    for name, records in sources.items():
        columns = records.listed_features
        if expected is None or columns is None or columns == expected:
            continue
        pairs = zip_longest(columns, expected, fillvalue="")
        own, other = next((own, other) for own, other in pairs if own != other)
        raise UserError(
            f"data.{name}: its features are not the columns of data.train in the same order: it has '{own}' where "
            f"data.train has '{other}'; list 'features' in both sections, or columns of one of them in 'ignore'"
        )


def _check_same_columns(cells: Mapping[str, CellInputs | None]) -> None:
    layouts = {name: _describe_layout(stored) for name, stored in cells.items()}
    for name, layout in layouts.items():
        if layout != layouts["train"]:
            raise UserError(
                f"data.{name}: its columns of features are not those of data.train, or are encoded in another way; use "
                "the same one_hot, ordinal, date_parts, text and features in both"
            )


def _describe_layout(cells: CellInputs | None) -> list[tuple[object, ...]] | None:
    if cells is None:
        return None
    return [
        (block.column, block.kind, block.listed) if isinstance(block, CategoryCells) else (type(block), *block.columns)
        for block in cells.blocks
    ]


def _choose_categories(cells: CellInputs, records: Records, recorded: Categories | None) -> Categories:
    """Return the categories of each column: listed in the manifest, else recorded, else of train."""
    counted = {
        column.column: column.listed if column.listed is not None else _count_categories(column, cells, records)
        for column in cells.categories
        if column.listed is not None or not recorded
    }
    if recorded is None:
        return counted
    named = {column.column for column in cells.categories}
    if named != recorded.keys() or any(recorded[column] != names for column, names in counted.items()):
        _refuse_recorded(recorded, dict.fromkeys(named, ()) | counted, records.name)
    return recorded


def _refuse_recorded(recorded: Categories, categories: Categories, name: str) -> None:
    raise UserError(
        f"{name}: the checkpoint was trained with categories of the columns {', '.join(recorded)}, but the manifest "
        f"encodes {', '.join(categories) or 'none'}, or lists other categories; use the manifest of its training"
    )


def _count_categories(column: CategoryCells, cells: CellInputs, records: Records) -> tuple[str, ...]:
    rows = _find_rows(records.inputs)
    counts = np.bincount(column.codes[rows], minlength=len(column.names))
    frequent = tuple(name for name, count in zip(column.names, counts, strict=True) if count >= cells.min_count)
    if len(frequent) > MOST:
        raise UserError(
            f"{records.name}: column '{column.column}' has {len(frequent)} categories, the most is {MOST}; set "
            "min_count, or list the categories in the manifest"
        )
    return frequent


def _find_rows(inputs: Inputs) -> np.ndarray:
    """Return the stored rows that samples consist of."""
    rows = np.arange(len(inputs))
    while isinstance(inputs, Subset | WindowInputs):
        rows = inputs.rows[rows] if isinstance(inputs, Subset) else np.unique(inputs.rows_of(rows))
        inputs = inputs.inputs
    return rows


def _encode_records(records: Records, categories: Categories, shape: list[int]) -> Records:
    cells = find_cells(records.inputs)
    assert cells is not None
    rows, unlisted = _find_rows(records.inputs), 0
    blocks: list[EncodedBlock] = []
    for block in cells.blocks:
        if not isinstance(block, CategoryCells):
            assert not isinstance(block, TextCells)  # the manifest was checked: tokens are made before
            blocks.append(Numbers(block.values, isinstance(block, NumberCells)))
            continue
        positions, size = _find_positions(block, categories[block.column]), len(categories[block.column]) + 1
        unlisted += int((positions[rows] == size - 1).sum())
        one_hot = block.kind == "one_hot"
        blocks.append(OneHot(positions, size) if one_hot else Numbers(positions[:, None].astype(np.float32)))
    _check_size(records.name, cells, blocks, shape)
    notices = make_notices(records.name, {"cells of rare or unknown categories, encoded as one category": unlisted})
    inputs = _replace_cells(records.inputs, EncodedInputs(blocks, cells))
    return replace(records, inputs=inputs, notices=(*records.notices, *notices))


def _find_positions(column: CategoryCells, categories: tuple[str, ...]) -> np.ndarray:
    """Return the position (n,) of each cell's category; the position after the last is that of all others."""
    numbers = {name: number for number, name in enumerate(categories)}
    by_code = np.array([numbers.get(name, len(categories)) for name in column.names], dtype=np.int32)
    return by_code[column.codes]


def _check_size(name: str, cells: CellInputs, blocks: Sequence[EncodedBlock], shape: list[int]) -> None:
    total = sum(block.size for block in blocks)
    if shape == [total]:
        return
    sizes = ", ".join(
        f"{', '.join((block.column,) if isinstance(block, CategoryCells) else block.columns)}: {encoded.size}"
        for block, encoded in zip(cells.blocks, blocks, strict=True)
    )
    raise UserError(
        f"{name}: the columns make {total} features ({sizes}), but input.shape and data.transform expect "
        f"{shape}; set input.shape to [{total}], or to [length, {total}] for windows"
    )


def _replace_cells(inputs: Inputs, encoded: EncodedInputs) -> Inputs:
    """Return the same selection and windows of encoded cells."""
    if isinstance(inputs, Subset | WindowInputs):
        return replace(inputs, inputs=_replace_cells(inputs.inputs, encoded))
    return encoded
