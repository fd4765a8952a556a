"""Folders that `Dataset.save_to_disk` of Hugging Face's datasets writes, and other Arrow files; read with pyarrow.

Source of the layout: https://huggingface.co/docs/datasets/about_arrow and `datasets.arrow_dataset.Dataset.save_to_disk`
(state.json lists the Arrow files, dataset_info.json the features).
"""

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from unlearn_cli.errors import UserError
from unlearn_cli.storage.regular_files import read_regular, require_regular_file

STATE, INFO, DICT = "state.json", "dataset_info.json", "dataset_dict.json"
MOST = 2**26  # bytes of a json file


def list_arrow_files(path: Path, name: str) -> list[Path]:
    """Return the Arrow files of a folder of datasets, or of one file.

    Raises:
        UserError: it is not a folder of datasets, or a file of it is missing.
    """
    if not path.is_dir():
        return [require_regular_file(path, name)]
    if (path / DICT).is_file():
        splits = _read_json(path / DICT, name).get("splits")
        listed = ", ".join(f"{path.name}/{split}" for split in splits) if isinstance(splits, list) else "a folder in it"
        raise UserError(f"{name}: {path}: contains several splits; name one of them: {listed}")
    if not (path / STATE).is_file():
        raise UserError(
            f"{name}: {path}: is a folder without {STATE}, so it was not written by save_to_disk; name the file of a "
            "table, or for images use imagefolder"
        )
    files = _read_json(path / STATE, name).get("_data_files")
    listed = [file.get("filename") for file in files if isinstance(file, dict)] if isinstance(files, list) else []
    names = [file for file in listed if isinstance(file, str) and Path(file).name == file]
    if not names or len(names) < len(listed):
        raise UserError(f"{name}: {path / STATE}: lists no files of the folder; write the folder again")
    return [require_regular_file(path / file, name) for file in names]


def read_class_names(info: Any) -> dict[str, list[str]]:
    """Return the names of classes by column, from the features of `dataset_info.json` or a file's metadata."""
    features = info.get("features") if isinstance(info, dict) else None
    items = {column: _get_item(feature) for column, feature in (features if isinstance(features, dict) else {}).items()}
    labels = {
        column: feature.get("names")
        for column, feature in items.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }
    return {column: list(map(str, names)) for column, names in labels.items() if isinstance(names, list)}


def _get_item(feature: Any) -> Any:
    """Return the feature of the items of a list, or the feature itself."""
    if isinstance(feature, list) and len(feature) == 1:
        return feature[0]
    return feature["feature"] if isinstance(feature, dict) and "feature" in feature else feature


def read_folder_class_names(path: Path, name: str) -> dict[str, list[str]]:
    """Return the names of classes by column of a folder of datasets."""
    return read_class_names(_read_json(path / INFO, name)) if (path / INFO).is_file() else {}


def read_arrow(paths: Sequence[Path], name: str) -> Any:
    """Return the rows of Arrow files as a pyarrow.Table, mapped into memory.

    Raises:
        UserError: pyarrow is not installed, or a file is not an Arrow file.
    """
    try:
        pyarrow = import_module("pyarrow")
    except ImportError:
        raise UserError(f"{name}: reading Arrow files needs pyarrow; install unlearn-cli[datasets]") from None
    tables = []
    for path in paths:
        try:
            tables.append(_read_file(path))
        except pyarrow.ArrowInvalid as error:
            reason = str(error).splitlines()[0][:200]
            raise UserError(f"{name}: {path}: is not an Arrow file ({reason}); write it again") from None
    if any(table.schema != tables[0].schema for table in tables):
        raise UserError(f"{name}: {paths[0].parent}: its Arrow files have different columns; write the folder again")
    return pyarrow.concat_tables(tables)


def _read_file(path: Path) -> Any:
    """Read a stream, as datasets writes it, or a file with an index at its end."""
    pyarrow, ipc = import_module("pyarrow"), import_module("pyarrow.ipc")
    source = pyarrow.memory_map(str(path))
    try:
        return ipc.open_stream(source).read_all()
    except pyarrow.ArrowInvalid:
        source.seek(0)
        return ipc.open_file(source).read_all()


def _read_json(path: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads(read_regular(path, MOST, name))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{name}: {path}: is not a JSON object; write the folder again")
    return content
