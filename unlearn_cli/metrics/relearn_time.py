"""Relearn time: steps of fine-tuning on forget until the network knows it again as well as the original did.

    r = min {t : accuracy_t >= (1 - alpha) accuracy(original)},    regression: loss_t <= (1 + alpha) loss(original)

on test records of the forgotten classes, or on forget itself where it is no whole class. Source: Chundawat et al.,
arXiv 2201.05629, section 5; Golatkar et al. 2020. Needs the original; Adam on a copy, the same order of the records for
every network. Warning: short is knowledge left, but long alone is not forgetting: a wrecked network learns slowly, too.
Read it beside a reference (`anamnesis_index`).
"""

import numpy as np
from pydantic import PositiveFloat, PositiveInt
from torch import nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.plugin import Fraction
from unlearn_cli.relearning import Relearned, make_goal, relearn, repeated
from unlearn_cli.report import Estimate
from unlearn_cli.stats.intervals import missing
from unlearn_cli.training import TaskLoss


def relearn_time(
    model: nn.Module, original: nn.Module, forget: Batches, test: Batches, task_loss: TaskLoss, *,
    alpha: Fraction = 0.05, lr: PositiveFloat = 1e-3, cap: PositiveInt = 300, every: PositiveInt = 1,
    repeats: PositiveInt = 5,
) -> Estimate:  # fmt: skip
    """Return the median number of steps over the repeats, with their range; null if most do not arrive."""
    goal = make_goal(original, forget, test, task_loss, alpha)
    runs = repeated(repeats, "relearn", lambda repeat: relearn(
        model, forget, goal, task_loss, lr=lr, cap=cap, every=every, repeat=repeat
    ))  # fmt: skip
    return summary(runs, cap)


def summary(runs: list[Relearned], cap: int) -> Estimate:
    """Return the median of the steps; those that did not arrive count as later than the cap, and are told."""
    late = sum(run.steps is None for run in runs)
    steps = np.array([np.inf if run.steps is None else run.steps for run in runs])
    median = float(np.median(steps))
    if not np.isfinite(median):
        return missing(f"{late} of {len(runs)} repeats did not arrive within {cap} steps", len(runs))
    high = float(steps.max()) if not late else None
    told = f", {late} not within {cap} steps" if late else ""
    sd = float(steps.std(ddof=1)) if len(runs) > 1 and not late else None
    return Estimate(
        value=median, n=len(runs), low=float(steps.min()) if high is not None else None, high=high, sd=sd,
        runs=len(runs), interval=f"range over repeats{told}",
    )  # fmt: skip
