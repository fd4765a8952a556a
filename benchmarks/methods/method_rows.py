"""From the numbers of the runs of a task to the rows of its table."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.methods.aims import Context, describe_aims, list_missed
from benchmarks.methods.run_values import Values
from benchmarks.methods.tasks import Kind

ORIGINAL, REFERENCE = "original", "reference"


@dataclass(frozen=True)
class Column:
    """A heading, the value under it, and its digits; None: three significant ones."""

    heading: str
    value: str
    digits: int | None = 1
    scale: float = 1.0


ACCURACIES = (
    Column("forget", "forget"), Column("test forget", "test_forget"), Column("retain", "retain"),
    Column("test", "test"), Column("drop", "drop", 2),
)  # fmt: skip
COST = (
    Column("seconds", "seconds"), Column("k forward", "forward", 1, 1e-3), Column("k backward", "backward", 1, 1e-3),
    Column("% of reference", "share"), Column("epochs", "epochs"),
)  # fmt: skip
RECORDS = (
    *ACCURACIES, Column("gap", "gap"), Column("ToW", "tow", 3), Column("z", "z", 2), Column("AUC z", "auc_z", 3),
    Column("AUC abs z", "auc_abs_z", 3), Column("population", "population", 3), Column("moved", "moved", 2), *COST,
)  # fmt: skip
COLUMNS: Mapping[Kind, Sequence[Column]] = {
    "classes": (
        *ACCURACIES, Column("ToW", "tow", 3), Column("TV", "tv", 2), Column("level", "level"),
        Column("relearning", "relearn", 2), *COST,
    ),
    "records": RECORDS,
    "one record": RECORDS,
    "regression": (
        Column("forget", "forget", None), Column("test forget", "test_forget", None), Column("retain", "retain", None),
        Column("test", "test", None), Column("gap %", "gap"), Column("W1", "w1", 2),
        Column("retain ratio", "retain_ratio", 3), Column("test ratio", "test_ratio", 3), *COST,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Runs:
    """The numbers of the runs of a method on a task, and the verdicts of the standard tier, if it was run."""

    values: Sequence[Values]
    context: Context
    verdicts: Sequence[str] = ()


def write_header(kind: Kind) -> list[str]:
    headings = ["task", "method", *(column.heading for column in COLUMNS[kind])]
    headings += ["verdict"] if kind == "classes" else []
    headings.append("aims")
    return [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]


def write_rows(task: str, kind: Kind, runs: Mapping[str, Runs]) -> list[str]:
    """Return the row of the original, of the references (each compared with the others), and of each method."""
    floor = list_missed(kind, runs[REFERENCE].values, runs[REFERENCE].context, cost=False) if REFERENCE in runs else []
    return [write_row(task, kind, method, each, floor) for method, each in runs.items()]


def write_row(task: str, kind: Kind, method: str, runs: Runs, floor: Sequence[str]) -> str:
    cells = [task, method, *(format_cell(column, runs.values) for column in COLUMNS[kind])]
    cells += [", ".join(runs.verdicts)] if kind == "classes" else []
    return f"| {' | '.join([*cells, write_aims(kind, method, runs, floor)])} |"


def write_aims(kind: Kind, method: str, runs: Runs, floor: Sequence[str]) -> str:
    """Return whether a method meets the aims; of the references, which aims they miss themselves."""
    if method == ORIGINAL:
        return ""
    if method == REFERENCE:
        return f"misses {', '.join(floor)}" if floor else "meets all"
    missed = list_missed(kind, runs.values, runs.context)
    if sum(verdict == "failed" for verdict in runs.verdicts) > len(runs.verdicts) / 3:
        missed.append("verdict")
    return describe_aims(missed, floor)


def format_cell(column: Column, runs: Sequence[Values]) -> str:
    """Return mean and standard deviation over the runs that have the value; empty if none has it."""
    values = [run[column.value] * column.scale for run in runs if column.value in run]
    if not values:
        return ""
    digits = count_digits(statistics.mean(values)) if column.digits is None else column.digits
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def count_digits(value: float) -> int:
    """Return how many digits after the point show three significant ones."""
    return next(digits for digits in range(6) if abs(value) * 10**digits >= 100 or digits == 5)
