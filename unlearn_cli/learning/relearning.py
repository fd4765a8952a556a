"""Relearning time: the number of steps in which a fine-tuned copy of a network learns the forgotten records again."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.training import TaskLoss, set_training_mode, take_step
from unlearn_cli.runtime.progress import track
from unlearn_cli.stats.intervals import missing
from unlearn_cli.stats.results import Estimate

VALIDATION = 500  # records
LEAST_STEPS = 0.5  # of a network that reaches the target without a step, so that ratios are defined


@dataclass(frozen=True)
class RelearningRun:
    """One run: the steps to the target (None if it was not reached), and the values at the checks."""

    steps: int | None
    values: list[float] = field(default_factory=list)
    crossing: float | None = None  # steps, interpolated between the last two checks; None if not reached


@dataclass(frozen=True)
class Goal:
    """The value to reach, the records on which it is measured, and whether a larger value is better."""

    validation: Batches
    target: float
    larger: bool  # true: accuracy; false: loss

    def is_met(self, value: float) -> bool:
        return value >= self.target if self.larger else value <= self.target


def relearn(
    model: nn.Module,
    training: Batches,
    goal: Goal,
    task_loss: TaskLoss,
    *,
    lr: float,
    max_steps: int,
    check_every: int,
    repeat: int,
) -> RelearningRun:
    """Train a copy with Adam until the goal is met, which is checked every few steps; the network does not change.

    The order of the records depends only on their split, the seed and the repeat, so it is the same for two networks.
    """
    # A copy is safe here: a network that is measured is neither replicated nor sharded.
    student = copy.deepcopy(model).requires_grad_(True)
    values = [measure_value(student, goal, task_loss)]
    if goal.is_met(values[0]):
        return RelearningRun(0, values, 0.0)
    optimizer = torch.optim.Adam(student.parameters(), lr, fused=True)
    order = replace(training, seed=training.seed + repeat).steps(max_steps)
    last_check = 0
    for step, (x, y) in enumerate(order.from_step("relearn", 0), start=1):
        set_training_mode(student, "frozen")  # statistics of only the forgotten class would spoil the others
        loss = task_loss(student(x), y)
        take_step(optimizer, loss)
        if step % check_every == 0 or step == max_steps:
            values.append(measure_value(student, goal, task_loss))
            if goal.is_met(values[-1]):
                share = (goal.target - values[-2]) / (values[-1] - values[-2])
                return RelearningRun(step, values, last_check + share * (step - last_check))
            last_check = step
    return RelearningRun(None, values)


@torch.no_grad()
def measure_value(model: nn.Module, goal: Goal, task_loss: TaskLoss) -> float:
    """Return the accuracy or the mean loss on the goal's records."""
    model.eval()
    total = 0.0
    for x, y in goal.validation.sequential(512):
        outputs = model(x).float()
        hits = (outputs.argmax(1) == y).sum() if goal.larger else task_loss(outputs, y) * len(y)
        total += float(hits)
    return total / goal.validation.num_samples


def make_goal(original: nn.Module, forget: Batches, test: Batches, task_loss: TaskLoss, alpha: float) -> Goal:
    """Return the original's value on test records of the forgotten classes, worsened by the share alpha, as the goal.

    The forgotten records themselves are used (at most 500) for a regression, for multilabel records, if there is no
    such test record, and if forget is not a whole class: a network may then be right about test records of its classes.
    """
    larger = not forget.targets.is_floating_point()  # class numbers; of multilabel records, the loss is compared
    validation = _limit_records(_select_same_classes(forget, test) if larger else forget)
    goal = Goal(validation, 0.0, larger)
    reached = measure_value(original, goal, task_loss)
    return replace(goal, target=(1 - alpha) * reached if larger else (1 + alpha) * reached)


def _select_same_classes(forget: Batches, test: Batches) -> Batches:
    classes = np.unique(forget.split.labels)
    rows = np.flatnonzero(np.isin(test.split.labels, classes))
    is_whole = len(rows) and len(classes) < len(np.unique(test.split.labels))
    return test.take(rows) if is_whole else forget


def _limit_records(batches: Batches) -> Batches:
    """Return at most `VALIDATION` records, the same for all networks."""
    order = np.random.default_rng(0).permutation(batches.num_samples)
    return batches if batches.num_samples <= VALIDATION else batches.take(np.sort(order[:VALIDATION]))


def run_repeats(count: int, phase: str, run: Callable[[int], RelearningRun]) -> list[RelearningRun]:
    """Run the repeats, with a progress bar."""
    return [run(repeat) for repeat in track(range(count), phase)]


def average_crossings(runs: list[RelearningRun], max_steps: int) -> Estimate:
    """Return the geometric mean of the interpolated steps, at least 1/2 per repeat; null if a repeat did not arrive."""
    crossings = [run.crossing for run in runs if run.crossing is not None]
    if len(crossings) < len(runs):
        late = len(runs) - len(crossings)
        return missing(f"{late} of {len(runs)} repeats did not reach the target within {max_steps} steps", len(runs))
    logs = np.log(np.maximum(crossings, LEAST_STEPS))
    return Estimate(
        value=float(np.exp(logs.mean())),
        n=len(runs),
        low=float(np.exp(logs.min())),
        high=float(np.exp(logs.max())),
        runs=len(runs),
        interval="range over repeats",
    )


def summarize_runs(runs: list[RelearningRun], max_steps: int) -> Estimate:
    """Return the median of the steps. Repeats that did not reach the target count as infinite, and are reported."""
    late = sum(run.steps is None for run in runs)
    steps = np.array([np.inf if run.steps is None else run.steps for run in runs])
    median = float(np.median(steps))
    if not np.isfinite(median):
        return missing(f"{late} of {len(runs)} repeats did not reach the target within {max_steps} steps", len(runs))
    high = float(steps.max()) if not late else None
    unreached = f", {late} not within {max_steps} steps" if late else ""
    sd = float(steps.std(ddof=1)) if len(runs) > 1 and not late else None
    return Estimate(
        value=median,
        n=len(runs),
        low=float(steps.min()) if high is not None else None,
        high=high,
        sd=sd,
        runs=len(runs),
        interval=f"range over repeats{unreached}",
    )
