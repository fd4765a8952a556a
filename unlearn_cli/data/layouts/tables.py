"""Tables: which column is the label, the id, the person, an image or a text, and which are numbers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from unlearn_cli.data.images.pillow_images import SUFFIXES
from unlearn_cli.data.layouts.folders import describe_sizes
from unlearn_cli.data.layouts.image_sizes import measure_images
from unlearn_cli.data.layouts.layout import DataLayout, Kind, Section, complete_splits, find_split
from unlearn_cli.data.tables.comparable_columns import is_number
from unlearn_cli.data.tables.table_file import TableFile
from unlearn_cli.errors import UserError

LABELS = ("label", "labels", "class", "target", "y", "category", "species", "outcome", "diagnosis", "score", "price")
LABEL_WORDS = {"label", "class", "target", "score", "price", "value", "outcome", "diagnosis"}  # within a longer name
IDS = ("id", "record_id", "uuid", "key", "index")
GROUPS = ("subject", "patient", "person", "participant", "speaker", "user", "customer", "recording", "group")
SPLIT_COLUMNS = ("split", "set", "subset", "fold", "partition")
MOST_CLASSES, FEW_CLASSES, RECORDS_PER_CLASS = 1000, 20, 10  # of a classification with numbers as labels
MOST_SPLITS = 5  # different cells of a column of splits
WORDS = 3  # a text has at least as many words on average
SAMPLE = 1000  # rows from whose cells images and texts are recognised


@dataclass(frozen=True)
class Column:
    """Facts about a column: different cells, empty ones, and the first SAMPLE cells."""

    name: str
    is_numeric: bool
    is_whole: bool  # all numbers are integers
    distinct: int
    empty: int
    rows: int
    cells: Sequence[str]

    @property
    def is_image(self) -> bool:
        return bool(self.cells) and all(PurePath(cell).suffix.lower() in SUFFIXES for cell in self.cells)

    @property
    def is_text(self) -> bool:
        words = [len(cell.split()) for cell in self.cells]
        return not self.is_numeric and bool(words) and sum(words) >= WORDS * len(words)

    @property
    def is_constant(self) -> bool:
        return self.distinct <= 1


def describe_columns(file: TableFile) -> dict[str, Column]:
    """Return the facts about every column of a table, in one pass over it for each."""
    return {name: _describe_column(file, name) for name in file.types}


def _describe_column(file: TableFile, name: str) -> Column:
    cell = file.cell(name)
    text = f"({cell})::VARCHAR"
    number = is_number(text)
    facts = f"count(*), count({cell}), count(DISTINCT {text}), coalesce(bool_and({number}), false)"
    whole = f"coalesce(bool_and(TRY_CAST({text} AS DOUBLE) = round(TRY_CAST({text} AS DOUBLE))), false)"
    rows, filled, distinct, numeric, is_whole = file.query(f"{facts}, {whole}").fetchall()[0]
    shown = file.query(text, reader=f"{file.reader} LIMIT {SAMPLE}").fetchall()
    cells = [value for (value,) in shown if value is not None]
    return Column(name, bool(numeric), bool(is_whole), distinct, rows - filled, rows, cells)


@dataclass(frozen=True)
class TableInputs:
    """The samples of a table: the keys of the manifest's section that name their columns, and their shape."""

    kind: Kind
    keys: Section
    shape: Sequence[int]
    unused: Sequence[str] = ()  # columns that are neither label nor id nor sample
    same_size: bool = True
    depth: int | None = None
    remarks: Sequence[str] = ()


def recognise_table(path: Path, label_name: str | None = None) -> DataLayout:
    """Return the layout of a table: csv, jsonl or parquet.

    Raises:
        UserError: the table has no rows, no column `label_name`, or no column can be a sample.
    """
    file = TableFile(path, "data")
    columns = describe_columns(file)
    if not any(column.rows for column in columns.values()):
        raise UserError(f"{path}: contains no records; name a table with rows")
    if label_name is not None:
        file.quoted(label_name)
    label = columns[label_name] if label_name else choose_label(columns)
    others = {name: column for name, column in columns.items() if name != label.name}
    id_column, group, split = find_id(others), find_group(others), find_split_column(others)
    special = {name for name in (id_column, group, split) if name}
    inputs = choose_inputs({name: column for name, column in others.items() if name not in special}, path)
    is_regression = label.is_numeric and (not label.is_whole or not are_classes(label.distinct, label.rows))
    ignored = [name for name in (group, split) if name] + list(inputs.unused)
    keys = {**inputs.keys, **({"ignore": ignored} if ignored and inputs.kind == "numbers" else {})}
    table = {"path": path, "label": label.name, **({"id": id_column} if id_column else {}), **keys}
    sources, guesses = complete_splits(divide_by_column(file, table, split) if split else {"train": {"table": table}})
    return DataLayout(
        kind=inputs.kind,
        task="regression" if is_regression else "classification",
        sources=sources,
        shape=inputs.shape,
        classes=[] if is_regression else list_classes(file, label.name),
        same_size=inputs.same_size,
        depth=inputs.depth,
        group=group,
        guesses={**guesses, **({} if label_name else _guess_label(label))},
        remarks=[*inputs.remarks, *_describe_unused(inputs.unused)],
    )


