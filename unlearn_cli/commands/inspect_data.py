"""`inspect` of data: how it is laid out, its records by split and class, and what is wrong with it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from unlearn_cli import console
from unlearn_cli.commands.inspect_options import InspectOptions
from unlearn_cli.commands.manifest_draft import make_relative
from unlearn_cli.commands.result import Result
from unlearn_cli.console import pluralize
from unlearn_cli.data.dataset import open_records
from unlearn_cli.data.digests import are_among
from unlearn_cli.data.groups import number_groups
from unlearn_cli.data.images.file_facts import FileFacts, open_facts
from unlearn_cli.data.images.image_depth import count_bits
from unlearn_cli.data.images.image_files import ImageFiles, Images
from unlearn_cli.data.images.image_sources import find_images
from unlearn_cli.data.images.pillow_images import UnreadableImage, decode_image, open_with_pillow
from unlearn_cli.data.layouts.columns import describe_columns
from unlearn_cli.data.layouts.label_columns import sort_classes
from unlearn_cli.data.layouts.layout import DataLayout, Section
from unlearn_cli.data.layouts.recognise import recognise
from unlearn_cli.data.notices import format_notices
from unlearn_cli.data.records import Records, choose_records
from unlearn_cli.data.strings import to_strings
from unlearn_cli.data.tables.table_file import open_table
from unlearn_cli.schema.data_sections import DataSections, Input
from unlearn_cli.schema.sources import Source

SAMPLE = 1000  # images from whose pixels means are computed
BYTE = 8  # bits
FEW = 20  # rows of a table that are shown without --all


@dataclass
class ImageFacts:
    """Sizes and modes of all images of a split, those that cannot be decoded, and the pixels of a sample."""

    sizes: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)
    unreadable_rows: list[int] = field(default_factory=list)  # positions in the split
    sums: np.ndarray = field(default_factory=lambda: np.zeros((2, 3)))
    measured: int = 0

    @property
    def channels(self) -> tuple[list[float], list[float]] | None:
        """Mean and standard deviation per channel, of pixels from 0 to 1; None if no image was measured."""
        if not self.measured:
            return None
        mean, square = self.sums / self.measured
        return mean.round(4).tolist(), np.sqrt(np.maximum(square - mean**2, 0)).round(4).tolist()


@dataclass(frozen=True)
class SplitFacts:
    """Facts about the records of one split."""

    n: int
    classes: Mapping[str, int]
    copies: int  # of other records of the split
    copies_of_train: int
    groups: int | None
    images: ImageFacts | None
    notices: Sequence[str]


def run(options: InspectOptions) -> Result:
    """Describe a folder or file of data.

    Raises:
        UserError: no layout is recognised, or a file cannot be read.
    """
    return describe(recognise(options.path, options.labels), show_all=options.all)


def describe(layout: DataLayout, *, show_all: bool) -> Result:
    """Describe the data of a layout.

    Raises:
        UserError: a file cannot be read.
    """
    records = {split: open_split(layout, split) for split in layout.sources}
    console.say(f"inspect: reading {pluralize(sum(map(len, records.values())), 'record')}")
    images = {split: describe_images_of(each) for split, each in records.items()}
    readable = {split: leave_out_unreadable(each, images[split]) for split, each in records.items()}
    facts = {
        split: describe_split(each, images[split], readable[split], readable["train"], layout)
        for split, each in records.items()
    }
    missing = count_missing(layout)
    document = make_document(layout, facts, missing)
    return Result(format_text(layout, facts, missing, show_all=show_all), document)


def open_split(layout: DataLayout, split: str) -> Records:
    """Open the records of a split as a manifest would."""
    source = make_source(layout.sources[split])
    input = Input(shape=list(layout.shape), scale=layout.depth)
    sections = DataSections(Path.cwd(), layout.task, input, None, None, None, None, None)
    return replace(open_records(source, split, sections), digests=open_facts(None, cached=False))


def make_source(section: Section) -> Source:
    return Source.model_validate(make_relative(section, Path.cwd()))


def describe_images_of(records: Records) -> ImageFacts | None:
    """Decode all images of a split; None if its samples are not images."""
    images = find_images(records.inputs)
    return None if images is None else describe_images(*images, choose_opener(images[0], records))


def choose_opener(images: Images, records: Records) -> Callable[[int], BinaryIO]:
    """Return the function that opens an image; of a file, all bytes are digested, so that it is not read again."""
    facts = records.digests
    if not isinstance(images, ImageFiles) or not isinstance(facts, FileFacts):
        return images.content
    return partial(facts.open_image, images)


def leave_out_unreadable(records: Records, images: ImageFacts | None) -> Records:
    """Return the records whose images can be decoded: the others may have no content to compare."""
    if images is None or not images.unreadable_rows:
        return records
    return choose_records(records, np.delete(np.arange(len(records)), images.unreadable_rows))


def describe_split(
    records: Records, images: ImageFacts | None, readable: Records, train: Records, layout: DataLayout
) -> SplitFacts:
    """Describe a split; copies are searched among its readable records and those of `train`."""
    digests = readable.fingerprints
    groups = number_groups(to_strings(records.column(layout.group))) if layout.group else None
    return SplitFacts(
        n=len(records),
        classes={} if layout.task == "regression" else count_classes(records),
        copies=len(digests) - len(np.unique(digests)),
        copies_of_train=0 if readable is train else int(are_among(digests, train.fingerprints).sum()),
        groups=None if groups is None else len(np.unique(groups)),
        images=images,
        notices=format_notices(records.notices),
    )


def count_classes(records: Records) -> dict[str, int]:
    """Return the number of records of each label, in the order of `classes`."""
    if isinstance(records.labels, np.ndarray) and records.labels.ndim == 2:
        marks = records.labels.sum(axis=0).tolist()
        return dict(zip(records.class_names or map(str, range(len(marks))), marks, strict=True))
    names, codes = to_strings(records.labels).factorize()
    counts = dict(zip(names, np.bincount(codes, minlength=len(names)).tolist(), strict=True))
    return {name: counts[name] for name in sort_classes(list(counts))}


def describe_images(images: Images, rows: np.ndarray, open_content: Callable[[int], BinaryIO]) -> ImageFacts:
    """Decode all images, and average the pixels of a sample, evenly spread over them."""
    facts, step = ImageFacts(), max(1, len(rows) // SAMPLE)
    for position, row in enumerate(rows.tolist()):
        path = images.name(row)
        try:
            with open_content(row) as content, open_with_pillow(content, path) as image:
                depth = count_bits(image)
                decode_image(image, path)
                facts.sizes[f"{image.width}x{image.height}"] += 1
                facts.modes[image.mode if depth == BYTE else f"{image.mode}, {depth} bits"] += 1
                if position % step == 0 and depth == BYTE:
                    add_pixels(facts, np.asarray(image.convert("RGB")))
        except UnreadableImage as error:
            facts.unreadable.append(f"{Path(*error.path.parts[-2:])}: {error.reason}")
            facts.unreadable_rows.append(position)
    return facts


def add_pixels(facts: ImageFacts, pixels: np.ndarray) -> None:
    """Add the mean of an image's pixels (H, W, 3), and of their squares, to the sums; every image counts the same."""
    scaled = pixels.reshape(-1, 3) / (2.0**BYTE - 1)
    facts.sums += np.stack([scaled.mean(axis=0), (scaled**2).mean(axis=0)])
    facts.measured += 1


