"""Shadow runs of the audit: who was a member of which run, and what the networks said of everyone. No torch.

The game of U-LiRA with randomised membership (attacks.md A5): in run k each record of forget is trained on with
probability 1/2, then all that were are forgotten. So for every record there are networks that forgot it and networks
that never saw it, from one recipe; and a retrained network a run as the control. The same is done with a sample of
retain, whose members stay: does unlearning the others expose them?
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
LEAST = 8  # runs: two a side of each of the smallest folds
RETAINED_PREFIX = "retained_"  # what the sample of retain is called in a cell: retained_members, retained_before, ...
STAGES = {"subject": "after", "original": "before", "reference": "retrain"}  # what a role means in a shadow run


@dataclass(frozen=True)
class Pool:
    """One stage of all runs: membership (K, n), the signal phi (K, n), and which records are canaries (n,)."""

    members: np.ndarray
    phi: np.ndarray
    canaries: np.ndarray


@dataclass(frozen=True)
class ShadowRuns:
    """All runs that were found: membership (K, n) and the signal (K, n) before and after unlearning, and retrained."""

    members: np.ndarray
    stages: dict[str, np.ndarray]
    canaries: np.ndarray
    retained: "ShadowRuns | None" = None  # the same of the sample of retain, if there is one

    def of(self, role: str) -> Pool:
        """Return what a role means here: the subject is what unlearning makes, the original what it is given."""
        return Pool(self.members, self.stages[STAGES[role.split("_")[0]]], self.canaries)


def draw_membership(seed: int, run: int, n: int, group: int = 0) -> np.ndarray:
    """Return who of a group is trained on in a run (n,): fair coins, the same for everybody who asks."""
    return np.random.default_rng([seed, run, group]).random(n) < 0.5


def draw_retained_sample(seed: int, count: int, n: int) -> np.ndarray:
    """Return which records of retain are in the sample (count,), ascending; the same in every run."""
    return np.sort(np.random.default_rng([seed, 2]).permutation(n)[:count])


def draw_canaries(seed: int, share: float, labels: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mask of canaries (n,) and labels with a random wrong one for each, the same in every run."""
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
    """Refuse a folder that holds runs of another plan: they would be pooled with these.

    Raises:
        UserError: names what differs.
    """
    path = folder / PLAN
    if not path.exists():
        return
    try:
        found = json_text.read(regular_files.read_regular(path, MOST_PLAN, "--shadows"))
        if not isinstance(found, dict):
            raise ValueError
    except ValueError:
        raise UserError(f"--shadows {folder}: {PLAN} is no plan of shadow runs; take another folder") from None
    differing = sorted(key for key in plan if found.get(key) != plan[key])
    if differing:
        raise UserError(f"--shadows {folder}: holds runs with another {', '.join(differing)}; take another folder")


def load_runs(folder: Path, facts: dict[str, Any]) -> ShadowRuns:
    """Read all finished runs of a folder.

    Raises:
        UserError: there are too few, or they are of another manifest or other data.
    """
    if not (folder / PLAN).is_file():
        raise UserError(f"--shadows {folder}: there are no shadow runs; 'unlearn-cli shadow' makes them")
    check_plan(folder, facts)
    paths = sorted(folder.glob("cell-*.safetensors"))
    if len(paths) < LEAST:
        raise UserError(
            f"--shadows {folder}: {pluralize(len(paths), 'run is', 'runs are')} finished, {LEAST} are the least; "
            "'unlearn-cli shadow' makes more"
        )
    cells = [read_cell(path) for path in paths]
    check_alike(folder, cells)
    members, stages = stack_cells(cells, "")
    return ShadowRuns(members, stages, cells[0]["canaries"].astype(bool), _retained(cells))


def read_cell(path: Path) -> dict[str, np.ndarray]:
    """Read one finished run.

    Raises:
        UserError: it is no such file, or lacks an array.
    """
    header = safetensors_header.read(path, "--shadows")
    expected = {
        "canaries",
        *(prefix + name for prefix in ("", *_prefix(header)) for name in ("members", *STAGES.values())),
    }
    flat = all(len(entry.shape) == 1 and entry.dtype not in ("BF16", "F16") for entry in header.entries.values())
    if not flat or not expected <= header.entries.keys():
        raise UserError(f"--shadows: {path}: is no shadow run; remove it, and 'unlearn-cli shadow' makes it again")
    return load_file(path)


def _prefix(header: safetensors_header.TensorHeader) -> list[str]:
    return [RETAINED_PREFIX] if any(name.startswith(RETAINED_PREFIX) for name in header.entries) else []


def check_alike(folder: Path, cells: list[dict[str, np.ndarray]]) -> None:
    """Refuse runs of different sizes: they are not of one plan.

    Raises:
        UserError: an array of one run is of another length than that of the others, or than its group's.
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


def _retained(cells: list[dict[str, np.ndarray]]) -> ShadowRuns | None:
    if any(RETAINED_PREFIX + "members" not in cell for cell in cells):
        return None
    members, stages = stack_cells(cells, RETAINED_PREFIX)
    return ShadowRuns(members, stages, np.zeros(members.shape[1], dtype=bool))


def stack_cells(cells: list[dict[str, np.ndarray]], prefix: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return membership (K, n) and the signal (K, n) of each stage, of one group of records."""
    stages = {stage: np.stack([cell[prefix + stage] for cell in cells]) for stage in STAGES.values()}
    return np.stack([cell[prefix + "members"] for cell in cells]).astype(bool), stages
