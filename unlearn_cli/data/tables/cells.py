"""The cells of a table's feature columns before categories and text are encoded: blocks of columns. No torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from unlearn_cli.data.digests import digest_samples
from unlearn_cli.schema.table_columns import CategoryKind


@dataclass(frozen=True)
class NumberCells:
    """Consecutive features that are numbers."""

    columns: tuple[str, ...]
    values: np.ndarray  # (n, columns) float32, NaN for an empty cell

    def __len__(self) -> int:
        return len(self.values)

    def digest_parts(self, row: int) -> bytes:
        return self.values[row].tobytes()


@dataclass(frozen=True)
class CategoryCells:
    """A column of categories."""

    column: str
    kind: CategoryKind
    listed: tuple[str, ...] | None  # the categories in the manifest; None: those of train
    names: list[str]  # the different cells
    codes: np.ndarray  # (n,): the index of each cell in `names`

    def __len__(self) -> int:
        return len(self.codes)

    def digest_parts(self, row: int) -> bytes:
        return self.names[self.codes[row]].encode("utf-8", "surrogatepass") + b"\0"


@dataclass(frozen=True)
class TextCells:
    """Columns of text."""

    columns: tuple[str, ...]
    texts: np.ndarray  # (n, columns) unicode

    def __len__(self) -> int:
        return len(self.texts)

    def digest_parts(self, row: int) -> bytes:
        return b"\0".join(text.encode("utf-8", "surrogatepass") for text in self.texts[row].tolist())


@dataclass(frozen=True)
class WordCells:
    """Columns of text as numbers of words."""

    columns: tuple[str, ...]
    values: np.ndarray  # (n, columns * length) int32

    def __len__(self) -> int:
        return len(self.values)

    def digest_parts(self, row: int) -> bytes:
        return self.values[row].tobytes()


Block = NumberCells | CategoryCells | TextCells | WordCells


@dataclass(frozen=True)
class CellInputs:
    """The features of a table that are not only numbers; they become samples when they are encoded."""

    blocks: Sequence[Block]  # at least one
    min_count: int  # of a category of train

    def __len__(self) -> int:
        return len(self.blocks[0])

    @property
    def categories(self) -> Iterator[CategoryCells]:
        return (block for block in self.blocks if isinstance(block, CategoryCells))

    def take(self, rows: np.ndarray) -> NoReturn:
        raise TypeError("cells are not samples; `encode_sources` makes them")

    def fingerprints(self, rows: np.ndarray) -> np.ndarray:
        parts = (b"".join(block.digest_parts(row) for block in self.blocks) for row in rows.tolist())
        return digest_samples(parts, len(rows))
