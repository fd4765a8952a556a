"""The cells of a table's feature columns before categories and text are encoded: blocks of columns. No torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
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

    def digest_bytes(self, rows: np.ndarray) -> np.ndarray:
        return _view_bytes(self.values[rows])


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

    def digest_bytes(self, rows: np.ndarray) -> np.ndarray:
        return _digest_texts(self.names)[self.codes[rows]]


@dataclass(frozen=True)
class TextCells:
    """Columns of text."""

    columns: tuple[str, ...]
    texts: np.ndarray  # (n, columns) unicode

    def __len__(self) -> int:
        return len(self.texts)

    def digest_bytes(self, rows: np.ndarray) -> np.ndarray:
        return _digest_texts(self.texts[rows].reshape(-1).tolist()).reshape(len(rows), -1)


@dataclass(frozen=True)
class WordCells:
    """Columns of text as numbers of words."""

    columns: tuple[str, ...]
    values: np.ndarray  # (n, columns * length) int32

    def __len__(self) -> int:
        return len(self.values)

    def digest_bytes(self, rows: np.ndarray) -> np.ndarray:
        return _view_bytes(self.values[rows])


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
        content = np.concatenate([block.digest_bytes(rows) for block in self.blocks], axis=1)
        return digest_samples((row.tobytes() for row in content), len(rows))


def _view_bytes(values: np.ndarray) -> np.ndarray:
    """Return rows of numbers as bytes (n, k) uint8."""
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)


def _digest_texts(texts: Sequence[str]) -> np.ndarray:
    """Return a digest (n, 16) uint8 of each text."""
    digests = [blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]
    return np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(len(texts), 16)
