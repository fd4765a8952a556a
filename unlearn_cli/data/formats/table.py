"""A csv, jsonl or parquet file with one record per row: image paths, features or text."""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import groupby

import numpy as np

from unlearn_cli.data.images.image_bytes import decode_base64, is_base64, pack_images
from unlearn_cli.data.images.image_files import ImageFiles
from unlearn_cli.data.images.image_paths import check_paths
from unlearn_cli.data.notices import make_notices
from unlearn_cli.data.records import Inputs, Records, StoredInput, make_array_inputs
from unlearn_cli.data.strings import Strings, Values, pack, to_strings
from unlearn_cli.data.tables.cells import Block, CategoryCells, CellInputs, NumberCells, TextCells
from unlearn_cli.data.tables.date_parts import read_date_parts
from unlearn_cli.data.tables.label_sets import UNUSED_NAMES, read_label_sets, read_marks
from unlearn_cli.data.tables.table_file import TableFile, open_table
from unlearn_cli.data.transforms.tokens import Texts
from unlearn_cli.errors import UserError
from unlearn_cli.schema.image_steps import DEFAULT_MODES
from unlearn_cli.schema.sources import Table

EMPTY_TEXTS = ("nan", "NaN", "NA", "N/A", "<NA>", "null", "NULL", "None")
EMPTY_CLASS = (
    "labels such as NaN or null, which are a class; if they are none, list them in 'missing', with unlabelled: drop"
)
URLS = "contains URLs, and nothing is downloaded; download the images and write their paths to the column"
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def table(spec: Table, name: str, input: StoredInput, task: str) -> Records:
    """Read labels, ids and features (or image paths, or text) of all rows, in the file's order."""
    file = open_table(spec, name)
    if task == "multilabel":
        sets, labelled = read_label_sets(spec, file), None
        labels, class_names = sets.marks, sets.names
    else:
        labels, labelled = _read_labels(spec, file, numeric=task == "regression")
        class_names = _list_class_names(spec, file)
        file.counts[EMPTY_CLASS] = _count_empty_texts(labels)
    if not len(labels):
        raise UserError(f"{file.location}: contains no records; name a table with rows")
    ids = np.arange(len(labels)) if spec.id is None else _read_ids(spec.id, file)
    read = _read_images if spec.image else _read_texts if spec.text else _read_features
    reserved = {"id": ids} if task == "multilabel" else {"label": labels, "id": ids}
    column = partial(_read_column, file, reserved)
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
        class_names=class_names,
    )


def _read_ids(column: str, file: TableFile) -> Values:
    """Return the ids; those of embedded images are their paths."""
    file.quoted(column)
    return file.image_paths(column) if file.is_struct(column) else file.text(column)


def _read_labels(spec: Table, file: TableFile, *, numeric: bool) -> tuple[Values, np.ndarray | None]:
    """Return the labels, and the mask of rows with a label if the manifest allows rows without."""
    if isinstance(spec.label, list):
        return _read_one_hot_labels(spec.label, file), None
    names = file.class_names.get(spec.label)
    if names is not None and not numeric:
        return _name_labels(spec, spec.label, names, file)
    labels, labelled = _read_column_of_labels(spec, spec.label, file, numeric=numeric)
    return (_rename_labels(labels, spec, file) if spec.label_names else labels), labelled


def _list_class_names(spec: Table, file: TableFile) -> list[str] | None:
    """Return the classes if the table lists them."""
    if isinstance(spec.label, list):
        return spec.label
    names = file.class_names.get(spec.label)
    return None if names is None else list(dict.fromkeys(str(spec.label_names.get(name, name)) for name in names))


def _name_labels(spec: Table, column: str, names: list[str], file: TableFile) -> tuple[Values, np.ndarray | None]:
    """Return the names of numbered classes, and the mask of rows with a label; -1 and an empty cell are no label.

    Raises:
        UserError: a number is not that of a class, or a row has no label and the manifest does not allow it.
    """
    numbers = file.columns([column], gaps=True)[0].astype(np.float64)
    numbers = np.where(np.isnan(numbers), -1, numbers)
    wrong = np.flatnonzero((numbers < -1) | (numbers >= len(names)))
    if len(wrong):
        raise UserError(
            f"{file.location}: row {wrong[0]}: label {numbers[wrong[0]]:g} is not one of {len(names)} classes"
        )
    labelled = numbers >= 0
    if spec.unlabelled == "refuse" and not labelled.all():
        raise UserError(
            f"{file.location}: {int((~labelled).sum())} rows have no label (-1), the first is row "
            f"{int(np.flatnonzero(~labelled)[0])}; omit them with unlabelled: drop"
        )
    file.counts[UNUSED_NAMES] = len(spec.label_names.keys() - set(names))
    texts = np.array([*(str(spec.label_names.get(name, name)) for name in names), ""])
    return texts[numbers.astype(np.int64)], None if labelled.all() else labelled


def _read_one_hot_labels(columns: list[str], file: TableFile) -> Values:
    """Return the name of the column (n,) in which a row has a 1.

    Raises:
        UserError: a row does not have exactly one 1, with 0 in the other columns.
    """
    cells = read_marks(columns, file)
    wrong = np.flatnonzero(cells.sum(axis=1) != 1)
    if len(wrong):
        raise UserError(
            f"{file.location}: {file.describe_row(int(wrong[0]))}: expected one 1 and otherwise 0 in the columns of "
            f"'label', because a record has one class; {len(wrong)} of {len(cells)} rows differ"
        )
    return np.array(columns)[cells.argmax(axis=1)]


