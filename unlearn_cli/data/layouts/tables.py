"""Tables: which column is the label, the id, the person, an image or a text, and which are numbers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

from unlearn_cli.console import pluralize
from unlearn_cli.data.formats.table import URL, URLS
from unlearn_cli.data.images.image_bytes import decode_base64
from unlearn_cli.data.layouts.columns import Column, split_words
from unlearn_cli.data.layouts.features import (
    Categories,
    FeatureColumns,
    Reading,
    choose_default,
    choose_readings,
)
from unlearn_cli.data.layouts.folders import describe_sizes, describe_unreadable
from unlearn_cli.data.layouts.image_sizes import ImageSizes, measure_contents, measure_images
from unlearn_cli.data.layouts.label_columns import TableLabels, describe_similar, recognise_labels
from unlearn_cli.data.layouts.layout import DataLayout, Kind, Section, complete_splits
from unlearn_cli.data.layouts.table_text import describe_marks, open_described
from unlearn_cli.data.split_names import find_split
from unlearn_cli.data.tables.table_file import TableFile
from unlearn_cli.errors import UserError

IDS = ("id", "record_id", "uuid", "key", "index")
GROUPS = ("subject", "patient", "person", "participant", "speaker", "user", "customer", "recording", "group")
SPLIT_COLUMNS = ("split", "set", "subset", "fold", "partition")
KEYS = ("features", "ignore", "text", "one_hot", "ordinal", "date_parts")  # of a table, that a reading decides
USUAL_SUFFIXES = (".jpg", ".png", ".jpeg", ".JPG", ".tif", ".tiff", ".bmp", ".webp", ".JPEG", ".PNG", ".gif")
MOST_FOLDERS, LONGEST_NAME = 50, 250  # folders in which images are searched; characters of a path
SEVERAL = 20  # cells without suffix that are the names of files
UNUSED = "columns that are not used"
MOST_SPLITS = 5  # different cells of a column of splits


@dataclass(frozen=True)
class TableInputs:
    """The samples of a table: the keys of the manifest's section that name their columns, and their shape."""

    kind: Kind
    keys: Section
    shape: Sequence[int]
    unused: Sequence[str] = ()  # columns that are neither label nor id nor sample
    same_size: bool = True
    depth: int | None = None
    unreadable: str = ""
    remarks: Sequence[str] = ()
    features: FeatureColumns | None = None  # of numbers
    has_gaps: bool = False  # they have empty cells
    dates: Section = field(default_factory=dict)  # formats of columns


def recognise_table(path: Path, label_names: Sequence[str] = ()) -> DataLayout:
    """Return the layout of a table: csv, jsonl or parquet.

    Raises:
        UserError: the table has no rows, no column `label_names`, or no column can be a sample.
    """
    file, columns, text_keys = open_described(path)
    if not any(column.rows for column in columns.values()):
        raise UserError(f"{path}: contains no records; name a table with rows")
    are_images = any(column.is_picture for column in columns.values()) or bool(find_image_paths(columns, path))
    labels = recognise_labels(file, columns, label_names, are_images=are_images)
    no_samples = {*labels.columns, *file.find_index_columns()}
    others = {name: column for name, column in columns.items() if name not in no_samples}
    id_column, group, split = find_id(others), find_group(others), find_split_column(others)
    inputs = choose_inputs(others, file, (group, split), id_column)
    table = {"path": path, **text_keys, **labels.keys, **({"id": id_column} if id_column else {}), **inputs.keys}
    section = {"table": table, **({"dates": inputs.dates} if inputs.dates else {})}
    sources, guesses = complete_splits(divide_by_column(file, section, split) if split else {"train": section})
    features = inputs.features
    if features is not None:
        features = replace(features, marks=[name for name, column in columns.items() if column.is_marks])
    return DataLayout(
        kind=inputs.kind,
        task=labels.task,
        sources=sources,
        shape=inputs.shape,
        classes=labels.classes,
        order=labels.order,
        has_marks=len(labels.columns) > 1,
        same_size=inputs.same_size,
        depth=inputs.depth,
        unreadable=inputs.unreadable,
        group=group,
        features=features,
        has_gaps=inputs.has_gaps,
        guesses={**guesses, **labels.guesses},
        remarks=[
            *describe_similar(labels.classes),
            *describe_marks(text_keys),
            *inputs.remarks,
            *_describe_unused(inputs.unused),
            *_describe_unlabelled(columns, labels),
        ],
    )


def find_id(columns: Mapping[str, Column]) -> str | None:
    """Return the column whose name is that of an id, or has the word id, and whose cells all differ."""
    unique = [name for name, column in columns.items() if column.distinct == column.rows]
    named = [name for name in unique if name.lower() in IDS] or [name for name in unique if "id" in split_words(name)]
    return next(iter(named), None)


