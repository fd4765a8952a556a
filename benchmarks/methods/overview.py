"""One small table per kind of task from the rows of the large ones: tasks by methods.

python -m benchmarks.methods.overview

Prints the tables, for the guide. A cell in bold meets all aims that the references meet.
"""

from collections.abc import Mapping, Sequence

from benchmarks.methods.method_rows import REFERENCE, write_header
from benchmarks.methods.methods import SECTIONS, read_key
from benchmarks.methods.tasks import TASKS, Kind
from benchmarks.output import RESULTS

CELLS: Mapping[Kind, Sequence[str]] = {
    "classes": ("test forget", "drop"),
    "records": ("ToW", "drop"),
    "one record": ("moved", "seconds"),
    "regression": ("W1", "gap %"),
}


def main() -> None:
    rows = (RESULTS / "methods.md").read_text(encoding="utf-8").splitlines()
    by_key = {read_key(row): row for row in rows if read_key(row)[0] in TASKS}
    for kind in SECTIONS:
        print("\n".join(write_overview(kind, by_key)))


def write_overview(kind: Kind, by_key: Mapping[tuple[str, str], str]) -> list[str]:
    """Return the table of a kind of task; empty if no task of the kind was measured."""
    tasks = [task for task in TASKS if TASKS[task].kind == kind and any(name == task for name, _ in by_key)]
    methods = [REFERENCE, *dict.fromkeys(name_column(method) for task in tasks for method in TASKS[task].methods)]
    rows = [[task, *(write_cell(kind, find_row(task, method, by_key)) for method in methods)] for task in tasks]
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    headings = ["task", REFERENCE, *(f"`{method}`" for method in methods[1:])]
    title = f"{SECTIONS[kind]}: {' / '.join(CELLS[kind])}"
    return [title, "", f"| {' | '.join(headings)} |", "|---" * len(headings) + "|", *lines, ""] if tasks else []


def name_column(method: str) -> str:
    """Return the name of a method's column: shortened retrainings have as many epochs as suit their task."""
    return "retrain:epochs=N" if method.startswith("retrain:") else method


def find_row(task: str, column: str, by_key: Mapping[tuple[str, str], str]) -> str:
    """Return the row of the task that belongs into a column; empty if there is none."""
    rows = (
        by_key.get((task, method), "") for method in (REFERENCE, *TASKS[task].methods) if name_column(method) == column
    )
    return next(rows, "")


def write_cell(kind: Kind, row: str) -> str:
    """Return the means of the columns of a kind, in bold if all aims are met."""
    if not row:
        return ""
    headings = [heading.strip() for heading in write_header(kind)[0].split("|")]
    cells = [cell.strip() for cell in row.split("|")]
    means = [cells[headings.index(heading)].split(" ±")[0] for heading in CELLS[kind]]
    text = " / ".join(means)
    return f"**{text}**" if cells[headings.index("aims")].startswith("yes") else text


if __name__ == "__main__":
    main()
