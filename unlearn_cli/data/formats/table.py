"""A csv, jsonl or parquet file with one record per row: image paths, features or text."""

from collections.abc import Iterator
from functools import partial
from itertools import groupby

import numpy as np

from unlearn_cli.data.images.image_files import ImageFiles
from unlearn_cli.data.images.image_paths import check_paths
from unlearn_cli.data.notices import make_notices
from unlearn_cli.data.records import Inputs, Records, StoredInput, make_array_inputs
from unlearn_cli.data.strings import Strings, Values, to_strings
from unlearn_cli.data.tables.cells import Block, CategoryCells, CellInputs, NumberCells, TextCells
from unlearn_cli.data.tables.date_parts import read_date_parts
from unlearn_cli.data.tables.table_file import TableFile, open_table
from unlearn_cli.data.transforms.tokens import Texts
from unlearn_cli.errors import UserError
from unlearn_cli.schema.image_steps import DEFAULT_MODES
from unlearn_cli.schema.sources import Table


def table(spec: Table, name: str, input: StoredInput, task: str) -> Records:
    """Read labels, ids and features (or image paths, or text) of all rows, in the file's order."""
    file = open_table(spec, name)
    labels, labelled = _read_labels(spec, file, numeric=task == "regression")
    if not len(labels):
        raise UserError(f"{file.location}: contains no records; name a table with rows")
    ids = np.arange(len(labels)) if spec.id is None else file.text(spec.id)
    read = _read_images if spec.image else _read_texts if spec.text else _read_features
    column = partial(_read_column, file, labels, ids)
    inputs, notices = read(spec, file, name, input), make_notices(name, file.counts)
    line_of = file.layout.line_of if file.layout else None
    return Records(
        name,
        inputs,
        labels,
        ids,
        column,
        file.where,
        labelled=labelled,
        columns=tuple(file.types),
        line_of=line_of,
        notices=notices,
        listed_features=None if spec.features or spec.text or spec.image else tuple(_list_features(spec, file)),
        class_names=spec.label if isinstance(spec.label, list) else None,
    )


def _read_labels(spec: Table, file: TableFile, *, numeric: bool) -> tuple[Values, np.ndarray | None]:
    """Return the labels, and the mask of rows with a label if the manifest allows rows without."""
    if isinstance(spec.label, list):
        return _read_one_hot_labels(spec.label, file), None
    labels, labelled = _read_column_of_labels(spec, spec.label, file, numeric=numeric)
    return (_rename_labels(labels, spec) if spec.label_names else labels), labelled


def _read_one_hot_labels(columns: list[str], file: TableFile) -> Values:
    """Return the name of the column (n,) in which a row has a 1.

    Raises:
        UserError: a row does not have exactly one 1, with 0 in the other columns.
    """
    cells = np.stack([values.astype(np.float64) for values in file.columns(columns)], axis=1)
    wrong = np.flatnonzero(~(np.isin(cells, (0, 1)).all(axis=1) & (cells.sum(axis=1) == 1)))
    if len(wrong):
        raise UserError(
            f"{file.location}: {file.describe_row(int(wrong[0]))}: expected one 1 and otherwise 0 in the columns of "
            f"'label', because a record has one class; {len(wrong)} of {len(cells)} rows differ"
        )
    return np.array(columns)[cells.argmax(axis=1)]


def _rename_labels(labels: Values, spec: Table) -> Values:
    """Replace labels by their names in `label_names`; others keep theirs."""
    different, codes = to_strings(labels).factorize()
    names = {label: str(name) for label, name in spec.label_names.items()}
    return np.array([names.get(label, label) for label in different])[codes]


def _read_column_of_labels(
    spec: Table, column: str, file: TableFile, *, numeric: bool
) -> tuple[Values, np.ndarray | None]:
    if spec.unlabelled == "refuse":
        return file.labels(column, numeric=numeric), None
    labels = file.labels(column, numeric=numeric, gaps=True)
    if isinstance(labels, Strings):
        labelled = labels.sizes > 0
    else:
        labelled = labels != "" if labels.dtype.kind == "U" else ~np.isnan(labels.astype(np.float64))
    return labels, None if labelled.all() else labelled


def _read_column(file: TableFile, labels: Values, ids: Values, column: str) -> Values:
    reserved = {"label": labels, "id": ids}
    if column not in file.types and column in reserved:
        return reserved[column]
    return file.text(column, gaps=True)


