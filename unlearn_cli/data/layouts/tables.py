"""Tables: which column is the label, the id, the person, an image or a text, and which are numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unlearn_cli.data.layouts.columns import Column, describe_columns, split_words
from unlearn_cli.data.layouts.folders import describe_sizes
from unlearn_cli.data.layouts.image_sizes import measure_images
from unlearn_cli.data.layouts.label_columns import recognise_labels
from unlearn_cli.data.layouts.layout import DataLayout, Kind, Section, complete_splits, find_split
from unlearn_cli.data.tables.table_file import TableFile
from unlearn_cli.errors import UserError

IDS = ("id", "record_id", "uuid", "key", "index")
GROUPS = ("subject", "patient", "person", "participant", "speaker", "user", "customer", "recording", "group")
SPLIT_COLUMNS = ("split", "set", "subset", "fold", "partition")
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
    remarks: Sequence[str] = ()


def recognise_table(path: Path, label_names: Sequence[str] = ()) -> DataLayout:
    """Return the layout of a table: csv, jsonl or parquet.

    Raises:
        UserError: the table has no rows, no column `label_names`, or no column can be a sample.
    """
    file = TableFile(path, "data")
    columns = describe_columns(file)
    if not any(column.rows for column in columns.values()):
        raise UserError(f"{path}: contains no records; name a table with rows")
    labels = recognise_labels(file, columns, label_names)
    others = {name: column for name, column in columns.items() if name not in labels.columns}
    id_column, group, split = find_id(others), find_group(others), find_split_column(others)
    special = {name for name in (id_column, group, split) if name}
    inputs = choose_inputs({name: column for name, column in others.items() if name not in special}, path)
    ignored = [name for name in (group, split) if name] + list(inputs.unused)
    keys = {**inputs.keys, **({"ignore": ignored} if ignored and inputs.kind == "numbers" else {})}
    table = {"path": path, **labels.keys, **({"id": id_column} if id_column else {}), **keys}
    sources, guesses = complete_splits(divide_by_column(file, table, split) if split else {"train": {"table": table}})
    return DataLayout(
        kind=inputs.kind,
        task=labels.task,
        sources=sources,
        shape=inputs.shape,
        classes=labels.classes,
        has_marks=len(labels.columns) > 1,
        same_size=inputs.same_size,
        depth=inputs.depth,
        group=group,
        guesses={**guesses, **labels.guesses},
        remarks=[*inputs.remarks, *_describe_unused(inputs.unused)],
    )


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


def _describe_unused(unused: Sequence[str]) -> list[str]:
    if not unused:
        return []
    shown = ", ".join(unused[:5]) + (f" and {len(unused) - 5} more" if len(unused) > 5 else "")
    return [f"columns that are not used: {shown}"]
