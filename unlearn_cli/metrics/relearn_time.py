"""Relearn time: steps of fine-tuning on forget until the network is as good on it as the original.

    r = min {t : accuracy_t >= (1 - alpha) accuracy(original)},    regression: loss_t <= (1 + alpha) loss(original)

on test records of the forgotten classes, or on forget itself where it is no whole class. Source: Chundawat et al.,
arXiv 2201.05629, section 5; Golatkar et al. 2020. Needs the original; Adam on a copy, the same order of the records for
every network. Warning: a short time is knowledge left, but a long time does not prove forgetting: a wrecked network
learns slowly, too. Compare it with a reference (`anamnesis_index`).
"""

from typing import Annotated

from pydantic import PositiveFloat, PositiveInt
from torch import nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.relearning import make_goal, relearn, run_repeats, summarize_runs
from unlearn_cli.learning.training import TaskLoss
from unlearn_cli.plugins.types import Doc, Fraction
from unlearn_cli.stats.results import Estimate

SUMMARY = "steps of training until forget is known again"
DEFAULT = False  # computed only on request


def relearn_time(
    model: nn.Module,
    original: nn.Module,
    forget: Batches,
    test: Batches,
    task_loss: TaskLoss,
    *,
    alpha: Annotated[Fraction, Doc("tolerance: the target is the original's value, worse by this share")] = 0.05,
    lr: Annotated[PositiveFloat, Doc("learning rate of Adam")] = 1e-3,
    max_steps: Annotated[PositiveInt, Doc("steps after which a repeat ends without the target")] = 300,
    check_every: Annotated[PositiveInt, Doc("steps between two measurements")] = 1,
    repeats: Annotated[PositiveInt, Doc("repeats, each with another order of the records")] = 5,
) -> Estimate:
    """Return the median number of steps over the repeats, with their range; null if most do not arrive."""
    goal = make_goal(original, forget, test, task_loss, alpha)
    runs = run_repeats(
        repeats,
        "relearn",
        lambda repeat: relearn(
            model, forget, goal, task_loss, lr=lr, max_steps=max_steps, check_every=check_every, repeat=repeat
        ),
    )
    return summarize_runs(runs, max_steps)