def _read_features(spec: Table, file: TableFile, name: str, input: StoredInput) -> Inputs:
    columns = list(dict.fromkeys([*(spec.features or []), *spec.encoded_columns]))
    columns = columns if spec.features or spec.text else _list_features(spec, file)
    if not columns:
        raise UserError(f"{file.location}: has no columns of features except label and id; add some")
    if not spec.encoded_columns and not spec.text:
        return _read_numbers(columns, spec, file, name, input)
    blocks = [*_read_blocks(columns, spec, file, input), *_read_text_block(spec, file)]
    return CellInputs(blocks, spec.min_count)


def _read_numbers(columns: list[str], spec: Table, file: TableFile, name: str, input: StoredInput) -> Inputs:
    values = _stack_numbers(columns, file, gaps=input.gaps)
    return make_array_inputs(f"{name}: {spec.path}", values, input.shape, gaps=input.gaps)


def _stack_numbers(columns: list[str], file: TableFile, *, gaps: bool) -> np.ndarray:
    """Return columns of numbers (n, columns) float32."""
    arrays = file.columns(columns, gaps=gaps)
    for column, values in zip(columns, arrays, strict=True):
        if values.dtype.kind in "bU":
            raise UserError(
                f"{file.location}: column '{column}' contains text; list columns of numbers in 'features', or encode "
                f"it: one_hot: [{column}]"
            )
    with np.errstate(over="ignore"):  # too large values become infinite, which make_array_inputs refuses
        return np.stack([values.astype(np.float32) for values in arrays], axis=1)


def _read_blocks(columns: list[str], spec: Table, file: TableFile, input: StoredInput) -> Iterator[Block]:
    """Yield the blocks of columns in their order; consecutive columns of numbers are one block."""
    categories = spec.categories
    for encoded, group in groupby(columns, lambda column: column if column in spec.encoded_columns else ""):
        if not encoded:
            names = list(group)
            values = _stack_numbers(names, file, gaps=input.gaps)
            make_array_inputs(
                file.location, values, [len(names)], gaps=input.gaps
            )  # refuses values that are not finite
            yield NumberCells(tuple(names), values)
        elif encoded in categories:
            yield CategoryCells(encoded, *categories[encoded], *file.text(encoded, gaps=True).factorize())
        else:
            yield read_date_parts(file, encoded, spec.date_parts[encoded], input.dates.get(encoded))


def _read_text_block(spec: Table, file: TableFile) -> list[TextCells]:
    return [TextCells(tuple(spec.text), _stack_texts(spec.text, file))] if spec.text else []


def _list_features(spec: Table, file: TableFile) -> list[str]:
    """Return all columns except label, id, `ignore` and an index without a name, which is counted."""
    for column in spec.encoded_columns:
        file.quoted(column)
    taken, index = {*spec.label_columns, spec.id, *spec.ignore}, set(file.find_index_columns())
    index -= {*taken, *spec.encoded_columns}
    file.counts["columns of an index without a name, left out"] = len(index)
    return [column for column in file.types if column not in taken | index]


def _read_texts(spec: Table, file: TableFile, name: str, input: StoredInput) -> Inputs:
    columns = spec.text or []
    if spec.has_numbers_with_text:
        return _read_features(spec, file, name, input)
    if [len(columns)] != input.shape:
        raise UserError(
            f"{file.location}: has {len(columns)} columns of text, but input.shape expects {input.shape[0]}; "
            "make them agree"
        )
    return Texts(_stack_texts(columns, file))


def _stack_texts(columns: list[str], file: TableFile) -> np.ndarray:
    """Return columns of text (n, columns) unicode."""
    return np.stack([file.text(column).astype(str) for column in columns], axis=1)


def _read_images(spec: Table, file: TableFile, name: str, input: StoredInput) -> Inputs:
    if len(input.shape) != 3 or input.shape[0] not in DEFAULT_MODES:
        raise UserError(f"{name}: images have shape [1, 3 or 4, height, width], but input.shape is {input.shape}")
    root = (spec.root or spec.path.parent).resolve()
    assert spec.image is not None
    if "BLOB" in file.types.get(spec.image, ""):  # BLOB, or the STRUCT(bytes BLOB, path VARCHAR) of Hugging Face
        raise UserError(
            f"{file.location}: column '{spec.image}' contains images (bytes), but paths are expected; write the images "
            "to files, and their paths to a column"
        )
    names = to_strings(file.column(spec.image))
    check_paths(names, root, file.location)
    return ImageFiles(root, names, input)
