"""Strings by the million, such as ids and paths: one block of UTF-8 in place of an object each. No torch."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

CHUNK = 2**16  # strings that are Python's own at a time
WORD = 8  # bytes that are compared at once


@dataclass(frozen=True, eq=False)
class Strings:
    """Strings (n,), picked by rows as from an array; picked ones share the block, and so do forked processes.

    Lone surrogates, which stand for bytes in names of files that are no UTF-8, are kept. NumPy's own StringDType cannot
    hold them, takes more memory, and has sorted and indexed wrongly in several versions.
    """

    content: bytearray = field(repr=False)
    starts: np.ndarray  # (n,) int64
    sizes: np.ndarray  # (n,) uint32; bytes

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows: np.ndarray | slice) -> "Strings":
        return Strings(self.content, self.starts[rows], self.sizes[rows])

    def text(self, row: int) -> str:
        """Return one of the strings."""
        start = int(self.starts[row])
        return self.content[start : start + int(self.sizes[row])].decode("utf-8", "surrogatepass")

    def tolist(self) -> list[str]:
        ends = (self.starts + self.sizes).tolist()
        pieces = (self.content[start:end] for start, end in zip(self.starts.tolist(), ends, strict=True))
        return [piece.decode("utf-8", "surrogatepass") for piece in pieces]

    def astype(self, kind: type[str]) -> np.ndarray:
        """Return an array of unicode, as an array's own `astype(str)` does: each as long as the longest."""
        return np.array(self.tolist(), dtype=kind)

    def chunks(self) -> Iterator[list[str]]:
        """Yield all strings in their order, some thousands at a time."""
        for start in range(0, len(self), CHUNK):
            yield self[start : start + CHUNK].tolist()

    def are_among(self, wanted: Collection[str]) -> np.ndarray:
        """Return the mask (n,) of the strings that are among these."""
        wanted = frozenset(wanted)
        mask = (text in wanted for chunk in self.chunks() for text in chunk)
        return np.fromiter(mask, dtype=bool, count=len(self))

    def factorize(self) -> tuple[list[str], np.ndarray]:
        """Return the different strings, sorted, and the number (n,) of each string among them, as np.unique does."""
        numbers: dict[str, int] = {}
        codes_by_appearance = (numbers.setdefault(text, len(numbers)) for chunk in self.chunks() for text in chunk)
        codes = np.fromiter(codes_by_appearance, dtype=np.int32, count=len(self))
        ranks = {text: rank for rank, text in enumerate(sorted(numbers))}
        return list(ranks), np.array([ranks[text] for text in numbers], dtype=np.int32)[codes]

    def find_duplicate(self) -> str | None:
        """Return a string that is there more than once, the most frequent one; None if there is none."""
        hashes = np.fromiter((hash(text) for chunk in self.chunks() for text in chunk), dtype=np.int64, count=len(self))
        ordered = np.sort(hashes)
        suspects = self[np.isin(hashes, ordered[1:][ordered[1:] == ordered[:-1]])].astype(str)
        different, counts = np.unique(suspects, return_counts=True)
        return str(different[counts.argmax()]) if (counts > 1).any() else None

    def order(self) -> np.ndarray:
        """Return the rows (n,) in the order of the strings, by code points as Python compares them.

        From their last words to their first: at each, those that reach so far are sorted, and stay so where equal.
        """
        by_size = np.argsort(self.sizes, kind="stable").astype(np.min_scalar_type(len(self)))  # half the memory
        sizes, ordered, longer = self.sizes[by_size], by_size[:0], len(self)
        for at in reversed(range(0, int(sizes.max(initial=0)), WORD)):
            reaching = int(np.searchsorted(sizes, at, side="right"))
            ordered = np.concatenate([by_size[reaching:longer], ordered])
            words = [self._words(ordered[start : start + CHUNK], at) for start in range(0, len(ordered), CHUNK)]
            ordered = ordered[np.argsort(np.concatenate(words), kind="stable")]
            longer = reaching
        return np.concatenate([by_size[:longer], ordered])

    def _words(self, rows: np.ndarray, at: int) -> np.ndarray:
        """Return the bytes from `at` on as numbers that sort alike; what lies beyond a string's end is zero."""
        block = sliding_window_view(np.frombuffer(self.content, dtype=np.uint8), WORD)
        words = block[self.starts[rows] + at].view(">u8")[:, 0].astype(np.uint64)
        missing = np.maximum(WORD - (self.sizes[rows].astype(np.int64) - at), 0).astype(np.uint64) * np.uint64(8)
        return words >> missing << missing


def pack(chunks: Iterable[Sequence[str]]) -> Strings:
    """Put strings together that come some at a time, so that Python's own never are all there."""
    content, sizes = bytearray(), [np.zeros(0, dtype=np.uint32)]
    for chunk in chunks:
        pieces = [text.encode("utf-8", "surrogatepass") for text in chunk]
        content += b"".join(pieces)
        sizes.append(np.fromiter(map(len, pieces), dtype=np.uint32, count=len(pieces)))
    content += bytes(WORD)  # so that a whole word may be read at the last one
    together = np.concatenate(sizes)
    return Strings(content, np.cumsum(together, dtype=np.int64) - together, together)


def concatenate(parts: Sequence[Strings]) -> Strings:
    """Put several of them together, one after the other."""
    content, starts = bytearray(), [np.zeros(0, dtype=np.int64)]
    for part in parts:
        starts.append(part.starts + len(content))
        content += part.content
    sizes = np.concatenate([np.zeros(0, dtype=np.uint32), *(part.sizes for part in parts)])
    return Strings(content + bytes(WORD), np.concatenate(starts), sizes)


Values = np.ndarray | Strings


def to_strings(values: Values) -> Strings:
    """Return the values of an array as strings, as `astype(str)` does; true and false as they are in YAML and JSON."""
    if isinstance(values, Strings):
        return values
    if values.dtype.kind == "b":
        values = np.array(["false", "true"])[values.astype(np.int8)]
    return pack(values[start : start + CHUNK].astype(str).tolist() for start in range(0, len(values), CHUNK))


def iterate_sorted(values: Values) -> Iterator[list[str]]:
    """Yield values as strings, in the order of these, some thousands at a time."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu" and len(values):
        width = max(len(str(values.min())), len(str(values.max())))
        texts = values.astype(f"S{width}")  # a byte a digit
        texts.sort()
        yield from (texts[start : start + CHUNK].astype(str).tolist() for start in range(0, len(texts), CHUNK))
    else:
        strings = to_strings(values)
        order = strings.order()
        yield from (strings[order[start : start + CHUNK]].tolist() for start in range(0, len(order), CHUNK))
