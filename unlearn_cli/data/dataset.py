"""A manifest's splits: its sources as stored, and the splits that the forget selection derives. No torch."""

import hashlib
import hmac
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from unlearn_cli.data import labels as label_reader
from unlearn_cli.data import selection
from unlearn_cli.data.digests import are_among
from unlearn_cli.data.forgotten import divide
from unlearn_cli.data.groups import assign_groups, find_group_column
from unlearn_cli.data.images.file_facts import FileFacts
from unlearn_cli.data.images.image_check import check_sources, count_images, drop_unreadable
from unlearn_cli.data.images.image_sources import find_images
from unlearn_cli.data.notices import Notice, make_notices
from unlearn_cli.data.records import Records, keep_rows
from unlearn_cli.data.strings import iterate_sorted
from unlearn_cli.data.transforms import pipeline
from unlearn_cli.data.transforms.encode import Categories, encode_sources
from unlearn_cli.errors import UserError
from unlearn_cli.schema.data_sections import DataSections
from unlearn_cli.schema.forget import Forget
from unlearn_cli.schema.literals import Task
from unlearn_cli.schema.sources import ImageSection, Section, Source
from unlearn_cli.schema.transform_steps import Step
from unlearn_cli.storage.remote import locate

FORMATS = {  # format -> module and function; imported on use, because each imports another library
    "imagefolder": "imagefolder:imagefolder",
    "webdataset": "webdataset:webdataset",
    "table": "table:table",
    "npz": "arrays:npz",
    "safetensors": "arrays:safetensors",
    "idx": "idx:idx",
    "torchvision": "torchvision_sets:torchvision",
    "sklearn": "sklearn_sets:sklearn",
}

SomeSection = TypeVar("SomeSection", bound=Section)
UNUSED_CLASSES = "classes without a record, because labels are numbers from 0 where the manifest lists no classes"
WHOLE = ("train", "test", "validation", "forgotten")  # splits with separate records; the others are parts of them


@dataclass(frozen=True)
class Split:
    """Some rows of one source."""

    name: str
    records: Records
    rows: np.ndarray  # (n,) int64, ascending
    labels: np.ndarray  # (n,) class numbers int64, or numbers float64; multilabel: (n, K) uint8, 1 for each label

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def groups(self) -> np.ndarray | None:
        """The person or recording (n,) of each record; None if records are independent."""
        return None if self.records.groups is None else self.records.groups[self.rows]

    @property
    def ids(self) -> list[str]:
        return [text for chunk in self.sort_ids() for text in chunk]

    def sort_ids(self) -> Iterator[list[str]]:
        """Yield the ids as text in sorted chunks; a list of all ids may take more memory than everything else."""
        return iterate_sorted(self.records.ids[self.rows])

    def count_batches(self, batch_size: int) -> int:
        """Return the number of batches of an epoch of training."""
        return count_batches(len(self), batch_size)

    def copies_of(self, other: "Split") -> np.ndarray:
        """Return the mask (n,) of the records whose samples equal one of the other split byte for byte.

        By the digests of earlier runs where they may be used; see `Records.quick_fingerprints`.
        """
        return are_among(self.records.quick_fingerprints[self.rows], other.records.quick_fingerprints[other.rows])

    def take(self, positions: np.ndarray) -> "Split":
        """Return the split with only the records at these positions, counted within the split."""
        return Split(self.name, self.records, self.rows[positions], self.labels[positions])