def count_missing(layout: DataLayout) -> dict[str, dict[str, int]]:
    """Return the number of empty cells per split and column, where there are any."""
    tables = {split: make_source(source).table for split, source in layout.sources.items()}
    missing: dict[str, dict[str, int]] = {}
    for split, spec in tables.items():
        if spec is None:
            continue
        columns = describe_columns(open_table(spec, f"data.{split}"))
        missing[split] = {name: column.empty for name, column in columns.items() if column.empty}
    return missing


def make_document(
    layout: DataLayout, facts: Mapping[str, SplitFacts], missing: Mapping[str, Mapping[str, int]]
) -> dict[str, Any]:
    """Return the facts as plain values."""
    return {
        "kind": "data",
        "samples": layout.kind,
        "task": layout.task,
        "shape": list(layout.shape),
        "sources": {split: make_relative(source, Path.cwd()) for split, source in layout.sources.items()},
        "guesses": dict(layout.guesses),
        "remarks": list(layout.remarks),
        "splits": {split: _as_data(each) for split, each in facts.items()},
        "missing_values": {split: dict(columns) for split, columns in missing.items()},
    }


def _as_data(facts: SplitFacts) -> dict[str, Any]:
    document = {
        "n": facts.n,
        "classes": dict(facts.classes),
        "copies": facts.copies,
        "copies_of_train": facts.copies_of_train,
        "groups": facts.groups,
        "notices": list(facts.notices),
    }
    if facts.images:
        images = facts.images
        document["images"] = {
            "sizes": dict(images.sizes.most_common()),
            "modes": dict(images.modes.most_common()),
            "unreadable": images.unreadable,
            "mean_and_std": images.channels,
            "measured": images.measured,
        }
    return document


