"""Files of named arrays with one row per record: npz (never unpickled) and safetensors.

Only the arrays that a run needs are read; their headers are checked before.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from unlearn_cli.checkpoints import safetensors_header
from unlearn_cli.data.formats.npz_file import ArrayHeader, NpzFile
from unlearn_cli.data.images.image_arrays import check_array, make_sample_inputs
from unlearn_cli.data.notices import make_notices
from unlearn_cli.data.records import Records, StoredInput, from_arrays, from_label_sets
from unlearn_cli.data.strings import Values
from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.schema.sources import Arrays

TYPES = {  # of safetensors, little-endian
    "U8": "u1",
    "I8": "i1",
    "U16": "<u2",
    "I16": "<i2",
    "U32": "<u4",
    "I32": "<i4",
    "U64": "<u8",
    "I64": "<i8",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
    "BOOL": "?",
}
# Usual names of samples and labels of a part, as in MedMNIST's files and Keras's mnist.npz.
USUAL_NAMES = (("{}_images", "{}_labels"), ("x_{}", "y_{}"), ("X_{}", "y_{}"), ("{}_x", "{}_y"), ("images", "labels"))
PARTS = {"train": ("train",), "test": ("test",), "validation": ("val", "valid", "validation")}  # of sections
MARKS = ((0, 1), (-1, 1))  # numbers of one column per label: absent and present
LARGEST_CODE_POINT = 0x10FFFF
SURROGATES = range(0xD800, 0xE000)


class ArrayFile(Protocol):
    """Arrays whose headers are known before they are read; `unreadable` has the others with the reason."""

    kind: str
    headers: dict[str, ArrayHeader]
    unreadable: dict[str, str]

    def read(self, name: str) -> np.ndarray: ...


def npz(spec: Arrays, name: str, input: StoredInput, task: str) -> Records:
    """Read the arrays of an npz file; other arrays with one value per record are its columns."""
    return _build_records(spec, name, input, NpzFile(spec.path, name), task)


def safetensors(spec: Arrays, name: str, input: StoredInput, task: str) -> Records:
    """Read the tensors of a safetensors file; other tensors with one value per record are its columns."""
    file = SafetensorsFile(spec.path, name, spec.inputs)
    file.mapped = _choose_names(spec, name, file).inputs
    return _build_records(spec, name, input, file, task)


class SafetensorsFile:
    """The tensors of a safetensors file; the tensor of the samples is memory-mapped.

    Streamed data therefore takes memory only for the samples that are read at the moment.
    """

    def __init__(self, path: Path, source: str, mapped: str) -> None:
        self.kind, self.path, self.mapped = "safetensors", path, mapped
        self.entries = safetensors_header.read(path, source).entries
        self.headers = {
            name: ArrayHeader(np.dtype(TYPES[entry.dtype]), entry.shape)
            for name, entry in self.entries.items()
            if entry.dtype in TYPES
        }
        others = self.entries.keys() - self.headers.keys()
        self.unreadable = {name: f"it is of type {self.entries[name].dtype}" for name in others}

    def read(self, name: str) -> np.ndarray:
        entry, header = self.entries[name], self.headers[name]
        if not math.prod(header.shape):
            return np.zeros(header.shape, header.dtype)
        array = np.memmap(self.path, header.dtype, "r", entry.start, header.shape)
        return array if name == self.mapped else np.array(array)


@dataclass(frozen=True)
class Columns(Mapping[str, Values]):
    """The arrays with one value per record, read on access."""

    file: ArrayFile
    names: tuple[str, ...]
    source: str

    def __getitem__(self, name: str) -> Values:
        if name not in self.names:
            raise KeyError(name)
        return _read_array(self.file, name, self.source).reshape(-1)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _build_records(spec: Arrays, name: str, input: StoredInput, file: ArrayFile, task: str) -> Records:
    source, spec = f"{name}: {spec.path}", _choose_names(spec, name, file)
    for key in filter(None, (spec.inputs, spec.labels, spec.ids)):
        _check_present(file, key, source)
    samples, labels = file.headers[spec.inputs], file.headers[spec.labels]
    is_multilabel = task == "multilabel"
    expected = "an array of 0 and 1, (n, K)" if is_multilabel else "one label per sample"
    is_one_hot = task == "classification" and len(labels.shape) == 2 and labels.shape[1] > 1
    has_labels = _has_marks if is_multilabel or is_one_hot else _has_one_value
    if not samples.shape or not has_labels(labels, samples.shape[0]):
        shapes = f"samples of shape {list(samples.shape)} and labels of shape {list(labels.shape)}"
        raise UserError(f"{source}: {shapes}; expected {expected}")
    if labels.dtype.kind not in "buifUS":
        raise UserError(f"{source}: labels have type {labels.dtype}; expected numbers or text")
    check_array(source, samples.dtype, samples.shape, input)
    _check_depth(samples.dtype, input, source)
    names = tuple(key for key, array in file.headers.items() if _has_one_value(array, samples.shape[0]))
    if spec.ids and spec.ids not in names:
        shape = list(file.headers[spec.ids].shape)
        raise UserError(f"{source}: ids '{spec.ids}' have shape {shape}; expected one id per sample")
    columns = Columns(file, names, source)
    inputs = make_sample_inputs(source, _read_array(file, spec.inputs, source), input)
    ids = columns[spec.ids] if spec.ids else None
    if task == "multilabel":
        records = from_label_sets(name, inputs, _read_marks(file, spec.labels, source), ids, columns)
    else:
        classes = _read_one_hot(file, spec.labels, source) if is_one_hot else columns[spec.labels]
        records = from_arrays(name, inputs, classes, ids, columns)
    unread = make_notices(name, {"arrays that are not plain numbers or text, left out": len(file.unreadable)})
    return replace(records, notices=unread)


def _choose_names(spec: Arrays, name: str, file: ArrayFile) -> Arrays:
    """Return the section with the usual names of the part, if the file has them and the manifest names no arrays."""
    if {"inputs", "labels"} & spec.model_fields_set or spec.inputs in file.headers:
        return spec
    parts = PARTS.get(name.rpartition(".")[2], ())
    pairs = [(inputs.format(part), labels.format(part)) for part in parts for inputs, labels in USUAL_NAMES]
    for inputs, labels in pairs:
        if inputs in file.headers and labels in file.headers:
            return spec.model_copy(update={"inputs": inputs, "labels": labels})
    return spec


def _has_one_value(array: ArrayHeader, count: int) -> bool:
    """Return whether an array has one value per record: (n,), or (n, 1) as MedMNIST's labels."""
    return array.shape in ((count,), (count, 1))