def count_batches(num_records: int, batch_size: int) -> int:
    """Return the number of batches of an epoch of training.

    Batch norm needs at least two records, so no batch has fewer, unless the split has only one. Some batches may
    therefore have one record more than `batch_size`.
    """
    return min(num_records, max(1, min(-(-num_records // batch_size), num_records // 2)))


@dataclass(frozen=True)
class Dataset:
    """All splits of a manifest, and the facts that networks and methods need."""

    task: Task
    classes: list[str] | None
    num_outputs: int
    splits: dict[str, Split]
    forget_classes: list[int] | None  # of a classification: class numbers, if the selection is whole classes
    unresolved: int | None = None  # number of ids in `forgotten` without a record in train; None without `forgotten`
    notices: tuple[Notice, ...] = ()  # items of the sources that are left out or changed
    images_decoded: int | None = None  # number of images that were decoded as a check; None if none were
    categories: Categories | None = None  # by column; None if no column has categories
    used_numbers: Sequence[int] = ()  # the labels, if they are only some of the numbers from 0 and nothing lists them
    selection_half: Split | None = None  # of test, if `splits` has only its verdict half

    def split(self, name: str) -> Split:
        """Return a split by name.

        Raises:
            UserError: the manifest has no such split.
        """
        if name not in self.splits:
            names = ", ".join(self.splits) or "none"
            raise UserError(f"no split '{name}'; the manifest gives {names}")
        return self.splits[name]


def open_dataset(
    sections: DataSections,
    *,
    forget_duplicates: bool = False,
    decode: bool = False,
    categories: Categories | None = None,
    check_network: "Callable[[Dataset], None] | None" = None,
    facts: FileFacts | None = None,
) -> Dataset:
    """Open the sources of a manifest and derive the splits; with `decode`, check that all images can be decoded.

    `categories` are those of a checkpoint, by column; without them, columns of categories have those of train.
    `check_network` receives the data before images are read, which may take minutes. `facts` of earlier
    runs about image files are used if they are given.

    Raises:
        UserError: a source cannot be read, a label is unknown, or the selection is empty, complete or unknown.
    """
    if sections.data is None:
        return _make_empty_dataset(sections)
    sources = sections.data.sources
    if sections.forget:
        sections = replace(sections, forget=selection.resolve_groups_file(sections.forget, sections.folder))
    opened = {name: open_records(source, f"data.{name}", sections, facts) for name, source in sources.items()}
    stored_shape = pipeline.derive_stored_input(sections.transform, sections.input).shape
    opened, categories = encode_sources(opened, stored_shape, categories)
    classes, encode = _choose_encoding(sections, opened["train"])
    num_outputs = _count_outputs(sections, classes)
    # After listing the classes, because a forgotten class keeps its output.
    division = divide(opened["train"], sections.forgotten, sections.forget, sections.folder)
    divided = {**opened, "train": division.remaining, "forgotten": division.forgotten}
    splits = {
        name: Split(name, records, np.arange(len(records)), encode(records))
        for name, records in divided.items()
        if records is not None
    }
    matching = ()
    if sections.forget:
        matching = _add_selected_splits(splits, sections.forget, classes or [], sections.folder)
    used = _find_used_numbers(sections, opened["train"], classes)
    others = (*make_notices("data.train", {UNUSED_CLASSES: num_outputs - len(used) if used else 0}), *matching)
    dataset = Dataset(
        task=sections.task,
        classes=[str(name) for name in classes] if classes else None,
        num_outputs=num_outputs,
        splits=splits,
        forget_classes=None,
        unresolved=division.unresolved,
        notices=(*(notice for records in opened.values() for notice in records.notices), *others),
        categories=categories,
        used_numbers=used,
    )
    if check_network and any(find_images(records.inputs) for records in opened.values()):
        check_network(dataset)
    checked = check_sources(opened, decode=decode, facts=facts)
    if sections.forget and forget_duplicates:
        _add_duplicates(splits)
    forget_classes = _find_whole_classes(splits) if sections.forget and sections.task == "classification" else None
    return replace(
        dataset,
        splits=_standardise(splits, sections.transform),
        forget_classes=forget_classes,
        notices=(*(notice for records in checked.values() for notice in records.notices), *others),
        images_decoded=count_images(checked.values()) if decode else None,
    )


def _choose_encoding(
    sections: DataSections, train: Records
) -> tuple[label_reader.Classes | None, Callable[[Records], np.ndarray]]:
    """Return the classes, and the function that converts the stored labels of any source."""
    if sections.task == "regression":
        return None, label_reader.read_numeric_labels
    if sections.task == "multilabel":
        labels = label_reader.list_labels(sections.classes, train)
        return labels, lambda records: label_reader.encode_label_sets(records, labels)
    classes = label_reader.list_classes(
        sections.classes, train.labels, sections.num_classes, train.class_names, train.name
    )
    is_numbered = sections.classes is None
    return classes, lambda records: label_reader.encode_labels(records, classes, is_numbered=is_numbered)


def _find_used_numbers(sections: DataSections, train: Records, classes: label_reader.Classes | None) -> Sequence[int]:
    is_stated = sections.classes is not None or isinstance(sections.num_classes, int)
    if sections.task != "classification" or is_stated:
        return ()
    return label_reader.find_used_numbers(train.labels, classes)


def open_records(source: Source, name: str, sections: DataSections, facts: FileFacts | None = None) -> Records:
    """Open one source; its paths are relative to the manifest's folder."""
    module, _, function = FORMATS[source.format].partition(":")
    assert source.spec is not None
    spec = resolve_paths(source.spec, sections.folder)
    read = getattr(import_module(f"unlearn_cli.data.formats.{module}"), function)
    input = pipeline.derive_stored_input(sections.transform, sections.input, source.dates)
    stored = read(spec, name, input, sections.task)
    stored = replace(stored, where=partial(stored.where, formats=source.dates), digests=facts)
    records = keep_rows(pipeline.apply_steps(stored, sections.transform, source.dates, sections.folder), source.rows)
    if isinstance(spec, ImageSection) and spec.unreadable == "skip":
        records = drop_unreadable(records, facts)
    if not len(records):
        raise UserError(f"{name}: contains no records; name a source with records")
    column, field = find_group_column(sections.data, sections.forget)
    return records if column is None else assign_groups(records, column, field)


def resolve_paths(spec: SomeSection, folder: Path) -> SomeSection:
    """Return a source with its relative paths resolved against a folder."""
    paths = {key: locate(value, folder) for key, value in spec if isinstance(value, Path)}
    return spec.model_copy(update=paths)


def _make_empty_dataset(sections: DataSections) -> Dataset:
    num_classes = sections.num_classes
    classes = sections.classes or (list(range(num_classes)) if isinstance(num_classes, int) else None)
    if sections.task != "regression" and classes is None:
        raise UserError("a manifest without 'data' needs the number of classes: list 'classes'")
    forget = sections.forget
    listed = forget.classes if forget and forget.only_classes else []
    numbers = label_reader.find_class_numbers(listed, classes or [], "forget.classes") or None
    if numbers and len(numbers) == len(classes or []):
        raise UserError("forget: selects every class, so nothing remains to retain; select fewer")
    names = [str(name) for name in classes] if classes else None
    whole = numbers if sections.task == "classification" else None
    return Dataset(sections.task, names, _count_outputs(sections, classes), {}, whole)


def _count_outputs(sections: DataSections, classes: label_reader.Classes | None) -> int:
    num_outputs = 1 if sections.task == "regression" else len(classes or [])
    if sections.num_classes not in (None, num_outputs):
        reason = "a regression has one output" if sections.task == "regression" else f"there are {num_outputs} classes"
        raise UserError(
            f"model.arguments.num_classes is {sections.num_classes}, but {reason}; list all classes of the model in "
            "'classes'"
        )
    return num_outputs


def _add_selected_splits(
    splits: dict[str, Split],
    forget: Forget,
    classes: label_reader.Classes,
    folder: Path,
) -> tuple[Notice, ...]:
    """Add forget and retain (of train), and test_forget and test_retain if classes or conditions select records.

    Returns:
        Notices of ids that were not matched exactly.
    """
    train = splits["train"]
    selected = selection.select(forget, train.records, train.labels, classes, folder)
    splits |= _divide_train(train, selected.mask)
    if "test" in splits and (forget.classes or forget.where):
        test = splits["test"]
        mask = selection.select_by_content(forget, test.records, test.labels, classes)
        splits["test_forget"] = Split("test_forget", test.records, np.flatnonzero(mask), test.labels[mask])
        splits["test_retain"] = Split("test_retain", test.records, np.flatnonzero(~mask), test.labels[~mask])
    return selected.notices


def _divide_train(train: Split, mask: np.ndarray) -> dict[str, Split]:
    return {
        "forget": Split("forget", train.records, np.flatnonzero(mask), train.labels[mask]),
        "retain": Split("retain", train.records, np.flatnonzero(~mask), train.labels[~mask]),
    }


def _add_duplicates(splits: dict[str, Split]) -> None:
    """Move the records of retain that equal a forgotten one to forget; this reads all samples of train."""
    train, mask = splits["train"], np.zeros(len(splits["train"]), dtype=bool)
    mask[splits["forget"].rows] = True
    mask[selection.find_duplicates(train.records, mask)] = True
    splits |= _divide_train(train, mask)


def _standardise(splits: dict[str, Split], steps: list[Step]) -> dict[str, Split]:
    """Standardise the samples of all splits with the statistics of retain, if data.transform has this step."""
    basis = splits.get("retain", splits["train"])
    standardise = pipeline.make_standardiser(steps, basis.records, basis.rows)
    if standardise is None:
        return splits
    changed = {name: standardise(splits[name].records) for name in WHOLE if name in splits}
    parts = {id(splits[name].records): records for name, records in changed.items()}
    return {name: replace(split, records=parts[id(split.records)]) for name, split in splits.items()}


def _find_whole_classes(splits: dict[str, Split]) -> list[int] | None:
    forgotten, retained = np.unique(splits["forget"].labels), np.unique(splits["retain"].labels)
    return None if np.isin(forgotten, retained).any() else forgotten.tolist()


def describe(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Describe the splits for a report, as plain values: counts and keyed digests of the ids, never an id.

    The key is computed from the training data, so that readers of a report cannot test which ids a split contained.
    """
    if not dataset.splits:
        return {}
    key = hashlib.sha256(dataset.splits["train"].records.quick_fingerprints.data).digest()
    return {name: _describe(split, key, dataset.classes) for name, split in dataset.splits.items()}


def _describe(split: Split, key: bytes, classes: list[str] | None) -> dict[str, Any]:
    digest = hmac.new(key, digestmod=hashlib.sha256)
    for number, chunk in enumerate(split.sort_ids()):
        ids = "\n" * (number > 0) + "\n".join(chunk)
        digest.update(ids.encode(errors="surrogateescape"))  # file names may contain bytes that are not UTF-8
    counts = label_reader.count_labels(split.labels, len(classes)) if classes else []
    named = dict(zip(classes, counts, strict=True)) if classes else None
    return {"n": len(split), "ids_digest": digest.hexdigest(), "classes": named}
