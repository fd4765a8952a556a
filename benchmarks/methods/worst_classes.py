"""The worst and the mean over tasks that forget one class each, per method, from the rows of their table."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import mean

from benchmarks.methods.aims import MEAN_DROP, MOST_FORGET, MOST_SAMPLES, WITH_RETAIN_DROP, Context
from benchmarks.methods.method_rows import write_header
from benchmarks.methods.networks import list_inputs

HEADER = "| network | method | classes | worst test forget | worst drop | mean drop | most k backward | aims |"
VALUES = ("test forget", "drop", "k backward")
Row = Mapping[str, float]


def write_summary(network: str, rows: Mapping[tuple[str, str], str], methods: Sequence[str]) -> list[str]:
    """Return a table over all tasks whose names begin with the network's; empty if none was measured."""
    lines = []
    for method in methods:
        measured = list(read_rows(network, method, rows))
        lines += [write_line(network, method, measured)] if measured else []
    return ["", f"### {network}: over its classes", "", HEADER, "|---" * 8 + "|", *lines] if lines else []


def read_rows(network: str, method: str, rows: Mapping[tuple[str, str], str]) -> Iterator[Row]:
    """Yield the means of the columns of VALUES of every task of a network."""
    headings = [heading.strip() for heading in write_header("classes")[0].split("|")]
    for (task, name), row in rows.items():
        if task.startswith(f"{network}_") and name == method:
            cells = row.split("|")
            yield {value: float(cells[headings.index(value)].split("±")[0]) for value in VALUES}


def write_line(network: str, method: str, rows: Sequence[Row]) -> str:
    forget, drops = max(row["test forget"] for row in rows), [row["drop"] for row in rows]
    samples = max(row["k backward"] for row in rows)
    most_drop = Context(method, list_inputs(method)).most_drop
    checks = {
        "forget": forget <= MOST_FORGET,
        "worst drop": max(drops) <= most_drop,
        "mean drop": most_drop != WITH_RETAIN_DROP or mean(drops) <= MEAN_DROP,
        "samples": samples <= MOST_SAMPLES / 1000,
    }
    missed = [name for name, holds in checks.items() if not holds]
    numbers = [f"{forget:.1f}", f"{max(drops):.2f}", f"{mean(drops):.2f}", f"{samples:.1f}"]
    aims = f"**no**: {', '.join(missed)}" if missed else "yes"
    return f"| {' | '.join([network, method, str(len(rows)), *numbers, aims])} |"
