"""Relearning attack: train the network on some of the forgotten records, and count the steps until it has them again.

Idea: knowledge that is only hidden returns within a few steps. The curve is the value on held-out records of the
forgotten kind over the steps. Source: Chundawat et al., arXiv 2201.05629 (relearn time); Golatkar et al. 2020. Needs
the original, which sets the target. Warning: as for the metric `relearn_time`, more steps than a reference needs are
not better.
"""

from typing import Annotated

from pydantic import PositiveFloat, PositiveInt
from torch import nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.learning import relearning
from unlearn_cli.learning.training import TaskLoss
from unlearn_cli.plugins.types import Doc, Fraction
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.results import Curve, Estimate

SUMMARY = "steps until the forgotten records are learned again"
TASK = ("classification", "regression", "multilabel")
TIER = "standard"
ORDER = 4  # within the tier, cheapest first


def relearn(
    model: nn.Module,
    original: nn.Module,
    forget: Batches,
    test: Batches,
    task_loss: TaskLoss,
    *,
    alpha: Annotated[Fraction, Doc("tolerance: the target is the original's value, worse by this share")] = 0.05,
    lr: Annotated[PositiveFloat, Doc("learning rate of Adam")] = 1e-3,
    max_steps: Annotated[PositiveInt, Doc("maximum of steps of a repeat that does not reach the target")] = 200,
    check_every: Annotated[PositiveInt, Doc("steps between two measurements")] = 2,
    repeats: Annotated[PositiveInt, Doc("repeats, each with another order of the records")] = 2,
) -> Findings:
    """Return the median steps to the target, their interpolated geometric mean, the target, and the first curve."""
    goal = relearning.make_goal(original, forget, test, task_loss, alpha)
    runs = relearning.run_repeats(
        repeats,
        "relearn",
        lambda repeat: relearning.relearn(
            model, forget, goal, task_loss, lr=lr, max_steps=max_steps, check_every=check_every, repeat=repeat
        ),
    )
    target = Estimate(value=goal.target, n=goal.validation.num_samples)
    curve = Curve(phase="relearn", name="accuracy" if goal.larger else "loss", values=list(runs[0].values))
    return Findings(
        {
            "steps": relearning.summarize_runs(runs, max_steps),
            "interpolated_steps": relearning.average_crossings(runs, max_steps),
            "target": target,
        },
        curves=[curve],
    )
