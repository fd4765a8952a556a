"""How fast a network learns the forgotten records again: fine-tune a copy on them, and count the steps."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.training import TaskLoss, set_training_mode
from unlearn_cli.runtime.progress import track
from unlearn_cli.stats.intervals import missing
from unlearn_cli.stats.results import Estimate

VALIDATION = 500  # records


@dataclass(frozen=True)
class RelearningRun:
    """One run: the steps until the target was met, None where it was not within the cap; the value over the steps."""

    steps: int | None
    values: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Goal:
    """What must be reached: on which records, which value, and whether a larger or a smaller one is better."""

    validation: Batches
    target: float
    larger: bool  # accuracy; a loss is better when smaller

    def met(self, value: float) -> bool:
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
    """Train a copy with Adam until the goal is met, looking every few steps; the network itself is left as it was.

    The order of the records depends on their split, the seed and the repeat alone, so two networks see the same.
    """
    # A copy is safe here: what is measured is neither replicated nor sharded.
    student = copy.deepcopy(model).requires_grad_(True)
    values = [value_of(student, goal, task_loss)]
    if goal.met(values[0]):
        return RelearningRun(0, values)
    optimizer = torch.optim.Adam(student.parameters(), lr, fused=True)
    order = replace(training, seed=training.seed + repeat).steps(max_steps)
    for step, (x, y) in enumerate(order.from_step("relearn", 0), start=1):
        set_training_mode(student, "frozen")  # statistics of a forgotten class alone would wreck what the others are
        loss = task_loss(student(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % check_every == 0 or step == max_steps:
            values.append(value_of(student, goal, task_loss))
            if goal.met(values[-1]):
                return RelearningRun(step, values)
    return RelearningRun(None, values)


@torch.no_grad()
def value_of(model: nn.Module, goal: Goal, task_loss: TaskLoss) -> float:
    """Return accuracy on the goal's records, or the mean loss there."""
    model.eval()
    total = 0.0
    for x, y in goal.validation.sequential(512):
        outputs = model(x).float()
        hits = (outputs.argmax(1) == y).sum() if goal.larger else task_loss(outputs, y) * len(y)
        total += float(hits)
    return total / goal.validation.num_samples


def make_goal(original: nn.Module, forget: Batches, test: Batches, task_loss: TaskLoss, alpha: float) -> Goal:
    """Return what the original reaches, less alpha of it, on test records of the forgotten classes.

    Where forget is no whole class (test records of its classes are known all the same) or there is no such record,
    and for a regression, the forgotten records themselves are looked at; at most 500 of them.
    """
    larger = not forget.targets.is_floating_point()
    validation = _some(_of_the_same_classes(forget, test) if larger else forget)
    goal = Goal(validation, 0.0, larger)
    reached = value_of(original, goal, task_loss)
    return replace(goal, target=(1 - alpha) * reached if larger else (1 + alpha) * reached)


def _of_the_same_classes(forget: Batches, test: Batches) -> Batches:
    classes = np.unique(forget.split.labels)
    rows = np.flatnonzero(np.isin(test.split.labels, classes))
    whole = len(rows) and len(classes) < len(np.unique(test.split.labels))
    return test.take(rows) if whole else forget


def _some(batches: Batches) -> Batches:
    """Return at most `VALIDATION` records, the same for all networks: they are looked at after every few steps."""
    order = np.random.default_rng(0).permutation(batches.num_samples)
    return batches if batches.num_samples <= VALIDATION else batches.take(np.sort(order[:VALIDATION]))


def run_repeats(count: int, what: str, once: Callable[[int], RelearningRun]) -> list[RelearningRun]:
    """Run the repeats, with a bar."""
    return [once(repeat) for repeat in track(range(count), what)]


def summarize_runs(runs: list[RelearningRun], max_steps: int) -> Estimate:
    """Return the median of the steps; repeats without the target count as later than the cap, and are reported."""
    late = sum(run.steps is None for run in runs)
    steps = np.array([np.inf if run.steps is None else run.steps for run in runs])
    median = float(np.median(steps))
    if not np.isfinite(median):
        return missing(f"{late} of {len(runs)} repeats did not reach the target within {max_steps} steps", len(runs))
    high = float(steps.max()) if not late else None
    told = f", {late} not within {max_steps} steps" if late else ""
    sd = float(steps.std(ddof=1)) if len(runs) > 1 and not late else None
    return Estimate(
        value=median,
        n=len(runs),
        low=float(steps.min()) if high is not None else None,
        high=high,
        sd=sd,
        runs=len(runs),
        interval=f"range over repeats{told}",
    )
