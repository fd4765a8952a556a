"""Shadow runs of the audit: the members of each run, and the signal of the networks on all records. No torch.

The game of U-LiRA with randomised membership: in run k, each record of forget is a member of the training set with
probability 1/2, and then all members are forgotten. So for each record there are networks that forgot it and networks
that never saw it, made in the same way; a retrained network per run is the control. The same is done with a sample of
retain, whose members are not forgotten, to see whether unlearning exposes them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from unlearn_cli.checkpoints import safetensors_header
from unlearn_cli.console import pluralize
from unlearn_cli.errors import UserError
from unlearn_cli.storage import json_text, regular_files

PLAN = "plan.json"
MOST_PLAN = 2**20  # bytes
MIN_RUNS = 8  # two on each side of the smallest folds
RETAINED_PREFIX = "retained_"  # arrays of the sample of retain: retained_members, retained_before, ...
STAGES = {
    "subject": "after",
    "original": "before",
    "reference": "retrain",
}  # stage of a role in a shadow run


@dataclass(frozen=True)
class Pool:
    """One stage of all runs: membership (K, n), the signal phi (K, n), and the mask of canaries (n,)."""

    members: np.ndarray
    phi: np.ndarray
    canaries: np.ndarray


@dataclass(frozen=True)
class ShadowRuns:
    """All finished runs: membership (K, n), and the signal (K, n) before and after unlearning and after retraining."""

    members: np.ndarray
    stages: dict[str, np.ndarray]
    canaries: np.ndarray
    retained: "ShadowRuns | None" = None  # of the sample of retain, if there is one

    def of(self, role: str) -> Pool:
        """Return the stage of a role: the subject is after unlearning, the original before, a reference retrained."""
        return Pool(self.members, self.stages[STAGES[role.split("_")[0]]], self.canaries)


def draw_membership(seed: int, run: int, n: int, group: int = 0) -> np.ndarray:
    """Return the members of a group in a run as a mask (n,): fair coins, determined by the arguments."""
    return np.random.default_rng([seed, run, group]).random(n) < 0.5


def draw_retained_sample(seed: int, count: int, n: int) -> np.ndarray:
    """Return the records of retain in the sample (count,), ascending; the same in every run."""
    return np.sort(np.random.default_rng([seed, 2]).permutation(n)[:count])


def draw_canaries(seed: int, share: float, labels: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mask of canaries (n,), and the labels with a random wrong one per canary; the same in every run."""
    random = np.random.default_rng([seed, 1])
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[random.permutation(len(labels))[: round(share * len(labels))]] = True
    if not chosen.any():
        return chosen, labels
    wrong = (labels + random.integers(1, num_classes, len(labels))) % num_classes
    return chosen, np.where(chosen, wrong, labels)


def cell_path(folder: Path, run: int) -> Path:
    return folder / f"cell-{run:05d}.safetensors"


def check_plan(folder: Path, plan: dict[str, Any]) -> None:
    """Refuse a folder with runs of another plan, because all runs in a folder are pooled.

    Raises:
        UserError: the plans differ; the message names the fields.
    """
    path = folder / PLAN
    if not path.exists():
        return
    try:
        stored = json_text.read(regular_files.read_regular(path, MOST_PLAN, "--shadows"))
        if not isinstance(stored, dict):
            raise ValueError
    except ValueError:
        raise UserError(f"--shadows {folder}: {PLAN} is not a plan of shadow runs; use another folder") from None
    differing = sorted(key for key in plan if stored.get(key) != plan[key])
    if differing:
        raise UserError(f"--shadows {folder}: holds runs with another {', '.join(differing)}; use another folder")


def load_runs(folder: Path, facts: dict[str, Any]) -> ShadowRuns:
    """Read all finished runs of a folder.

    Raises:
        UserError: there are too few runs, or they belong to another manifest or other data.
    """
    if not (folder / PLAN).is_file():
        raise UserError(f"--shadows {folder}: there are no shadow runs; 'unlearn-cli shadow' writes them")
    check_plan(folder, facts)
    paths = sorted(folder.glob("cell-*.safetensors"))
    if len(paths) < MIN_RUNS:
        raise UserError(
            f"--shadows {folder}: {pluralize(len(paths), 'run is', 'runs are')} finished, at least {MIN_RUNS} are "
            "needed; 'unlearn-cli shadow' writes more"
        )
    cells = [read_cell(path) for path in paths]
    check_sizes(folder, cells)
    members, stages = stack_cells(cells, "")
    return ShadowRuns(members, stages, cells[0]["canaries"].astype(bool), _stack_retained(cells))


def read_cell(path: Path) -> dict[str, np.ndarray]:
    """Read one finished run.

    Raises:
        UserError: it is not the file of a run, or an array is missing.
    """
    header = safetensors_header.read(path, "--shadows")
    expected = {
        "canaries",
        *(prefix + name for prefix in ("", *_list_prefixes(header)) for name in ("members", *STAGES.values())),
    }
    flat = all(len(entry.shape) == 1 and entry.dtype not in ("BF16", "F16") for entry in header.entries.values())
    if not flat or not expected <= header.entries.keys():
        raise UserError(f"--shadows: {path}: is not a shadow run; remove it, and 'unlearn-cli shadow' writes it again")
    return load_file(path)


def _list_prefixes(header: safetensors_header.TensorHeader) -> list[str]:
    return [RETAINED_PREFIX] if any(name.startswith(RETAINED_PREFIX) for name in header.entries) else []


def check_sizes(folder: Path, cells: list[dict[str, np.ndarray]]) -> None:
    """Refuse runs with different numbers of records: they belong to different plans.

    Raises:
        UserError: the arrays of a group have different lengths.
    """
    for prefix in ("", RETAINED_PREFIX):
        sizes = {
            len(array)
            for cell in cells
            for name, array in cell.items()
            if name.startswith(RETAINED_PREFIX) == bool(prefix)
        }
        if len(sizes) > 1:
            raise UserError(f"--shadows {folder}: runs of {sorted(sizes)} records; remove those of another plan")


def _stack_retained(cells: list[dict[str, np.ndarray]]) -> ShadowRuns | None:
    if any(RETAINED_PREFIX + "members" not in cell for cell in cells):
        return None
    members, stages = stack_cells(cells, RETAINED_PREFIX)
    return ShadowRuns(members, stages, np.zeros(members.shape[1], dtype=bool))


def stack_cells(cells: list[dict[str, np.ndarray]], prefix: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the membership (K, n) of a group of records, and its signal (K, n) in each stage."""
    stages = {stage: np.stack([cell[prefix + stage] for cell in cells]) for stage in STAGES.values()}
    return np.stack([cell[prefix + "members"] for cell in cells]).astype(bool), stages
