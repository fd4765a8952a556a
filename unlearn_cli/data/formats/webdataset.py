"""Tar shards in WebDataset's format with random access: one pass builds an index of the positions of all images.

Files of one record are adjacent and have the same name up to the first dot of its last part (`a/0001.jpg`,
`a/0001.cls`). Labels and metadata are read when the index is built, images on access.
Source of the format: https://github.com/webdataset/webdataset, "The WebDataset Format".
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from unlearn_cli import console
from unlearn_cli.data.digests import digest_samples
from unlearn_cli.data.formats.shard_index import ShardRecord, build_index, merge_indexes
from unlearn_cli.data.formats.tar_members import TarMember, read_members
from unlearn_cli.data.images.image_files import read_images
from unlearn_cli.data.images.pillow_images import SUFFIXES
from unlearn_cli.data.notices import make_notices
from unlearn_cli.data.records import Records, StoredInput, from_arrays
from unlearn_cli.data.strings import Strings, Values
from unlearn_cli.errors import UserError
from unlearn_cli.schema.image_steps import DEFAULT_MODES
from unlearn_cli.schema.sources import Webdataset
from unlearn_cli.storage import json_text, regular_files
from unlearn_cli.storage.path_patterns import expand_range

SMALL = 2**20  # bytes of a label or a record's metadata
DEFAULT_LABEL = "cls"
KEYS = "the file or field that has it, such as label: json.label"
ADVICE = "; write the shard again"


def webdataset(spec: Webdataset, name: str, input: StoredInput, task: str) -> Records:
    """Index the shards; no image is opened yet.

    Raises:
        UserError: a shard is missing, compressed or broken, a key is not unique, or a record has no image or label.
    """
    if len(input.shape) != 3 or input.shape[0] not in DEFAULT_MODES:
        raise UserError(f"{name}: images have shape [1, 3 or 4, height, width], but input.shape is {input.shape}")
    paths = expand_range(spec.path)
    unused: Counter[str] = Counter()
    indexes = [build_index(list(_read_shard(path, number, spec, name, unused))) for number, path in enumerate(paths)]
    index = merge_indexes(indexes)
    if not len(index.keys):
        raise UserError(
            f"{name}: {spec.path}: contains no records; expected files such as 0001.jpg and 0001.{spec.label}"
        )
    repeated = index.keys.find_duplicate()
    if repeated is not None:
        raise UserError(f"{name}: {spec.path}: duplicate key '{repeated}'; make keys unique")
    labels = _read_labels(index.labels, task, f"{name}: {spec.path}")
    records = from_arrays(name, TarImages(paths, index.locations, index.keys, input), labels, index.keys, index.columns)
    return replace(records, notices=make_notices(name, unused))


def _read_shard(path: Path, shard: int, spec: Webdataset, name: str, unused: Counter[str]) -> Iterator[ShardRecord]:
    """Read one shard's headers, labels and metadata; other files are counted in `unused`."""
    missing = "no such file; name tar files, such as train-{000..009}.tar"
    with regular_files.open_regular(path, name, missing=missing) as file:
        reader, record = ShardReader(file, f"{name}: {path}", shard, spec), None
        for member in read_members(file, path, name):
            folder, _, base = member.name.rpartition("/")
            if kind := _name_unused(member, folder, base):
                unused[kind] += 1
                continue
            stem, _, suffix = base.partition(".")
            key = f"{folder}/{stem}" if folder else stem
            if record is None or record.key != key:
                yield from _check_complete(record, path, spec, name)
                record, reader.roles = ShardRecord(key), set()
            if not reader.take(record, member, suffix.lower()):
                unused[f"files of shards {_name_ending(suffix)}, left out"] += 1
        yield from _check_complete(record, path, spec, name)


def _name_unused(member: TarMember, folder: str, base: str) -> str | None:
    """Return the kind of a member that belongs to no record; None if it belongs to one."""
    if member.is_folder:
        return "folders of shards, which hold no records themselves"
    parts = [*folder.split("/"), base]
    if any(part.startswith(".") and part not in (".", "..") for part in parts) or "__MACOSX" in parts:
        return "hidden files of shards, left out"
    return None


def _name_ending(suffix: str) -> str:
    """Return the ending of a file's name if it cannot identify a record."""
    ending = suffix.lower().rpartition(".")[2]
    return f"ending in .{ending}" if re.fullmatch("[a-z][a-z0-9]{0,7}", ending) else "of another ending"