def find_group(columns: Mapping[str, Column]) -> str | None:
    """Return the column with a person or recording: its name says so, and values occur several times."""
    repeated = {name: column for name, column in columns.items() if 1 < column.distinct < column.rows}
    return next((name for name in repeated if split_words(name) & set(GROUPS)), None)


def find_split_column(columns: Mapping[str, Column]) -> str | None:
    """Return the column whose cells are the names of splits, with train among them."""
    for name in SPLIT_COLUMNS:
        column = columns.get(name)
        if column and {find_split(cell) for cell in set(column.cells)} >= {"train"} and column.distinct <= MOST_SPLITS:
            return name
    return None


def divide_by_column(file: TableFile, section: Section, column: str) -> dict[str, Section]:
    """Return a source per split, with the rows whose cell in the column names the split."""
    cells = [cell for (cell,) in file.query(f"DISTINCT {file.as_written(column)}").fetchall() if cell]
    values = {split: sorted(cell for cell in cells if find_split(cell) == split) for split in map(find_split, cells)}
    conditions = {
        split: {"column": column, "op": "==", "value": names[0]} if len(names) == 1 else
        {"column": column, "op": "in", "value": names}
        for split, names in values.items()
        if split
    }  # fmt: skip
    return {split: {**section, "rows": {"where": [condition]}} for split, condition in conditions.items()}


def choose_inputs(
    columns: Mapping[str, Column], file: TableFile, special: Sequence[str | None], id_column: str | None
) -> TableInputs:
    """Return the samples: images if a column has paths of files, else texts, else numbers, categories and dates.

    `special` are columns that do not belong to a sample: the person and the split. An id can be the path of an image.

    Raises:
        UserError: there are none of them.
    """
    usable = {name: column for name, column in columns.items() if name not in special}
    embedded = next((column for column in usable.values() if column.is_embedded or column.is_base64), None)
    if embedded and any(read_contents(embedded, file)):
        return _choose_embedded(embedded, file)
    if embedded:
        usable = {embedded.name: name_paths(embedded, file)}
    if paths := find_image_paths(usable, file.path):
        return _choose_images(paths, file.path)
    usable.pop(id_column or "", None)
    texts = [name for name, column in usable.items() if column.is_text]
    samples = {name: column for name, column in columns.items() if name != id_column}
    features = find_features(samples, file, [name for name in special if name])
    if texts:
        unused = [name for name in usable if name not in texts]
        return TableInputs("text", {"text": texts}, [len(texts)], unused, features=features)
    reading = choose_default(features)
    if not reading.size:
        shown = ", ".join(
            f"{name} ('{column.cells[0][:20]}')" for name, column in [*usable.items()][:5] if column.cells
        )
        raise UserError(
            f"{file.path}: no column except the label has images, texts, numbers or categories"
            f"{f'; there are {shown}' if shown else ''}; write numbers without units, or add features"
        )
    return TableInputs(
        "numbers",
        reading.keys,
        [reading.size],
        reading.unused,
        features=features,
        has_gaps=reading.has_gaps,
        dates=reading.dates,
    )


def find_features(columns: Mapping[str, Column], file: TableFile, special: Sequence[str]) -> FeatureColumns:
    """Return the columns that may be features."""
    usable = {name: column for name, column in columns.items() if name not in special}
    return FeatureColumns(
        order=list(columns),
        numbers=[name for name, column in usable.items() if column.is_feature and not column.empty],
        numbers_with_gaps=[name for name, column in usable.items() if column.is_feature and column.empty],
        categories={
            name: sorted(file.text(name, gaps=True).factorize()[0])
            for name, column in usable.items()
            if column.is_category
        },
        dates={name: column.date_format for name, column in usable.items() if column.date_format is not None},
        ignored=special,
    )


def fit_features(layout: DataLayout, inputs: Sequence[int], recorded: Categories | None = None) -> list[DataLayout]:
    """Return the layouts with each reading of the columns that gives one of these numbers of features; perhaps none."""
    assert layout.features is not None
    readings = choose_readings(layout.features, inputs, recorded)
    return [apply_reading(layout, reading) for reading in readings]


def apply_reading(layout: DataLayout, reading: Reading) -> DataLayout:
    """Return the layout with another reading of its columns."""
    sources = {split: _read_source(source, reading) for split, source in layout.sources.items()}
    is_plain = reading.keys.keys() <= {"ignore"} or reading.is_exact
    guess = {} if is_plain else {"data.train": f"{reading.name}: the network has {pluralize(reading.size, 'input')}"}
    return replace(
        layout,
        sources=sources,
        shape=[reading.size],
        has_gaps=reading.has_gaps,
        guesses={**guess, **layout.guesses},
        remarks=[*_describe_unused(reading.unused), *(each for each in layout.remarks if not each.startswith(UNUSED))],
    )