def _rename_labels(labels: Values, spec: Table, file: TableFile) -> Values:
    """Replace labels by their names in `label_names`; others keep theirs."""
    different, codes = to_strings(labels).factorize()
    file.counts[UNUSED_NAMES] = len(spec.label_names.keys() - set(different))
    names = {label: str(name) for label, name in spec.label_names.items()}
    return np.array([names.get(label, label) for label in different])[codes]


def _read_column_of_labels(
    spec: Table, column: str, file: TableFile, *, numeric: bool
) -> tuple[Values, np.ndarray | None]:
    labels = file.labels(column, numeric=numeric, gaps=True)
    if isinstance(labels, Strings):
        labelled = labels.sizes > 0
    else:
        labelled = labels != "" if labels.dtype.kind == "U" else ~np.isnan(labels.astype(np.float64))
    if spec.unlabelled == "refuse" and not labelled.all():
        error = file.make_empty_error(column, int(np.flatnonzero(~labelled)[0]))
        raise UserError(f"{error}, or omit rows without a label with unlabelled: drop")
    return labels, None if labelled.all() else labelled


def _count_empty_texts(labels: Values) -> int:
    """Return the number of labels that are usual texts of an empty cell."""
    if not isinstance(labels, Strings) and labels.dtype.kind != "U":
        return 0
    names, codes = to_strings(labels).factorize()
    return int(np.isin(codes, [number for number, name in enumerate(names) if name in EMPTY_TEXTS]).sum())


def _read_column(file: TableFile, reserved: Mapping[str, Values], column: str) -> Values:
    if column not in file.types and column in reserved:
        return reserved[column]
    return file.text(column, gaps=True)


def _read_features(spec: Table, file: TableFile, name: str, input: StoredInput) -> Inputs:
    listed: dict[str, None] = dict.fromkeys([*(spec.features or []), *spec.encoded_columns])
    columns = [*listed] if spec.features or spec.text else _list_features(spec, file)
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
    arrays = file.columns(columns, gaps=gaps, features=True)
    for column, values in zip(columns, arrays, strict=True):
        if file.types[column].startswith(("DATE", "TIME")):
            raise UserError(
                f"{file.location}: column '{column}' contains dates or times; take numbers from them, such as "
                f"date_parts: {{{column}: [year, month]}}, or list columns of numbers in 'features'"
            )
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
    for column in columns:
        file.quoted(column)
        file.refuse_nested(column, "a text in each cell")
    return np.stack([file.text(column).astype(str) for column in columns], axis=1)


def _read_images(spec: Table, file: TableFile, name: str, input: StoredInput) -> Inputs:
    if len(input.shape) != 3 or input.shape[0] not in DEFAULT_MODES:
        raise UserError(f"{name}: images have shape [1, 3 or 4, height, width], but input.shape is {input.shape}")
    assert spec.image is not None
    file.quoted(spec.image)
    if not file.is_struct(spec.image):
        file.refuse_nested(spec.image, "an image or the path of an image in each cell")
    if "BLOB" in file.types[spec.image] and not _has_only_paths(spec.image, file):
        return pack_images(file.images(spec.image), spec.path, input)
    paths = _read_paths(spec, spec.image, file)
    given = np.flatnonzero(paths.sizes > 0)
    first = paths.text(int(given[0])) if len(given) else ""
    if is_base64(first):
        return pack_images(decode_base64(cell for chunk in paths.chunks() for cell in chunk), spec.path, input)
    if URL.match(first):
        raise UserError(f"{file.location}: column '{spec.image}' {URLS}")
    root = (spec.root or spec.path.parent).resolve()
    check_paths(paths, root, file.location, allow_missing=spec.unreadable == "skip")
    return ImageFiles(root, paths, input)


def _read_paths(spec: Table, column: str, file: TableFile) -> Strings:
    """Return the paths, as they are written and with the suffix that the manifest adds; '' for an empty cell.

    Raises:
        UserError: a cell is empty, and the manifest does not leave out what cannot be read.
    """
    gaps = spec.unreadable == "skip"
    if file.is_struct(column):
        return file.image_paths(column, gaps=gaps)
    cells = file.text(column, gaps=gaps)
    if not spec.suffix:
        return cells
    return pack([f"{cell}{spec.suffix}" if cell else "" for cell in chunk] for chunk in cells.chunks())


def _has_only_paths(column: str, file: TableFile) -> bool:
    """Return whether images are stored as paths only.

    Raises:
        UserError: some images are stored as bytes, and others as paths.
    """
    if not file.is_struct(column):
        return False
    cells = file.quoted(column)
    embedded, named = file.query(
        f"count({cells}.bytes), count(*) FILTER (WHERE {cells}.bytes IS NULL AND {cells}.path IS NOT NULL)"
    ).fetchall()[0]
    if embedded and named:
        raise UserError(
            f"{file.location}: column '{column}' has {embedded} images as bytes and {named} only as paths; embed all"
        )
    return named > 0
