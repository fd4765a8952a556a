"""Facts about image files, stored next to the outputs of runs, so that no later run reads unchanged files to know them.

Two facts are stored: the digest of a file's bytes, by which copies are recognised, and what a check of the image noted.
A file counts as unchanged while its path, size, inode and times are the same. A file that was written less than two
seconds before it was read may change again without another time, so nothing is stored about it.

Facts of earlier runs are not trusted: times can be set, and a folder of outputs may be written by others. They serve
what a report counts and describes: copies, digests of the data, notices. Whatever decides which records are forgotten
(`--forget-duplicates`) or in which half of test a record is, reads the bytes (`FileFacts.digest(trusted=True)`), and
deletion batches neither write nor read stored facts. A wrong fact can therefore not change what is forgotten.

The file has digests of images, so it can show that an image was in the data: only its owner may read it, and
'unlearn-cli clean' lists it. Paths are in it only as digests with a random salt.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import PIL

from unlearn_cli import console, ranks
from unlearn_cli.console import pluralize
from unlearn_cli.data.images.facts_file import MOST, StoredFacts, read_facts, write_facts
from unlearn_cli.data.images.image_files import ImageFiles
from unlearn_cli.data.images.image_sources import find_images
from unlearn_cli.data.records import Inputs, StoredInput
from unlearn_cli.storage.leftovers import FACTS

SETTLED = 2 * 10**9  # nanoseconds; some file systems store times in steps of two seconds
CONTENT = "bytes as blake2b"  # the kind of the fact that is the digest of a file's bytes
DIGEST = 16  # bytes of a key or value


class ImageNote(NamedTuple):
    """What a check of an image noted: whether it has more than 8 bits, and how it is changed when it is read."""

    is_deep: bool
    changes: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    """What a run knows about the files of one source, by row: nothing yet where `is_listed` or `is_read` is false."""

    keys: np.ndarray  # (n, 2) uint64: digests of path, size, inode and times
    is_listed: np.ndarray  # (n,) bool
    is_settled: np.ndarray  # (n,) bool: written long enough ago
    digests: np.ndarray  # (n,) S16: of the bytes
    is_stored: np.ndarray  # (n,) bool: the digest is that of an earlier run
    is_read: np.ndarray  # (n,) bool: the digest is that of bytes that were read in this run


class FileFacts:
    """The stored facts about image files of the runs that write to one folder, and the new ones of this run.

    Without a folder, only those of this run: its check of images reads their bytes, so nothing else reads them again.
    """

    def __init__(self, folder: Path | None) -> None:
        self.path, self.begun = folder and folder / FACTS, time.time_ns()
        self._sources: dict[int, tuple[ImageFiles, _Source]] = {}
        self._new: list[tuple[np.ndarray, np.ndarray]] = []  # keys and values
        self._used: list[tuple[np.ndarray, np.ndarray]] = []
        self._notes: dict[int, str] = {}
        self._announced = False

    @cached_property
    def _stored(self) -> StoredFacts:
        return read_facts(self.path) if self.path else StoredFacts()

    def digest(self, inputs: Inputs, *, trusted: bool) -> np.ndarray:
        """Return the digest (n,) of each sample; with `trusted`, of bytes that were read in this run."""
        files, rows = find_images(inputs) or (None, np.arange(0))
        if not isinstance(files, ImageFiles):  # the rows are those of the images, not of a part of them
            return inputs.fingerprints(np.arange(len(inputs)))
        source = self._list_files(files, rows)
        unknown = rows[~source.is_read[rows] & (trusted | ~source.is_stored[rows])]
        if len(unknown):
            source.digests[unknown], source.is_read[unknown] = files.fingerprints(unknown), True
            self._add_digests(source, unknown)
        return source.digests[rows]

    def open_image(self, files: ImageFiles, row: int) -> BinaryIO:
        """Open an image for a check; all of its bytes are read and digested if their digest is not known.

        `add_notes` stores the digest of an image that passes the check.
        """
        source = self._list_files(files, np.array([row]))
        if source.is_stored[row] or source.is_read[row]:
            return files.content(row)
        content = files.read(row)
        source.digests[row], source.is_read[row] = blake2b(content, digest_size=DIGEST).digest(), True
        return BytesIO(content)

    def _add_digests(self, source: _Source, rows: np.ndarray) -> None:
        self._add(source, rows, CONTENT, to_pairs(source.digests[rows]))

    def find_notes(self, files: ImageFiles, rows: np.ndarray, *, decoded: bool) -> tuple[np.ndarray, list[ImageNote]]:
        """Return the index (n,) of each image's note in the list, -1 where none is stored; unreadable ones have none.

        With `decoded`, only notes of images that were decoded without an error.
        """
        source = self._list_files(files, rows)
        keys = _of_kind(source.keys[rows], describe_check(files.input, decoded))
        values, stored = self._look_up(keys)
        numbers, codes = np.unique(values[stored, 0], return_inverse=True)
        texts = [self._stored.notes.get(number) for number in numbers.tolist()]
        if None in texts:  # the note is missing in the file
            return np.full(len(rows), -1), []
        indices = np.full(len(rows), -1)
        indices[stored] = codes.reshape(-1)
        return indices, [_parse_note(text) for text in texts if text]

    def add_notes(
        self, files: ImageFiles, rows: np.ndarray, indices: np.ndarray, notes: Sequence[ImageNote], *, decoded: bool
    ) -> None:
        """Store the notes of images that are readable, and digests of those that were read.

        Whoever decoded an image has checked its header, too.
        """
        if not len(rows):
            return
        texts = [json.dumps([note.is_deep, *note.changes]) for note in notes]
        pairs = to_pairs(_join(blake2b(text.encode(), digest_size=DIGEST).digest() for text in texts))
        self._notes.update(zip(pairs[:, 0].tolist(), texts, strict=True))
        source = self._list_files(files, rows)
        for kind in (True, False) if decoded else (False,):
            self._add(source, rows, describe_check(files.input, kind), pairs[indices])
        self._add_digests(source, rows[source.is_read[rows]])

    def _add(self, source: _Source, rows: np.ndarray, kind: str, values: np.ndarray) -> None:
        settled = source.is_settled[rows]  # nothing without a folder
        self._new.append((_of_kind(source.keys[rows[settled]], kind), values[settled]))

    def _look_up(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, stored = self._stored.look_up(keys)
        self._used.append((keys[stored], values[stored]))
        if stored.any() and not self._announced:
            count = pluralize(int(stored.sum()), "image file")
            console.say(f"facts of an earlier run about {count} are used; --no-cache reads the files again")
            self._announced = True
        return values, stored

    def _list_files(self, files: ImageFiles, rows: np.ndarray) -> _Source:
        """Return what is known about a source, with the keys of these rows."""
        if id(files) not in self._sources:
            n = len(files)
            is_listed, is_settled, is_stored, is_read = (np.zeros(n, dtype=bool) for _ in range(4))
            keys, digests = np.zeros((n, 2), dtype=np.uint64), np.zeros(n, dtype=f"S{DIGEST}")
            self._sources[id(files)] = files, _Source(keys, is_listed, is_settled, digests, is_stored, is_read)
        source = self._sources[id(files)][1]
        rows = rows[~source.is_listed[rows]]
        if len(rows) and self.path:
            times = np.zeros(len(rows), dtype=np.int64)
            keys = _join(digest_states(files, rows, self._stored.salt, times))
            source.keys[rows], source.is_listed[rows] = to_pairs(keys), True
            source.is_settled[rows] = times < self.begun - SETTLED
            values, source.is_stored[rows] = self._look_up(_of_kind(source.keys[rows], CONTENT))
            source.digests[rows] = to_digests(values)
        return source

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Store the new facts, also of a run that was stopped; a run that failed writes nothing."""
        if kind is None or not issubclass(kind, Exception):
            self.save()

    def save(self) -> None:
        """Add the new facts to the file, in the first process only; another run may have written it in the meantime."""
        is_new = any(len(keys) for keys, _ in self._new)
        if self.path is None or not is_new or not ranks.is_first() or not self.path.parent.is_dir():
            return
        latest = read_facts(self.path)
        if latest.salt != self._stored.salt or len(latest) > MOST:
            latest = StoredFacts(self._stored.salt, notes=self._stored.notes)
        keys, values = (np.concatenate(parts) for parts in zip(*self._new, *self._used, strict=True))
        try:
            write_facts(self.path, latest.add(keys, values, self._notes))
        except OSError as error:  # a dry run needs no folder that it may write to
            console.warn(f"{self.path}: facts about image files were not stored: {error.strerror}")
        self._new.clear()