@dataclass
class ShardReader:
    """Reads labels and metadata of one shard into records; `roles` are those of the current record's earlier files."""

    file: BinaryIO
    source: str
    shard: int
    spec: Webdataset
    roles: set[str] = field(default_factory=set)

    def take(self, record: ShardRecord, member: TarMember, suffix: str) -> bool:
        """Read one file into its record; return whether it is used."""
        spec, image_suffix = self.spec, self.spec.image.lower().lstrip(".") if self.spec.image else None
        if suffix == image_suffix if image_suffix else f".{suffix}" in SUFFIXES:
            self._require_once("image", member, "" if image_suffix else "; set 'image' to the suffix of one of them")
            record.location = (self.shard, member.offset, member.size)
            return True
        if suffix not in (spec.label, "json"):
            return False
        self._require_once(suffix, member)
        text = self._read_text(member)
        if suffix == spec.label:
            record.label = text or None
        if suffix == "json":
            record.columns = self._parse_fields(text, member)
            if spec.label.startswith("json."):
                record.label = record.columns.get(spec.label.removeprefix("json."))
        return True

    def _require_once(self, role: str, member: TarMember, advice: str = "") -> None:
        if role in self.roles:
            raise UserError(f"{self.source}: {member.name}: its record has two files for its {role}{advice or ADVICE}")
        self.roles.add(role)

    def _read_text(self, member: TarMember) -> str:
        if member.size > SMALL:
            raise UserError(
                f"{self.source}: {member.name}: has {member.size} bytes; expected at most 1 MiB of label or metadata"
            )
        self.file.seek(member.offset)
        content = self.file.read(member.size)
        try:
            if b"\0" in content:  # text has no NUL, but a shard with a missing block may
                raise ValueError
            return content.decode("utf-8").strip()
        except ValueError:
            raise UserError(f"{self.source}: {member.name}: is not UTF-8 text{ADVICE}") from None

    def _parse_fields(self, text: str, member: TarMember) -> dict[str, Any]:
        try:
            fields = json_text.read(text)
        except ValueError:
            fields = None
        if not isinstance(fields, dict):
            raise UserError(f"{self.source}: {member.name}: is not a JSON object with unique keys{ADVICE}")
        return {key: value for key, value in fields.items() if isinstance(value, str | int | float)}


def _check_complete(record: ShardRecord | None, path: Path, spec: Webdataset, name: str) -> Iterator[ShardRecord]:
    if record is None:
        return
    parts = {"image": record.location, f"label ({spec.label})": record.label}
    lacking = [part for part, value in parts.items() if value is None]
    if lacking:
        advice = f"; fix the shard, or name {KEYS}" if spec.label == DEFAULT_LABEL else "; fix the shard"
        raise UserError(f"{name}: {path}: the record '{record.key}' has no {' and no '.join(lacking)}{advice}")
    yield record


def _read_labels(labels: Values, task: str, source: str) -> Values:
    """Convert labels to integers if all are integers in their usual form; in a regression, to numbers.

    If a label has leading zeros, all labels are names: 07 and 7 are two classes.
    """
    if not isinstance(labels, Strings):
        return labels
    different, numbers = labels.factorize()
    if all(re.fullmatch(r"0|-?[1-9]\d{0,17}", label, re.ASCII) for label in different):
        return np.array(different).astype(np.int64)[numbers]
    try:
        return np.array(different).astype(np.float64)[numbers] if task == "regression" else labels
    except ValueError:
        raise UserError(f"{source}: a label is not a number; a regression needs numbers") from None


@dataclass(frozen=True)
class TarImages:
    """Images inside tar files: `locations` (n, 3) are shard, offset and size."""

    paths: list[Path]
    locations: np.ndarray
    keys: Strings
    input: StoredInput

    def __len__(self) -> int:
        return len(self.locations)

    def take(self, rows: np.ndarray) -> np.ndarray:
        return read_images(self, rows)

    def fingerprints(self, rows: np.ndarray) -> np.ndarray:
        console.say(f"searching for copies: reading {len(rows)} images of tar files")  # this may take minutes
        return digest_samples((self._read_bytes(row) for row in rows), len(rows))

    def _read_bytes(self, row: int) -> bytes:
        shard, offset, size = self.locations[row].tolist()
        with regular_files.open_regular(self.paths[shard]) as file:
            file.seek(offset)
            return file.read(size)

    def content(self, row: int) -> BinaryIO:
        return BytesIO(self._read_bytes(row))

    def name(self, row: int) -> Path:
        """Return the shard and the key in it."""
        return self.paths[int(self.locations[row, 0])] / self.keys.text(row)
