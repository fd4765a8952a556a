"""Files of named arrays with one row a record: npz (never unpickled) and safetensors."""

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from unlearn_cli.data.records import Records, StoredInput, array_inputs, from_arrays
from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.sources import Arrays

TYPES = {  # of safetensors, little-endian
    "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8", "I64": "<i8",
    "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip


def npz(spec: Arrays, name: str, input: StoredInput, task: str) -> Records:
    """Read the arrays of an npz file; other arrays with one value a record are its columns."""
    try:
        with spec.path.open("rb") as stored:  # np.load leaves a file open that it cannot read
            file = np.load(stored, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise UserError(f"{name}: {spec.path}: is one array; expected an .npz file with '{spec.inputs}' inside")
            return _records(spec, name, input, {key: file[key] for key in file.files})
    except FileNotFoundError:
        raise UserError(f"{name}: {spec.path}: there is no such file") from None
    except (ValueError, OSError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        reason = _first_line(error)
        raise UserError(f"{name}: {spec.path}: is no npz file of plain arrays ({reason}); write it again") from None


def safetensors(spec: Arrays, name: str, input: StoredInput, task: str) -> Records:
    """Read the tensors of a safetensors file; other tensors with one value a record are its columns."""
    try:
        with safe_open(spec.path, framework="numpy") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys() if key != spec.inputs}  # noqa: SIM118
            if spec.inputs in file.keys():  # noqa: SIM118
                arrays[spec.inputs] = _mapped(spec.path, spec.inputs, file)
            return _records(spec, name, input, arrays)
    except FileNotFoundError:
        raise UserError(f"{name}: {spec.path}: there is no such file") from None
    except (SafetensorError, TypeError) as error:
        reason = _first_line(error)
        raise UserError(f"{name}: {spec.path}: is no safetensors file of arrays ({reason}); write it again") from None


def _mapped(path: Path, key: str, file: Any) -> np.ndarray:
    """Return a tensor as it lies in the file: of data that is streamed, memory holds what is read at the moment alone.

    The header was checked when the file was opened; types that NumPy does not have are left to safetensors.
    """
    with path.open("rb") as stored:
        length = int.from_bytes(stored.read(8), "little")
        entry = json.loads(stored.read(length))[key]
    dtype = TYPES.get(entry["dtype"])
    if dtype is None or 0 in entry["shape"]:
        return file.get_tensor(key)
    return np.memmap(path, dtype, "r", 8 + length + entry["data_offsets"][0], tuple(entry["shape"]))


def _records(spec: Arrays, name: str, input: StoredInput, arrays: dict[str, np.ndarray]) -> Records:
    place = f"{name}: {spec.path}"
    arrays = {key: np.char.decode(array) if array.dtype.kind == "S" else array for key, array in arrays.items()}
    for key in filter(None, (spec.inputs, spec.labels, spec.ids)):
        if key not in arrays:
            raise UserError(f"{place}: there is no array '{key}'; {did_you_mean(key, arrays)}")
    samples, labels = arrays[spec.inputs], arrays[spec.labels]
    if samples.ndim == 0 or labels.shape != samples.shape[:1]:
        shapes = f"samples of shape {list(samples.shape)} and labels of shape {list(labels.shape)}"
        raise UserError(f"{place}: {shapes}; expected one label a sample")
    if labels.dtype.kind not in "buifU":
        raise UserError(f"{place}: labels have type {labels.dtype}; expected numbers or text")
    columns = {key: array for key, array in arrays.items() if array.ndim == 1 and len(array) == len(labels)}
    if spec.ids and spec.ids not in columns:
        shape = list(arrays[spec.ids].shape)
        raise UserError(f"{place}: ids '{spec.ids}' have shape {shape}; expected one id a sample")
    ids = columns[spec.ids] if spec.ids else None
    return from_arrays(name, array_inputs(place, samples, input.shape, gaps=input.gaps), labels, ids, columns)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def existing(path: Path, name: str) -> Path:
    """Return the path if it is a file.

    Raises:
        UserError: there is no such file.
    """
    if not path.is_file():
        raise UserError(f"{name}: {path}: there is no such file")
    return path
