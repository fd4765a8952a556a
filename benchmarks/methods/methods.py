"""Every method on the tasks for it, default settings, compared with the original and retrained references.

python -m benchmarks.methods.methods [--device cuda] [development | validation | task ...] [method ...]

Without names: all development tasks. Tasks that need a GPU are left out on a CPU. Writes the rows of a task into
results/methods.md (methods_cuda.md) when it is measured; other rows stay. What was run before is not run again.
Commands run one at a time, with one thread.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.methods.aims import Context
from benchmarks.methods.method_rows import ORIGINAL, REFERENCE, Runs, write_header, write_rows
from benchmarks.methods.networks import Network, TaskNetworks, list_inputs, split_settings
from benchmarks.methods.run_values import Values, measure
from benchmarks.methods.tasks import CLASS_METHODS, DEVELOPMENT, ONE_SEED, RETAIN_FREE, SEEDS, TASKS, VALIDATION, Kind
from benchmarks.methods.worst_classes import write_summary
from benchmarks.output import RESULTS, write_result
from unlearn_cli.plugins import discovery

SECTIONS: Mapping[Kind, str] = {
    "classes": "Whole classes",
    "records": "Records and persons",
    "one record": "One record",
    "regression": "Regression",
}
GROUPS = {"development": DEVELOPMENT, "validation": VALIDATION}
Key = tuple[str, str]  # task, method


def main(words: Sequence[str]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    device = "cuda" if "cuda" in words else "cpu"
    named = [name for word in words for name in GROUPS.get(word, [word] if word in TASKS else [])]
    methods = [word for word in words if split_settings(word)[0] in discovery.entries("methods")]
    path = RESULTS / ("methods_cuda.md" if device == "cuda" else "methods.md")
    for name in [name for name in named or DEVELOPMENT if device == "cuda" or not TASKS[name].needs_gpu]:
        rows = write_rows(name, TASKS[name].kind, measure_task(name, methods, device))
        write_result(path.name, merge(path, rows), device)
        print("\n".join(rows), flush=True)


def measure_task(name: str, chosen: Sequence[str], device: str) -> dict[str, Runs]:
    """Run (or load) originals, references and the methods, or the chosen ones; return their numbers."""
    networks, task = TaskNetworks(TASKS[name], device), TASKS[name]
    originals = [load(networks, networks.original(seed), seed) for seed in SEEDS[: len(task.originals)]]
    references = [load(networks, networks.train(seed, "retain"), 0) for seed in task.references]
    lost = list(map(int, networks.opened.dataset.forget_classes or []))

    def compare(network: Network, seed: int) -> Values:
        return measure(network, originals[seed % len(originals)], references, task.kind, lost)

    of_references = [compare(network, 0) for network in references]
    runs = {ORIGINAL: Runs([compare(network, seed) for seed, network in enumerate(originals)], Context(ORIGINAL, ()))}
    if references:
        runs[REFERENCE] = Runs(of_references, make_context(REFERENCE, ("retain",), lost, of_references))
    for method in [method for method in task.methods if method in (chosen or task.methods)]:
        seeds = task.seeds[:1] if method in ONE_SEED else task.seeds
        folders = [networks.unlearn(method, seed) for seed in seeds]
        values = [compare(load(networks, folder, seed), seed) for folder, seed in zip(folders, seeds, strict=True)]
        judged = zip(folders, seeds, strict=True) if method in task.verdict else ()
        verdicts = [networks.judge(folder, seed) for folder, seed in judged]
        runs[method] = Runs(values, make_context(method, list_inputs(method), lost, of_references), verdicts)
    return runs


def load(networks: TaskNetworks, folder: Path, seed: int) -> Network:
    """Return a network; relearning is measured for whole classes with references."""
    relearned = networks.task.kind == "classes" and networks.task.references
    return networks.load(folder, networks.original(seed) if relearned else None)


def make_context(method: str, inputs: tuple[str, ...], lost: Sequence[int], references: Sequence[Values]) -> Context:
    """Return what the limits of the aims depend on."""
    tows = [values["tow"] for values in references if "tow" in values]
    aucs = [values["auc_abs_z"] for values in references if "auc_abs_z" in values]
    return Context(
        method,
        inputs,
        len(lost),
        (min(aucs), max(aucs)) if aucs else (0.5, 0.5),
        sum(tows) / len(tows) if tows else 1.0,
    )


def merge(path: Path, rows: Sequence[str]) -> str:
    """Return the whole result: new rows replace those of the same name, and rows of other columns are dropped."""
    old = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    by_key = {read_key(row): row for row in [*old, *rows] if is_current(row)}
    head = Path(__file__).with_name("methods_table.md").read_text(encoding="utf-8")
    return head + "\n".join(line for kind in SECTIONS for line in write_section(kind, by_key)) + "\n"


def write_section(kind: Kind, by_key: Mapping[Key, str]) -> list[str]:
    """Return the heading and the tables of a kind of task; validation tasks have a table of their own."""
    lines = []
    for name, tasks in GROUPS.items():
        rows = [row for task in tasks if tasks[task].kind == kind for row in list_rows(task, by_key)]
        lines += ["", f"## {SECTIONS[kind]}: {name} tasks", "", *write_header(kind), *rows] if rows else []
    lines += write_summary("stranger", by_key, (*CLASS_METHODS, RETAIN_FREE, "head")) if kind == "classes" else []
    return lines


def list_rows(task: str, by_key: Mapping[Key, str]) -> list[str]:
    order = (ORIGINAL, REFERENCE, *TASKS[task].methods)
    return [by_key[task, method] for method in order if (task, method) in by_key]


def is_current(row: str) -> bool:
    """Return whether a line is a row of a task with the columns of its kind."""
    task, _ = read_key(row)
    return task in TASKS and row.count("|") == write_header(TASKS[task].kind)[0].count("|")


def read_key(row: str) -> Key:
    """Return task and method of a row; two empty strings of any other line."""
    cells = [cell.strip() for cell in row.split("|")]
    return (cells[1], cells[2]) if len(cells) > 3 else ("", "")


if __name__ == "__main__":
    main(sys.argv[1:])
