"""Text as numbers of words; a word's number is a hash of the word, so that no vocabulary is needed."""

import re
import zlib
from dataclasses import dataclass

import numpy as np

from unlearn_cli.data.digests import digest_samples
from unlearn_cli.data.transforms.tokenizer import FolderTokenizer

WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Texts:
    """Columns of text as a table stores them, (N, columns); they are converted to tokens before samples are read."""

    cells: np.ndarray

    def __len__(self) -> int:
        return len(self.cells)

    def take(self, rows: np.ndarray) -> np.ndarray:
        raise TypeError("text is no sample; the manifest's check asks for tokens")

    def fingerprints(self, rows: np.ndarray) -> np.ndarray:
        raise TypeError("text is no sample; the manifest's check asks for tokens")


@dataclass(frozen=True)
class TokenInputs:
    """Numbers of words (N, columns, length): words hashed to 1 .. buckets - 1, with zeros before the first."""

    numbers: np.ndarray  # int32

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: np.ndarray) -> np.ndarray:
        return self.numbers[rows].astype(np.float32)  # exact: there are at most 2^24 buckets

    def fingerprints(self, rows: np.ndarray) -> np.ndarray:
        return digest_samples((self.numbers[row].tobytes() for row in rows), len(rows))


def tokenise_with(tokenizer: FolderTokenizer, texts: Texts, length: int, *, pair: bool) -> TokenInputs:
    """Convert the cells to tokens of a tokenizer; a `pair` of columns becomes one sequence (N, 1, length)."""
    if pair:
        rows = [(first, second) for first, second in texts.cells.tolist()]
        return TokenInputs(tokenizer.encode(rows, length)[:, None])
    numbers = [tokenizer.encode(column.tolist(), length) for column in texts.cells.T]
    return TokenInputs(np.stack(numbers, axis=1))


def tokenise(texts: Texts, length: int, buckets: int) -> TokenInputs:
    """Convert the first `length` words of every cell to numbers; the words are not stored."""
    numbers = np.zeros((*texts.cells.shape, length), dtype=np.int32)
    for position, cell in np.ndenumerate(texts.cells):
        words = WORD.findall(str(cell).lower())[:length]
        if words:  # aligned to the right, so that a network that reads from the left ends with a word
            numbers[position][-len(words) :] = [hash_word(word, buckets) for word in words]
    return TokenInputs(numbers)


def hash_word(word: str, buckets: int) -> int:
    """Return the number of a lower-cased word; different words may have the same number."""
    return 1 + zlib.crc32(word.encode(errors="surrogatepass")) % (buckets - 1)