def digest_states(files: ImageFiles, rows: np.ndarray, salt: bytes, times: np.ndarray) -> Iterator[bytes]:
    """Yield a digest of path, size, inode and times of each file, and set the time (n,) of its last change.

    Names are relative to the folder, or absolute. A file without a state has a random digest, which is never met again.
    """
    folder = os.path.realpath(files.root)
    key = blake2b(folder.encode("utf-8", "surrogatepass"), key=salt, digest_size=32).digest()
    prefix = os.path.join(folder, "")
    names = (name for chunk in files.names[rows].chunks() for name in chunk)
    for position, name in enumerate(names):
        try:
            state = os.stat(name if name.startswith("/") else prefix + name)
        except (OSError, ValueError):  # ValueError: a NUL in the name
            yield os.urandom(DIGEST)
            continue
        times[position] = state.st_mtime_ns
        text = f"{name}\0{state.st_size} {state.st_ino} {state.st_mtime_ns} {state.st_ctime_ns}"
        yield blake2b(text.encode("utf-8", "surrogatepass"), key=key, digest_size=DIGEST).digest()


def open_facts(out: Path | None, *, cached: bool) -> FileFacts:
    """Return the facts next to an output; only those of this run without an output, and with --no-cache."""
    return FileFacts(out.absolute().parent if out is not None and cached else None)


def describe_check(input: StoredInput, decoded: bool) -> str:
    """Describe a check of images: everything that decides what it notes, apart from the file."""
    settings = [input.shape, asdict(input.images), input.scale]
    return json.dumps([decoded, PIL.__version__, digest_readers(), settings])


@cache
def digest_readers() -> str:
    """Return a digest of the code that reads and checks images."""
    digest = blake2b(digest_size=DIGEST)
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def to_pairs(digests: np.ndarray) -> np.ndarray:
    """Return digests (n,), items of 16 bytes, as pairs (n, 2) of uint64."""
    return np.ascontiguousarray(digests).view(np.uint64).reshape(-1, 2)


def to_digests(pairs: np.ndarray) -> np.ndarray:
    """Return pairs (n, 2) of uint64 as items (n,) of 16 bytes."""
    return np.ascontiguousarray(pairs).view(f"S{DIGEST}")[:, 0]


def _join(digests: Iterable[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(digests), dtype=f"S{DIGEST}")


def _of_kind(keys: np.ndarray, kind: str) -> np.ndarray:
    """Return the keys of facts of one kind about files with these keys."""
    return keys ^ np.frombuffer(blake2b(kind.encode(), digest_size=DIGEST).digest(), dtype=np.uint64)


def _parse_note(text: str) -> ImageNote:
    is_deep, *changes = json.loads(text)
    return ImageNote(bool(is_deep), tuple(map(str, changes)))
