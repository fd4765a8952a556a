"""Millions of strings, such as ids and paths, in one block of UTF-8 instead of one object per string. No torch."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

CHUNK = 2**16  # strings that are converted to Python strings at a time
WORD = 8  # bytes that are compared in one step


@dataclass(frozen=True, eq=False)
class Strings:
    """Strings (n,), indexed by rows like an array; selections and forked processes share the block.

    Lone surrogates, which stand for bytes of file names that are not UTF-8, are kept. NumPy's StringDType cannot store
    them, takes more memory, and has sorted and indexed wrongly in several versions.
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
        ends = self.starts + self.sizes
        first, last = (int(self.starts.min()), int(ends.max())) if len(self) else (0, 0)
        block = self.content[first:last] if last - first <= 2 * int(self.sizes.sum()) else None
        if block is not None and block.isascii():  # a character per byte: decoded together
            text = block.decode("ascii")
            spans = zip((self.starts - first).tolist(), (ends - first).tolist(), strict=True)
            return [text[start:end] for start, end in spans]
        pieces = (self.content[start:end] for start, end in zip(self.starts.tolist(), ends.tolist(), strict=True))
        return [piece.decode("utf-8", "surrogatepass") for piece in pieces]

    def astype(self, kind: type[str]) -> np.ndarray:
        """Return a unicode array, like an array's `astype(str)`; each item is as long as the longest."""
        return np.array(self.tolist(), dtype=kind)

    def chunks(self) -> Iterator[list[str]]:
        """Yield all strings in order, in chunks."""
        for start in range(0, len(self), CHUNK):
            yield self[start : start + CHUNK].tolist()

    def are_among(self, wanted: Collection[str]) -> np.ndarray:
        """Return the mask (n,) of the strings that are in `wanted`."""
        wanted = frozenset(wanted)
        mask = (text in wanted for chunk in self.chunks() for text in chunk)
        return np.fromiter(mask, dtype=bool, count=len(self))

    def factorize(self) -> tuple[list[str], np.ndarray]:
        """Return the distinct strings, sorted, and the index (n,) of each string among them, as np.unique does."""
        numbers: dict[str, int] = {}
        codes_by_appearance = (numbers.setdefault(text, len(numbers)) for chunk in self.chunks() for text in chunk)
        codes = np.fromiter(codes_by_appearance, dtype=np.int32, count=len(self))
        ranks = {text: rank for rank, text in enumerate(sorted(numbers))}
        return list(ranks), np.array([ranks[text] for text in numbers], dtype=np.int32)[codes]

    def find_duplicate(self) -> str | None:
        """Return the most frequent string that occurs more than once; None if there is none."""
        hashes = np.fromiter((hash(text) for chunk in self.chunks() for text in chunk), dtype=np.int64, count=len(self))
        ordered = np.sort(hashes)
        suspects = self[np.isin(hashes, ordered[1:][ordered[1:] == ordered[:-1]])].astype(str)
        different, counts = np.unique(suspects, return_counts=True)
        return str(different[counts.argmax()]) if (counts > 1).any() else None

    def order(self) -> np.ndarray:
        """Return the rows (n,) in the order of the strings, by code points as Python compares them.

        A radix sort from the last word to the first: at each word, a stable sort of the strings that are long enough.
        """
        by_size = np.argsort(self.sizes, kind="stable").astype(np.min_scalar_type(len(self)))  # half the memory
        sizes, ordered, longer = self.sizes[by_size], by_size[:0], len(self)
        for at in reversed(range(0, int(sizes.max(initial=0)), WORD)):
            reaching = int(np.searchsorted(sizes, at, side="right"))
            ordered = np.concatenate([by_size[reaching:longer], ordered])
            words = [self._read_words(ordered[start : start + CHUNK], at) for start in range(0, len(ordered), CHUNK)]
            ordered = ordered[np.argsort(np.concatenate(words), kind="stable")]
            longer = reaching
        return np.concatenate([by_size[:longer], ordered])

    def _read_words(self, rows: np.ndarray, at: int) -> np.ndarray:
        """Return the bytes from `at` as numbers with the same order; bytes beyond a string's end are zero."""
        block = sliding_window_view(np.frombuffer(self.content, dtype=np.uint8), WORD)
        words = block[self.starts[rows] + at].view(">u8")[:, 0].astype(np.uint64)
        missing = np.maximum(WORD - (self.sizes[rows].astype(np.int64) - at), 0).astype(np.uint64) * np.uint64(8)
        return words >> missing << missing


def pack(chunks: Iterable[Sequence[str]]) -> Strings:
    """Build `Strings` from chunks, so that all Python strings are never in memory together."""
    content, sizes = bytearray(), [np.zeros(0, dtype=np.uint32)]
    for chunk in chunks:
        pieces = [text.encode("utf-8", "surrogatepass") for text in chunk]
        content += b"".join(pieces)
        sizes.append(np.fromiter(map(len, pieces), dtype=np.uint32, count=len(pieces)))
    content += bytes(WORD)  # so that a whole word can be read at the end
    together = np.concatenate(sizes)
    return Strings(content, np.cumsum(together, dtype=np.int64) - together, together)


def concatenate(parts: Sequence[Strings]) -> Strings:
    """Concatenate several `Strings`."""
    content, starts = bytearray(), [np.zeros(0, dtype=np.int64)]
    for part in parts:
        starts.append(part.starts + len(content))
        content += part.content
    sizes = np.concatenate([np.zeros(0, dtype=np.uint32), *(part.sizes for part in parts)])
    return Strings(content + bytes(WORD), np.concatenate(starts), sizes)


Values = np.ndarray | Strings


def to_strings(values: Values) -> Strings:
    """Convert the values of an array to strings, as `astype(str)` does; booleans to true and false, as in YAML."""
    if isinstance(values, Strings):
        return values
    if values.dtype.kind == "b":
        values = np.array(["false", "true"])[values.astype(np.int8)]
    return pack(values[start : start + CHUNK].astype(str).tolist() for start in range(0, len(values), CHUNK))


def iterate_sorted(values: Values) -> Iterator[list[str]]:
    """Yield values as sorted strings, in chunks."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu" and len(values):
        width = max(len(str(values.min())), len(str(values.max())))
        texts = values.astype(f"S{width}")  # one byte per digit
        texts.sort()
        yield from (texts[start : start + CHUNK].astype(str).tolist() for start in range(0, len(texts), CHUNK))
    else:
        strings = to_strings(values)
        order = strings.order()
        yield from (strings[order[start : start + CHUNK]].tolist() for start in range(0, len(order), CHUNK))