def are_classes(distinct: int, rows: int) -> bool:
    """Return whether so many different whole numbers are classes: they are few, or each has several records."""
    return distinct <= min(MOST_CLASSES, max(FEW_CLASSES, rows // RECORDS_PER_CLASS))


def choose_label(columns: Mapping[str, Column]) -> Column:
    """Return the column with a usual name of a label, else the last one that is neither constant nor text."""
    by_name = {name.lower().strip(): column for name, column in columns.items()}
    named = next((by_name[name] for name in LABELS if name in by_name), None)
    usable = [column for column in columns.values() if not (column.is_constant or column.is_text or column.is_image)]
    similar = next((column for column in usable if split_words(column.name) & LABEL_WORDS), None)
    return named or similar or (usable or list(columns.values()))[-1]


def _guess_label(label: Column) -> dict[str, str]:
    if label.name.lower() in LABELS[:2]:
        return {}
    return {"label": "the name of the column, or because it is the last one"}


def find_id(columns: Mapping[str, Column]) -> str | None:
    """Return the column whose name is that of an id, and whose cells all differ."""
    return next(
        (name for name, column in columns.items() if name.lower() in IDS and column.distinct == column.rows), None
    )


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


def divide_by_column(file: TableFile, table: Section, column: str) -> dict[str, Section]:
    """Return a source per split, with the rows whose cell in the column names the split."""
    values = {find_split(cell): cell for (cell,) in file.query(f"DISTINCT {file.as_written(column)}").fetchall()}
    return {
        split: {"table": table, "rows": {"where": [{"column": column, "op": "==", "value": value}]}}
        for split, value in values.items()
        if split
    }


def choose_inputs(columns: Mapping[str, Column], path: Path) -> TableInputs:
    """Return the samples: images if a column has paths of files, else texts, else all columns of numbers.

    Raises:
        UserError: there are none of them.
    """
    image = next((column for column in columns.values() if column.is_image), None)
    if image:
        return _choose_images(image, path)
    texts = [name for name, column in columns.items() if column.is_text]
    if texts:
        unused = [name for name in columns if name not in texts]
        return TableInputs("text", {"text": texts}, [len(texts)], unused)
    numbers = [name for name, column in columns.items() if column.is_numeric and not column.empty]
    if not numbers:
        raise UserError(f"{path}: no column besides the label has images, texts or numbers; add features")
    unused = [name for name in columns if name not in numbers]
    return TableInputs("numbers", {}, [len(numbers)], unused)


def _choose_images(image: Column, path: Path) -> TableInputs:
    """Return the images of a column of paths, below the table's folder or a folder next to the table."""
    roots = [path.parent, *(folder for folder in sorted(path.parent.iterdir()) if folder.is_dir())]
    root = next((folder for folder in roots if (folder / image.cells[0]).is_file()), None)
    if root is None:
        raise UserError(
            f"{path}: column '{image.name}': {image.cells[0]} is neither next to the table nor below a folder next to "
            "it; move the table"
        )
    sizes = measure_images([root / cell for cell in image.cells], path)
    keys = {"image": image.name, **({} if root == path.parent else {"root": root})}
    return TableInputs(
        "images",
        keys,
        sizes.shape,
        same_size=len(sizes.sizes) == 1,
        depth=65535 if sizes.deep else None,
        remarks=describe_sizes(sizes),
    )


def list_classes(file: TableFile, label: str) -> list[str]:
    """Return the different labels as written, in the order in which a manifest without `classes` numbers them."""
    cells = [cell for (cell,) in file.query(f"DISTINCT {file.as_written(label)}").fetchall()]
    return sort_classes([cell for cell in cells if cell is not None])


def sort_classes(names: Sequence[str]) -> list[str]:
    """Sort names; integers by their value."""
    is_whole = all(name.lstrip("-").isdecimal() for name in names)
    return sorted(names, key=int) if is_whole else sorted(names)


def split_words(name: str) -> set[str]:
    return set(re.split(r"[^a-z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()))


def _describe_unused(unused: Sequence[str]) -> list[str]:
    if not unused:
        return []
    shown = ", ".join(unused[:5]) + (f" and {len(unused) - 5} more" if len(unused) > 5 else "")
    return [f"columns that are not used: {shown}"]
