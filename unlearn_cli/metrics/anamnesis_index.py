"""Anamnesis index: relearn time of the network as a multiple of a retrained reference's; 1: equally long.

    AIN = r(unlearned) / r(reference)

Source: Chundawat et al., arXiv 2201.05629, section 5. Needs the original and a reference. Copies of the network and of
the reference are trained on the same records in the same order, equally often. Warning: below 1 knowledge is left; far
above 1 the network forgot too much. The index is null where the reference needs no step (there is nothing to learn), or
where one of the two does not reach the target.
"""

from typing import Annotated

import numpy as np
from pydantic import PositiveFloat, PositiveInt
from torch import nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.relearning import RelearningRun, make_goal, relearn, run_repeats
from unlearn_cli.learning.training import TaskLoss
from unlearn_cli.plugins.types import Doc, Fraction
from unlearn_cli.stats.intervals import missing, ratio
from unlearn_cli.stats.results import Estimate

SUMMARY = "relearn time divided by the reference's; 1: equal"
DEFAULT = False  # computed only on request


def anamnesis_index(
    model: nn.Module,
    reference: nn.Module,
    original: nn.Module,
    forget: Batches,
    test: Batches,
    task_loss: TaskLoss,
    *,
    alpha: Annotated[Fraction, Doc("tolerance: the target is the original's value, worse by this share")] = 0.05,
    lr: Annotated[PositiveFloat, Doc("learning rate of Adam")] = 1e-3,
    max_steps: Annotated[PositiveInt, Doc("largest number of steps of a repeat")] = 300,
    check_every: Annotated[PositiveInt, Doc("steps between two measurements")] = 1,
    repeats: Annotated[PositiveInt, Doc("repeats, each with another order of the records")] = 5,
) -> Estimate:
    """Return the ratio of the mean numbers of steps, with a t interval (delta method) over pairs of repeats."""
    goal = make_goal(original, forget, test, task_loss, alpha)

    def run(network: nn.Module, name: str) -> list[RelearningRun]:
        return run_repeats(
            repeats,
            f"relearn {name}",
            lambda repeat: relearn(
                network, forget, goal, task_loss, lr=lr, max_steps=max_steps, check_every=check_every, repeat=repeat
            ),
        )

    return divide_steps(run(model, "model"), run(reference, "reference"), max_steps)


def divide_steps(ours: list[RelearningRun], theirs: list[RelearningRun], max_steps: int) -> Estimate:
    """Return the ratio of the mean numbers of steps, or a null with the reason."""
    n = len(ours)
    for name, runs in (("the network", ours), ("the reference", theirs)):
        late = sum(run.steps is None for run in runs)
        if late:
            return missing(f"{name} did not reach the target within {max_steps} steps in {late} of {n} repeats", n)
    steps, others = (np.array([run.steps for run in runs], dtype=np.float64) for runs in (ours, theirs))
    if others.min() == 0:
        return missing("the reference reaches the target without a step: there is nothing to relearn", n)
    value = float(steps.mean() / others.mean())
    if n < 2:
        return Estimate(value=value, n=n)
    estimate = ratio(steps, others)  # a percentile bootstrap of five repeats covers 80 % and less
    return estimate if estimate.low is None else estimate.model_copy(update={"low": max(0.0, estimate.low)})
