"""The aims of the benchmark. Each is the mean over runs of a share of its limit, which must be at most 1.

An aim on forgetting that one reference, compared with the others, misses is no aim: it is marked `floor`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.methods.run_values import Values
from benchmarks.methods.tasks import Kind

CLOSE = 0.98  # ToW
MOST_Z = 2.0  # of one record, on both sides
MARGIN = 0.05  # of an AUC, as in the verdict
RETAIN_FREE_DROP, WITH_RETAIN_DROP, MEAN_DROP = 2.0, 1.0, 0.3
ZERO_SHOT_DROP = {"head": 0.5, "gkt": 3.0, "emmn": 3.0}
ROUNDING = 1e-9
MOST_FORGET = 1.0  # per cent of the forgotten classes, in test
MOST_SAMPLES = 8000  # backward, for one class
Share = Callable[[Values, "Context"], float]


@dataclass(frozen=True)
class Context:
    """What limits depend on: the method, the data that it receives, and numbers of the references."""

    method: str
    inputs: tuple[str, ...]
    num_classes: int = 1  # forgotten
    reference_auc: tuple[float, float] = (0.5, 0.5)  # range of the AUC of |z| of one reference against the others
    reference_tow: float = 1.0  # mean of one reference against the others

    @property
    def most_drop(self) -> float:
        """Points of test accuracy that a method for whole classes may lose."""
        if any(name.startswith("retain") for name in self.inputs):
            return WITH_RETAIN_DROP
        if any(name.startswith("forget") and name != "forget_classes" for name in self.inputs):
            return RETAIN_FREE_DROP
        return ZERO_SHOT_DROP.get(self.method, max(ZERO_SHOT_DROP.values()))

    @property
    def is_zero_shot(self) -> bool:
        return self.most_drop not in (WITH_RETAIN_DROP, RETAIN_FREE_DROP)

    @property
    def has_sample_limit(self) -> bool:
        return not self.is_zero_shot and self.num_classes == 1


@dataclass(frozen=True)
class Aim:
    """A name, the value that it needs, and the share of the limit that it takes; `cost` aims do not bind references."""

    name: str
    needs: str
    share: Share
    cost: bool = False


def outside(value: float, low: float, high: float) -> float:
    """Return a share of a range's limits: at most 1 inside, for positive numbers."""
    return max(value / high, low / value) if value > 0 else np.inf


AIMS: Mapping[Kind, Sequence[Aim]] = {
    "classes": (
        Aim("forget", "test_forget", lambda v, c: v["test_forget"] / MOST_FORGET),
        Aim("test", "drop", lambda v, c: v["drop"] / c.most_drop),
        Aim("TV", "tv", lambda v, c: v["tv"] / 1.5),
        Aim("relearning", "relearn", lambda v, c: outside(v["relearn"], 0.7, 1.4)),
        Aim("samples", "backward", lambda v, c: v["backward"] / MOST_SAMPLES if c.has_sample_limit else 0.0, True),
        Aim("share", "share", lambda v, c: 0.0 if c.is_zero_shot else v["share"] / 2, True),
        Aim("seconds", "seconds", lambda v, c: v["seconds"] / 5 if c.method == "head" else 0.0, True),
    ),
    "records": (
        Aim("ToW", "tow", lambda v, c: (1 - v["tow"]) / (1 - min(CLOSE, c.reference_tow))),
        Aim("forget", "gap", lambda v, c: abs(v["gap"]) / v["gap_limit"]),
        Aim("test", "drop", lambda v, c: v["drop"] / 1.0),
        Aim("AUC z", "auc_z", lambda v, c: abs(v["auc_z"] - 0.5) / MARGIN),
        Aim("AUC abs z", "auc_abs_z", lambda v, c: distance_from_range(v["auc_abs_z"], c.reference_auc) / MARGIN),
    ),
    "one record": (
        Aim("seconds", "seconds", lambda v, c: v["seconds"] / 1.0, True),
        Aim("z", "z", lambda v, c: abs(v["z"]) / MOST_Z),
        Aim("moved", "moved", lambda v, c: v["moved"] / 1.0, True),
    ),
    "regression": (
        Aim("W1", "w1", lambda v, c: v["w1"] / 1.25),
        Aim("forget", "gap", lambda v, c: abs(v["gap"]) / 8),
        Aim("retain", "retain_ratio", lambda v, c: v["retain_ratio"] / 1.03),
        Aim("test", "test_ratio", lambda v, c: v["test_ratio"] / 1.03),
    ),
}  # fmt: skip


def distance_from_range(value: float, limits: tuple[float, float]) -> float:
    return max(0.0, limits[0] - value, value - limits[1])


def list_missed(kind: Kind, runs: Sequence[Values], context: Context, *, cost: bool = True) -> list[str]:
    """Return the names of the aims that the mean over runs misses."""
    measured = [aim for aim in AIMS[kind] if all(aim.needs in run for run in runs) and (cost or not aim.cost)]
    return [aim.name for aim in measured if np.mean([aim.share(run, context) for run in runs]) > 1 + ROUNDING]


def describe_aims(missed: Sequence[str], floor: Sequence[str]) -> str:
    """Return yes, or no with the missed aims; those that the references miss, too, do not count."""
    parts = [name for name in missed if name not in floor]
    shared = [name for name in missed if name in floor]
    text = f"**no**: {', '.join(parts)}" if parts else "yes"
    return f"{text}; floor: {', '.join(shared)}" if shared else text
