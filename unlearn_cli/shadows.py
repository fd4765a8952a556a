"""Shadow runs of the audit: who was a member of which run, and what the networks said of everyone. No torch.

The game of U-LiRA with randomised membership (attacks.md A5): in run k each record of forget is trained on with
probability 1/2, then all that were are forgotten. So for every record there are networks that forgot it and networks
that never saw it, from one recipe; and a retrained network a run as the control.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from unlearn_cli.errors import UserError

PLAN = "plan.json"
LEAST = 8  # runs: two a side of each of the smallest folds
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

    def of(self, role: str) -> Pool:
        """Return what a role means here: the subject is what unlearning makes, the original what it is given."""
        return Pool(self.members, self.stages[STAGES[role.split("_")[0]]], self.canaries)

    @property
    def after_and_retrained(self) -> tuple[Pool, Pool]:
        return self.of("subject"), self.of("reference")


def membership(seed: int, run: int, n: int) -> np.ndarray:
    """Return who is trained on in a run (n,): independent fair coins, the same for everybody who asks."""
    return np.random.default_rng([seed, run, 0]).random(n) < 0.5


def canaries(seed: int, share: float, labels: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
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
    if not path.is_file():
        return
    found = json.loads(path.read_text(encoding="utf-8"))
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
            f"--shadows {folder}: {len(paths)} runs are finished, {LEAST} are the least; "
            "'unlearn-cli shadow' makes more"
        )
    cells = [load_file(path) for path in paths]
    stages = {stage: np.stack([cell[stage] for cell in cells]) for stage in STAGES.values()}
    members = np.stack([cell["members"] for cell in cells]).astype(bool)
    return ShadowRuns(members, stages, cells[0]["canaries"].astype(bool))
