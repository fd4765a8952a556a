"""The ways in which the columns of a table can be features: numbers, categories (one_hot, ordinal), parts of dates.

Nothing in a table says how its categories became numbers, but each way gives another number of features, and the first
layer of a network accepts only one. Categories are listed, so that the number does not depend on a part of the rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Literal

from unlearn_cli.console import pluralize
from unlearn_cli.schema.table_columns import DatePart

Encoding = Literal["one_hot", "columns", "ordinal", "ignore"]  # columns: one_hot with the last category as the rest
Section = Mapping[str, Any]  # of a manifest, as YAML has it
Categories = Mapping[str, Sequence[str]]  # by column
MOST_READINGS = 4  # that are tried
MISSING = (  # usual texts of empty cells
    *("?", "NA", "N/A", "n/a", "na", "N.A.", "#N/A", "#NA", "<NA>", "nan", "NaN", "-nan", "NULL", "null", "(null)"),
    *("None", "none", "missing", "Missing", "unknown", "Unknown", "-", "--", "."),
)
PARTS: tuple[tuple[DatePart, ...], ...] = (
    ("year", "month", "day"),
    ("year", "month", "day", "weekday"),
    ("year", "month", "weekday"),
    ("month", "day"),
    ("month", "weekday"),
    ("year", "month"),
    ("days",),
    ("month",),
    ("weekday",),
    ("hour",),
    ("weekday", "hour"),
    ("month", "weekday", "hour"),
    ("month", "day", "hour"),
    ("year", "month", "day", "hour"),
    ("year", "month", "day", "weekday", "hour"),
)  # of dates, the usual ones first


@dataclass(frozen=True)
class FeatureColumns:
    """The columns of a table that may be features; `order` has all columns except label and id, as in the file."""

    order: Sequence[str]
    numbers: Sequence[str]  # without empty cells
    numbers_with_gaps: Sequence[str]
    categories: Mapping[str, Sequence[str]]  # the different cells, sorted; '' for an empty cell
    dates: Mapping[str, str]  # format; '' for ISO 8601
    ignored: Sequence[str] = ()  # persons and splits, which are never features
    marks: Sequence[str] = ()  # columns of only 0 and 1, the label included


@dataclass(frozen=True)
class Reading:
    """One way to read the columns: keys of the section `table`, the number of features, and its name for messages."""

    keys: Section
    size: int
    name: str
    unused: Sequence[str] = ()
    has_gaps: bool = False  # empty cells, which standardise replaces
    dates: Mapping[str, str] = field(default_factory=dict)  # formats of the columns of dates that it uses
    is_exact: bool = False  # a checkpoint records the categories
    missing: Sequence[str] = ()  # texts of empty cells


@dataclass(frozen=True)
class Plan:
    """How each used column of categories is encoded, and under which name messages mention it."""

    name: str
    encodings: Mapping[str, Encoding]


NAMES: Mapping[Encoding, str] = {
    "one_hot": "one_hot",
    "columns": "one column per category",
    "ordinal": "ordinal",
    "ignore": "only the numbers",
}
ONLY_NUMBERS = "the columns of numbers"
MIXED: tuple[tuple[Encoding, Encoding], ...] = (  # of the columns with few categories, and of the others
    ("ordinal", "one_hot"),
    ("ordinal", "columns"),
    ("one_hot", "ordinal"),
    ("columns", "ordinal"),
    ("one_hot", "ignore"),
    ("columns", "ignore"),
)


def list_readings(columns: FeatureColumns, recorded: Categories | None = None) -> Iterator[Reading]:
    """Yield all readings, the likeliest first; `recorded` are the categories that a checkpoint was trained with."""
    all_numbers = [name for name in columns.order if name in (*columns.numbers, *columns.numbers_with_gaps)]
    numbers = [all_numbers, list(columns.numbers)] if columns.numbers_with_gaps else [all_numbers]
    parts: list[Sequence[DatePart]] = [*(PARTS if columns.dates else ()), ()]
    for plan, chosen, used in product(list_plans(columns.categories, recorded), parts, numbers):
        reading = make_reading(columns, plan, chosen, used, recorded)
        if reading.size:
            yield reading


def list_plans(categories: Categories, recorded: Categories | None = None) -> list[Plan]:
    """Return the encodings of all columns of categories: equal ones first, then those that depend on their number.

    All recorded columns are used, and no others.
    """
    names = categories if recorded is None else recorded
    uniform: tuple[Encoding, ...] = ("one_hot", "columns", "ordinal", "ignore")
    plans = [Plan(NAMES[kind], dict.fromkeys(names, kind)) for kind in uniform]
    ranked = sorted(names, key=lambda name: len(names[name]))
    for (few, many), number in product(MIXED, range(1, len(ranked))):
        encodings: dict[str, Encoding] = {name: few if n < number else many for n, name in enumerate(ranked)}
        plans.append(Plan(f"{NAMES[few]} and {NAMES[many]} by the number of categories", encodings))
    if recorded is None:
        return plans if names else [Plan(ONLY_NUMBERS, {})]
    return [plan for plan in plans if {"columns", "ignore"}.isdisjoint(plan.encodings.values())]


def make_reading(
    columns: FeatureColumns,
    plan: Plan,
    parts: Sequence[DatePart],
    numbers: Sequence[str],
    recorded: Categories | None = None,
) -> Reading:
    """Return the reading with the features in the order of the file."""
    used: dict[str, Encoding] = {name: kind for name, kind in plan.encodings.items() if kind != "ignore"}
    listed = {name: _list_categories(columns.categories.get(name, ()), kind) for name, kind in used.items()}
    counts = {name: len(recorded[name] if recorded else listed[name]) + 1 for name in used}
    dates = columns.dates if parts else {}
    keys: dict[str, Any] = {
        key: list(names) if recorded else {name: listed[name] for name in names}
        for key in ("one_hot", "ordinal")
        if (
            names := [
                name for name in columns.order if name in used and (used[name] == "ordinal") == (key == "ordinal")
            ]
        )
    }
    keys |= {"date_parts": {name: list(parts) for name in dates}} if dates else {}
    unused = [name for name in columns.order if name not in {*numbers, *used, *dates, *columns.ignored}]
    ignored = [*columns.ignored, *unused]
    return Reading(
        {**keys, **({"ignore": ignored} if ignored else {})},
        len(numbers) + len(dates) * len(parts) + sum(1 if used[name] == "ordinal" else counts[name] for name in used),
        plan.name,
        unused,
        any(name in columns.numbers_with_gaps for name in numbers),
        {name: pattern for name, pattern in dates.items() if pattern},
        recorded is not None,
        find_missing_categories(columns.categories, recorded) if recorded else (),
    )


def find_missing_categories(categories: Categories, recorded: Categories) -> list[str]:
    """Return the usual texts of empty cells that a checkpoint records as empty, because its manifest lists them."""
    marks = [
        cell
        for name, names in recorded.items()
        for cell in categories.get(name, ())
        if cell in MISSING and "" in names and cell not in names and "" not in categories[name]
    ]
    return sorted(set(marks))


def put_numbers_first(columns: FeatureColumns, reading: Reading) -> Reading | None:
    """Return the reading with all numbers before the encoded columns, as most programs order them; None if they are."""
    keys = {key: value for key, value in reading.keys.items() if key != "ignore"}
    numbers = [
        name for name in columns.order
        if name in (*columns.numbers, *columns.numbers_with_gaps) and name not in reading.unused
    ]  # fmt: skip
    encoded = [name for section in keys.values() for name in section]
    order = [name for name in columns.order if name in (*numbers, *encoded)]
    if not numbers or not encoded or order == [*numbers, *encoded]:
        return None
    return replace(reading, keys={"features": numbers, **keys}, name=f"{reading.name}, numbers first")


def choose_readings(
    columns: FeatureColumns, inputs: Sequence[int], recorded: Categories | None = None
) -> list[Reading]:
    """Return the likeliest readings whose number of features is one of `inputs`, of which the first are preferred."""
    readings = list(list_readings(columns, recorded))
    fitting = [reading for count in inputs for reading in readings if reading.size == count]
    unique = [
        reading for number, reading in enumerate(fitting) if reading.keys not in [r.keys for r in fitting[:number]]
    ]
    ordered = [each for reading in unique[:MOST_READINGS] for each in (reading, put_numbers_first(columns, reading))]
    return [reading for reading in ordered if reading is not None]


def choose_default(columns: FeatureColumns) -> Reading:
    """Return the likeliest reading without a network; its size is 0 if no column can be a feature.

    Columns with empty cells are read only if no other column can be a feature.
    """
    plan = list_plans(columns.categories)[0]
    reading = make_reading(columns, plan, PARTS[0], columns.numbers)
    return reading if reading.size else make_reading(columns, plan, PARTS[0], columns.numbers_with_gaps)


def describe_readings(columns: FeatureColumns) -> str:
    """Return the numbers of features of the simplest readings, for messages."""
    plans = [plan for plan in list_plans(columns.categories) if plan.name in (*NAMES.values(), ONLY_NUMBERS)]
    sizes = {plan.name: make_reading(columns, plan, (), columns.numbers).size for plan in plans}
    return ", ".join(f"{pluralize(size, 'feature')} with {name}" for name, size in sizes.items())


def _list_categories(names: Sequence[str], kind: Encoding) -> list[str]:
    """Return the categories to list; an empty cell, or for `columns` the last one, has the code of all others."""
    filled = [name for name in names if name]
    return filled[:-1] if kind == "columns" and len(filled) == len(names) > 1 else filled
