"""Candidates compared with the methods of the package that they would have to beat.

python -m benchmarks.methods.candidates [task ...]

Writes results/candidates.md; rows of tasks that are not named stay. Networks are trained once (benchmarks/cache.py).
Methods run in this process, with one thread, each seed from its own original; what was run is not run again.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.attacks.calibration_tasks import TASKS as CALIBRATION
from benchmarks.methods.candidates.running import Runner
from benchmarks.methods.method_rows import COLUMNS, ORIGINAL, REFERENCE, format_cell
from benchmarks.methods.networks import TaskNetworks
from benchmarks.methods.run_values import Values, measure
from benchmarks.methods.tasks import SEEDS, TASKS, Kind, Task, forget
from benchmarks.output import RESULTS, write_result

RESULT = "candidates.md"
Row = tuple[str, ...]  # a method, and settings that differ from the defaults


@dataclass(frozen=True)
class Comparison:
    """A task, the rows with all seeds, and those of candidates that were stopped after the first seed."""

    task: Task
    rows: Sequence[Row]
    stopped: Sequence[Row] = ()


def take_pool(kind: Kind, name: str, count: int) -> Task:
    """Return a task with the networks of a pool of the calibration, of which `count` are references."""
    pool, originals = CALIBRATION[name], (200, 201, 202)
    selection = forget(pool.forget.replace("SHARE", f"{pool.share:g}"))
    return Task(kind, pool.manifest, (), HALVED, selection, originals=originals, references=range_of(count), pool=name)


def range_of(count: int) -> tuple[int, ...]:
    return tuple(range(count))


HALVED = ("neggrad",)  # reads held-out records, so that every row is measured on the verdict half of test
COMPARED: Mapping[str, Comparison] = {
    "sandal": Comparison(
        take_pool("classes", "fashion class", 3),
        (("masked",), ("head",), ("mask:refit_row",), ("project:pour",), ("two_optimizers:dual_masked",)),
        (
            ("unsir",), ("mask:mask_row",), ("project:damp",), ("project:damp", "refit=false"),
            ("project:svd",), ("project:svd", "refit=false"), ("dampen:ssd",), ("dampen:ssd", "refit=false"),
            ("dampen:ssd_without_labels",), ("saliency:salient_masked",), ("refit_head:refit_head",),
        ),
    ),
    "memorising": Comparison(
        replace(TASKS["memorising"], references=range_of(5)),
        (("reset:ct", "epochs=12"),),
        (
            ("rank_match",), ("amnesiac",), ("neggrad",), ("retrain", "epochs=12"), ("reset:msg",),
            ("reset:msg", "share=0.6"), ("reset:ct",), ("reset:no_t",), ("saliency:salient_amnesiac",),
            ("two_optimizers:dual_relabel",), ("refit_head:refit_head",),
        ),
    ),
    "pendigits": Comparison(
        take_pool("records", "pendigits", 4),
        (
            ("rank_match",), ("amnesiac",), ("neggrad",), ("reset:msg",), ("saliency:salient_amnesiac",),
            ("two_optimizers:dual_relabel",), ("dampen:ssd",), ("refit_head:refit_head",),
        ),
        (("reset:no_t",), ("adversarial:amun",), ("dampen:ssd_without_labels",)),
    ),
}  # fmt: skip


def main(words: Sequence[str]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in words or COMPARED:
        rows = [write_row(name, *row) for row in measure_task(COMPARED[name])]
        write_result(RESULT, merge(name, rows))
        print("\n".join(rows), flush=True)


def measure_task(comparison: Comparison) -> Iterator[tuple[Kind, str, list[Values]]]:
    """Yield the kind of task, the name of a row and the numbers of its runs."""
    task = comparison.task
    networks = TaskNetworks(task, "cpu")
    is_relearned = task.kind == "classes"
    lost = list(map(int, networks.opened.dataset.forget_classes or []))
    folders = [networks.original(seed) for seed in SEEDS]
    originals = [networks.load(folder, folder if is_relearned else None) for folder in folders]
    goal = folders[0] if is_relearned else None
    references = [networks.load(networks.train(seed, "retain"), goal) for seed in task.references]
    yield task.kind, ORIGINAL, [measure(each, each, references, task.kind, lost) for each in originals]
    yield task.kind, REFERENCE, [measure(each, originals[0], references, task.kind, lost) for each in references]
    runner = Runner(networks)
    for row in (*comparison.rows, *comparison.stopped):
        name, *settings = row
        seeds = SEEDS if row in comparison.rows else SEEDS[:1]
        unlearned = [runner.run(find(name), seed, settings) for seed in seeds]
        values = [measure(unlearned[seed], originals[seed], references, task.kind, lost) for seed in seeds]
        yield task.kind, " ".join([name.rpartition(":")[2], *settings]), values


def find(name: str) -> str:
    """Return the whole name of a candidate, `module:function`; methods of the package keep theirs."""
    return f"benchmarks.methods.candidates.{name}" if ":" in name else name


def write_header(kind: Kind) -> list[str]:
    headings = ["task", "method", *(column.heading for column in COLUMNS[kind])]
    return [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]


def write_row(task: str, kind: Kind, name: str, values: Sequence[Values]) -> str:
    return f"| {' | '.join([task, name, *(format_cell(column, values) for column in COLUMNS[kind])])} |"


def merge(measured: str, rows: Sequence[str]) -> str:
    """Return the whole result, in which the rows of a task are new."""
    path = RESULTS / RESULT
    old = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    by_task = {name: [row for row in old if row.startswith(f"| {name} |")] for name in COMPARED} | {measured: [*rows]}
    text = Path(__file__).with_name("candidates_table.md").read_text(encoding="utf-8")
    for kind in ("classes", "records"):
        of_kind = [row for name in COMPARED if COMPARED[name].task.kind == kind for row in by_task[name]]
        text += "\n".join(["", f"## {kind.capitalize()}", "", *write_header(kind), *of_kind, ""])
    return text


if __name__ == "__main__":
    main(sys.argv[1:])
