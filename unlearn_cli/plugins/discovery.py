"""Lists the built-in plug-ins and architectures. Their folders are listed and their files parsed, never imported.

A file `x.py` in `methods/`, `metrics/`, `attacks/` or `models/` that defines a function `x` is a plug-in. Constants in
the file describe it:

    SUMMARY    one line of at most 60 characters, for tables and completion (default: first line of the docstring)
    TASK       the task that it is for, or a tuple of them (default: classification and regression)
    DEFAULT    metrics: False for a metric that is computed only on request
    DISTANCE   metrics: True for a distance from a reference, which has a noise floor
    TIER       attacks: the first tier that runs it
    ORDER      attacks: its position within the tier
    PART_OF_CLASSES  methods: True for a method that cannot forget whole classes
    LIKE_ORIGINAL  methods: True for a method that trains as the original was trained, with batches of the same size
    LEVEL_STEP  methods: True if the level of the lost outputs is set after it (learning.level)
    VARIANTS   attacks: settings ('name=value') with which the tier runs it again

The file of a method may also have a function `bound_steps` and a tuple RETAIN_PHASES, from which `--dry-run` estimates
the work; see `commands.work_estimate`.

Neither torch nor pydantic is imported, because `--help` and completion use this module.
"""

import ast
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from unlearn_cli.schema.literals import Task

KINDS = ("methods", "metrics", "attacks", "models")
PACKAGE = Path(__file__).parents[1]
USUAL_TASKS: tuple[Task, ...] = ("classification", "regression")  # of a plug-in that states none
TIERS = ("quick", "standard", "audit")  # each also runs the attacks of the tiers before it


@dataclass(frozen=True)
class Entry:
    """A file that defines a plug-in: its constants, and the inputs of its function."""

    kind: str
    name: str
    docstring: str
    inputs: tuple[str, ...]  # the parameters without a default
    constants: dict[str, Any] = field(hash=False)

    @property
    def summary(self) -> str:
        return self.constants.get("SUMMARY") or self.docstring.partition("\n")[0]

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks that it is for. Multi-label records need a statement; `forget_classes` exist in classification."""
        stated: Task | tuple[Task, ...] | None = self.constants.get("TASK")
        if stated is None:
            return ("classification",) if "forget_classes" in self.inputs else USUAL_TASKS
        return (stated,) if isinstance(stated, str) else stated

    @property
    def is_default(self) -> bool:
        """Whether a metric is computed by default."""
        return self.constants.get("DEFAULT", True)

    @property
    def is_distance(self) -> bool:
        """Whether a metric is a distance from a reference."""
        return self.constants.get("DISTANCE", False)

    @property
    def is_of_model(self) -> bool:
        """Whether a metric describes the whole network instead of each split."""
        return "outputs" not in self.inputs


@cache
def entries(kind: str) -> dict[str, Entry]:
    """Return the built-in plug-ins of a kind by name, in alphabetical order."""
    paths = sorted((PACKAGE / kind).glob("*.py"))
    parsed = [read_entry(kind, path.stem, ast.parse(path.read_text(encoding="utf-8"))) for path in paths]
    return {entry.name: entry for entry in parsed if entry}


def read_entry(kind: str, name: str, tree: ast.Module) -> Entry | None:
    """Describe the plug-in of a parsed file; None if the file defines no function of this name."""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    if not functions:
        return None
    parameters = functions[0].args
    positional = [*parameters.posonlyargs, *parameters.args]
    inputs = tuple(item.arg for item in positional[: len(positional) - len(parameters.defaults)])
    return Entry(kind, name, ast.get_docstring(tree) or "", inputs, read_constants(tree))


def read_constants(tree: ast.Module) -> dict[str, Any]:
    """Return the literal constants of a file."""
    assignments = [node for node in tree.body if isinstance(node, ast.Assign) and len(node.targets) == 1]
    constants = {}
    for node in assignments:
        target = node.targets[0]
        if isinstance(target, ast.Name) and target.id.isupper() and _is_literal(node.value):
            constants[target.id] = ast.literal_eval(node.value)
    return constants


def _is_literal(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Tuple) and all(map(_is_literal, node.elts)))


def summaries(kind: str) -> dict[str, str]:
    """Return the summaries of the built-in plug-ins of a kind by name."""
    return {name: entry.summary for name, entry in entries(kind).items()}


def list_metrics_of(task: str) -> list[str]:
    """Return the metrics that are defined for a task: per-split metrics first, those with few inputs first."""
    defined = [entry for entry in entries("metrics").values() if task in entry.tasks]
    ordered = sorted(defined, key=lambda entry: (entry.is_of_model, len(entry.inputs), entry.name))
    return [entry.name for entry in ordered]


def list_default_metrics(task: str) -> list[str]:
    """Return the metrics of a task that are computed by default; none of them trains a network."""
    return [name for name in list_metrics_of(task) if entries("metrics")[name].is_default]


def list_attacks_of(tier: str) -> list[str]:
    """Return the attacks of a tier, cheapest first: names, and variants as `name:setting=value`.

    A tier is a fixed set of attacks, so that verdicts are comparable.
    """
    runs: list[str] = []
    for part in TIERS[: TIERS.index(tier) + 1]:
        members = [entry for entry in entries("attacks").values() if entry.constants.get("TIER") == part]
        for entry in sorted(members, key=lambda entry: entry.constants.get("ORDER", len(members))):
            variants = entry.constants.get("VARIANTS", ())
            runs += [entry.name, *(f"{entry.name}:{variant}" for variant in variants)]
    return runs