def _has_marks(array: ArrayHeader, count: int) -> bool:
    """Return whether an array has numbers for several labels per record, (n, K)."""
    return len(array.shape) == 2 and array.shape[0] == count


def _read_marks(file: ArrayFile, name: str, source: str) -> np.ndarray:
    """Return the labels of multilabel records (n, K) uint8.

    Raises:
        UserError: a number is neither 0 nor 1, or in an array without 0 neither -1 nor 1.
    """
    marks = _read_signs(file, name, source)
    wrong = np.argwhere(~np.isin(marks, MARKS[0]))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise UserError(
            f"{source}: '{name}' contains {marks[row, column]} in row {row}, column {column}; expected 1 for each "
            f"label of a record, else 0 (or -1 in all of them); {len(wrong)} of {marks.size} numbers differ"
        )
    return marks.astype(np.uint8)


def _read_signs(file: ArrayFile, name: str, source: str) -> np.ndarray:
    """Return an array with 0 instead of -1, if it has no 0: where it has, -1 often means unknown."""
    marks = _read_array(file, name, source)
    return marks if (marks == 0).any() else np.where(marks == -1, 0, marks)


def _read_one_hot(file: ArrayFile, name: str, source: str) -> np.ndarray:
    """Return the class numbers (n,) int64 of an array with one column of 0 and 1 per class.

    Raises:
        UserError: a record does not have exactly one 1.
    """
    marks = _read_signs(file, name, source)
    is_right = np.isin(marks, (0, 1)).all(axis=1) & ((marks == 1).sum(axis=1) == 1)
    if not is_right.all():
        raise UserError(
            f"{source}: '{name}' has labels of shape {list(marks.shape)}; expected one label per sample, or one column "
            f"of 0 and 1 per class with a single 1 in each row; {int((~is_right).sum())} rows differ, the first is row "
            f"{int(np.flatnonzero(~is_right)[0])}"
        )
    return marks.argmax(axis=1).astype(np.int64)


def _check_present(file: ArrayFile, key: str, source: str) -> None:
    if key in file.unreadable:
        flaw = f"is not a plain {file.kind} file ('{key}': {file.unreadable[key]}); write it again"
        raise UserError(f"{source}: {flaw}")
    if key not in file.headers:
        raise UserError(f"{source}: no array '{key}'; {did_you_mean(key, file.headers)}")


def _check_depth(dtype: np.dtype[Any], input: StoredInput, source: str) -> None:
    """Refuse images of unsigned numbers of more than 8 bits without `input.scale`, as for image files."""
    if dtype.kind == "u" and dtype.itemsize > 1 and len(input.shape) == 3 and input.scale is None:
        raise UserError(
            f"{source}: images have type {dtype}, more than 8 bits; set the divisor of the pixels in the manifest, "
            "such as input.scale: 65535 (1 keeps the values)"
        )


def _read_array(file: ArrayFile, name: str, source: str) -> np.ndarray:
    """Read an array; bytes are decoded to text."""
    array = file.read(name)
    if array.dtype.kind == "U" and array.size:
        codes = np.ascontiguousarray(array).view(array.dtype.byteorder.replace("|", "=") + "u4")
        if codes.max() > LARGEST_CODE_POINT or np.isin(codes, SURROGATES).any():
            raise UserError(f"{source}: '{name}' contains text that is not Unicode; write it again")
    try:
        return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
    except UnicodeDecodeError:
        raise UserError(f"{source}: '{name}' contains text that is not UTF-8; write it again") from None