def _read_source(source: Section, reading: Reading) -> Section:
    table = {key: value for key, value in source["table"].items() if key not in KEYS}
    dates = {"dates": reading.dates} if reading.dates else {}
    missing = sorted({*table.get("missing", ()), *reading.missing})
    return {**source, "table": {**table, **({"missing": missing} if missing else {}), **reading.keys}, **dates}


@dataclass(frozen=True)
class ImagePaths:
    """A column of paths of images: the folder below which they are, and the suffix that they lack."""

    column: Column
    root: Path
    suffix: str = ""


def find_image_paths(columns: Mapping[str, Column], path: Path) -> ImagePaths | None:
    """Return the column of paths below the table's folder or one near it; also of paths without suffix; perhaps None.

    Raises:
        UserError: the files of a column of paths are not there.
    """
    roots = list_roots(path.parent)
    named = next((column for column in columns.values() if column.is_image), None)
    unique = [each for each in columns.values() if each.distinct == each.rows > 1 and not each.is_list]
    for column, root, suffix in product([named] if named else unique, roots, ("",) if named else USUAL_SUFFIXES):
        if all(is_file(root, f"{cell}{suffix}") for cell in column.cells[: 1 if named else SEVERAL]):
            return ImagePaths(column, root, suffix)
    if named and URL.match(named.cells[0]):
        raise UserError(f"{path}: column '{named.name}' {URLS}")
    if named:
        raise UserError(
            f"{path}: column '{named.name}': {named.cells[0]} is neither next to the table nor below a folder near it; "
            "move the table"
        )
    return None


def list_roots(folder: Path) -> list[Path]:
    """Return a folder, and the folders in it down to the second level."""
    inner = [path for path in sorted(folder.iterdir()) if path.is_dir()][:MOST_FOLDERS]
    innermost = [path for each in inner for path in sorted(each.iterdir()) if path.is_dir()][:MOST_FOLDERS]
    return [folder, *inner, *innermost]


def is_file(root: Path, name: str) -> bool:
    """Return whether a cell is the name of a file below a folder; texts and empty cells are none."""
    return 0 < len(name) <= LONGEST_NAME and "\n" not in name and "\0" not in name and (root / name).is_file()


def _choose_images(paths: ImagePaths, file: Path) -> TableInputs:
    """Return the images of a column of paths."""
    sizes = measure_images([paths.root / f"{cell}{paths.suffix}" for cell in paths.column.cells], file)
    root = {} if paths.root == file.parent else {"root": paths.root}
    suffix = {"suffix": paths.suffix} if paths.suffix else {}
    return _make_image_inputs({"image": paths.column.name, **root, **suffix}, sizes)


def read_contents(image: Column, file: TableFile) -> Iterator[bytes]:
    """Yield the images inside a table; b'' for those that are only paths."""
    if image.is_embedded:
        return file.images(image.name)
    return decode_base64(cell for chunk in file.text(image.name).chunks() for cell in chunk)


def name_paths(image: Column, file: TableFile) -> Column:
    """Return a column of {bytes, path} with its paths as cells."""
    return replace(image, kind="VARCHAR", cells=next(file.image_paths(image.name).chunks(), []))


def _choose_embedded(image: Column, file: TableFile) -> TableInputs:
    """Return the images inside a table.

    Raises:
        UserError: none of the images can be read.
    """
    sizes = measure_contents(read_contents(image, file), file.path)
    return _make_image_inputs({"image": image.name}, sizes)


def _make_image_inputs(keys: Section, sizes: ImageSizes) -> TableInputs:
    return TableInputs(
        "images",
        keys,
        sizes.shape,
        same_size=len(sizes.sizes) == 1,
        depth=65535 if sizes.deep else None,
        remarks=describe_sizes(sizes),
        unreadable=describe_unreadable(sizes),
    )


def _describe_unlabelled(columns: Mapping[str, Column], labels: TableLabels) -> list[str]:
    """Return a remark on rows that are left out because they have no label."""
    empty = columns[labels.columns[0]].empty if labels.keys.get("unlabelled") == "drop" else 0
    return [f"{pluralize(empty, 'row')} without a label {'is' if empty == 1 else 'are'} left out"] if empty else []


def _describe_unused(unused: Sequence[str]) -> list[str]:
    if not unused:
        return []
    shown = ", ".join(unused[:5]) + (f" and {len(unused) - 5} more" if len(unused) > 5 else "")
    return [f"{UNUSED}: {shown}"]