def format_text(
    layout: DataLayout, facts: Mapping[str, SplitFacts], missing: Mapping[str, Mapping[str, int]], *, show_all: bool
) -> str:
    """Return the facts for a person."""
    lines = [f"{layout.kind} for {layout.task}, shape {list(layout.shape)}", "", format_splits(facts)]
    names = sort_classes(list({name for each in facts.values() for name in each.classes}))
    if names:
        lines += ["", format_classes(facts, names if show_all else names[:FEW])]
        lines += [f"and {len(names) - FEW} more; --all shows them"] if len(names) > FEW and not show_all else []
    lines += [line for split, each in facts.items() for line in format_images(split, each)]
    empty = [(split, name, count) for split, part in missing.items() for name, count in part.items()]
    lines += [f"{split}: empty cells in {name}: {count}" for split, name, count in empty]
    lines += [line for each in facts.values() for line in each.notices]
    lines += [f"guessed: {key} ({reason})" for key, reason in layout.guesses.items()]
    return "\n".join([*lines, *layout.remarks])


def format_splits(facts: Mapping[str, SplitFacts]) -> str:
    rows = [
        [split, str(each.n), str(len(each.classes) or ""), str(each.copies), str(each.copies_of_train),
         "" if each.groups is None else str(each.groups)]
        for split, each in facts.items()
    ]  # fmt: skip
    return console.table("", ["split", "records", "classes", "copies", "copies of train", "groups"], rows)


def format_classes(facts: Mapping[str, SplitFacts], names: Sequence[str]) -> str:
    rows = [[name, *(str(each.classes.get(name, 0)) for each in facts.values())] for name in names]
    return console.table("", ["class", *facts], rows)


def format_images(split: str, facts: SplitFacts) -> Iterator[str]:
    """Yield the sizes, modes and channel means of a split's images, and those that cannot be decoded."""
    if facts.images is None:
        return
    images = facts.images
    for title, counts in (("sizes", images.sizes), ("modes", images.modes)):
        shown = ", ".join(f"{name}: {count}" for name, count in counts.most_common(FEW))
        more = f" and {len(counts) - FEW} more" if len(counts) > FEW else ""
        yield f"{split}: {title} {shown}{more}"
    if images.channels:
        mean, std = images.channels
        yield f"{split}: mean {mean}, std {std} per channel, of {pluralize(images.measured, 'image')}"
    yield f"{split}: cannot be decoded: {len(images.unreadable)}"
    yield from (f"  {line}" for line in images.unreadable)
