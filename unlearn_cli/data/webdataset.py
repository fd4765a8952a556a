"""Tar shards in WebDataset's way, read at random: an index of where each record's image lies, made by one look.

Files of one record stand beside each other and share their name up to the first dot of its last part (`a/0001.jpg`,
`a/0001.cls`). Labels and metadata are read when the index is made, images when they are asked for.
Source of the format: https://github.com/webdataset/webdataset, "The WebDataset Format".
"""

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_cli import console
from unlearn_cli.data.digests import digests_of
from unlearn_cli.data.images import SUFFIXES, read_image
from unlearn_cli.data.records import Records, StoredInput, from_arrays
from unlearn_cli.data.shard_index import Record, indexed, together
from unlearn_cli.data.strings import Strings, Values
from unlearn_cli.errors import UserError
from unlearn_cli.sources import Webdataset

SMALL = 2**20  # bytes of a label or a record's metadata


def webdataset(spec: Webdataset, name: str, input: StoredInput, task: str) -> Records:
    """Index the shards; no image is opened yet.

    Raises:
        UserError: a shard is missing, compressed or broken, a key comes twice, or a record lacks its image or label.
    """
    if len(input.shape) != 3 or input.shape[0] not in (1, 3):
        raise UserError(f"{name}: images have shape [1 or 3, height, width], but input.shape is {input.shape}")
    paths = shards(spec.path)
    found = [indexed(list(_records(path, number, spec, name))) for number, path in enumerate(paths)]
    index = together(found)
    if not len(index.keys):
        raise UserError(f"{name}: {spec.path}: holds no records; expected files such as 0001.jpg and 0001.{spec.label}")
    repeated = index.keys.repeated()
    if repeated is not None:
        raise UserError(f"{name}: {spec.path}: the key '{repeated}' is there twice; make keys unique")
    labels = _read(index.labels, task, f"{name}: {spec.path}")
    return from_arrays(name, TarImages(paths, index.places, index.keys, input), labels, index.keys, index.columns)


def shards(pattern: Path) -> list[Path]:
    """Return the files that a path with a range such as {000..009} stands for."""
    match = re.search(r"\{(\d{1,9})\.\.(\d{1,9})\}", str(pattern))
    if match is None:
        return [pattern]
    first, last, width = int(match[1]), int(match[2]), len(match[1])
    return [Path(str(pattern).replace(match[0], f"{number:0{width}d}")) for number in range(first, last + 1)]


def _records(path: Path, shard: int, spec: Webdataset, name: str) -> Iterator[Record]:
    """Go through one shard's headers; contents other than labels and metadata are skipped."""
    try:
        with tarfile.open(path, "r:") as tar:
            record: Record | None = None
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]  # tarfile would keep them all
                if not member.isfile():
                    continue
                folder, _, file = member.name.rpartition("/")
                stem, _, suffix = file.partition(".")
                key = f"{folder}/{stem}" if folder else stem
                if record is None or record.key != key:
                    yield from _whole(record, path, spec, name)
                    record = Record(key)
                _take(record, member, suffix.lower(), tar, shard, spec)
            yield from _whole(record, path, spec, name)
    except FileNotFoundError:
        raise UserError(
            f"{name}: {path}: there is no such file; name tar files, such as train-{{000..009}}.tar"
        ) from None
    except (tarfile.TarError, EOFError) as error:
        raise UserError(f"{name}: {path}: is no uncompressed tar file ({error}); images are read at random") from None


def _take(
    record: Record, member: tarfile.TarInfo, suffix: str, tar: tarfile.TarFile, shard: int, spec: Webdataset
) -> None:
    """Note what one file says of its record."""
    is_image = suffix == spec.image.lower().lstrip(".") if spec.image else f".{suffix}" in SUFFIXES
    if is_image and record.place is None:
        record.place = (shard, member.offset_data, member.size)
    elif suffix in (spec.label, "json"):
        text = _text(tar, member)
        if suffix == spec.label:
            record.label = text
        if suffix == "json":
            record.columns = _fields(text, tar, member)
            if spec.label.startswith("json."):
                record.label = record.columns.get(spec.label.removeprefix("json."))


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    content = tar.extractfile(member)
    assert content is not None
    try:
        return content.read(SMALL).decode("utf-8").strip()
    except UnicodeDecodeError:
        raise UserError(f"{tar.name}: {member.name}: is no UTF-8 text; mend the shard") from None


def _fields(text: str, tar: tarfile.TarFile, member: tarfile.TarInfo) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise UserError(f"{tar.name}: {member.name}: is no JSON object of less than a MiB; mend the shard")
    return {key: value for key, value in fields.items() if isinstance(value, str | int | float)}


def _whole(record: Record | None, path: Path, spec: Webdataset, name: str) -> Iterator[Record]:
    if record is None:
        return
    parts = {"image": record.place, f"label ({spec.label})": record.label}
    lacking = [what for what, value in parts.items() if value is None]
    if lacking:
        raise UserError(f"{name}: {path}: the record '{record.key}' has no {' and no '.join(lacking)}; mend the shard")
    yield record


def _read(labels: Values, task: str, place: str) -> Values:
    """Return labels that are all written as whole numbers in their usual form (in a regression, as numbers) as such.

    Where one has leading zeros they are names: 07 and 7 are two classes.
    """
    if not isinstance(labels, Strings):
        return labels
    different, numbers = labels.numbered()
    if all(re.fullmatch(r"0|-?[1-9]\d{0,17}", label, re.ASCII) for label in different):
        return np.array(different).astype(np.int64)[numbers]
    try:
        return np.array(different).astype(np.float64)[numbers] if task == "regression" else labels
    except ValueError:
        raise UserError(f"{place}: a label is no number; a regression needs numbers") from None


@dataclass(frozen=True)
class TarImages:
    """Images inside tar files: `places` (n, 3) are shard, offset and size."""

    paths: list[Path]
    places: np.ndarray
    keys: Strings
    input: StoredInput

    def __len__(self) -> int:
        return len(self.places)

    def take(self, rows: np.ndarray) -> np.ndarray:
        if not len(rows):
            return np.zeros((0, *self.input.shape), dtype=np.uint8)
        return np.stack([read_image(self._named(row), self.input, BytesIO(self._bytes(row))) for row in rows])

    def fingerprints(self, rows: np.ndarray) -> np.ndarray:
        console.say(f"looking for copies: reading {len(rows)} images of tar files")  # it may take minutes
        return digests_of((self._bytes(row) for row in rows), len(rows))

    def _bytes(self, row: int) -> bytes:
        shard, offset, size = self.places[row].tolist()
        with self.paths[shard].open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def _named(self, row: int) -> Path:
        """Return a name for messages: the shard and the key in it."""
        return self.paths[int(self.places[row, 0])] / self.keys.text(row)
