"""Relearn time: steps of training on forget until the network is about as good on it as the original.

    r = min {t : accuracy_t >= (1 - alpha) accuracy(original)},    regression: loss_t <= (1 + alpha) loss(original)

measured on the test records of the forgotten classes, or on forget itself if it is not a whole class. Source: Chundawat
et al., arXiv 2201.05629, section 5; Golatkar et al. 2020. Needs the original. Adam trains a copy; the order of the
records is the same for every network. Warning: a short time shows that knowledge is left, but a long time does not
prove forgetting: a damaged network also learns slowly. Compare it with a reference (`anamnesis_index`).
"""

from typing import Annotated

from pydantic import PositiveFloat, PositiveInt
from torch import nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.relearning import make_goal, relearn, run_repeats, summarize_runs
from unlearn_cli.learning.training import TaskLoss
from unlearn_cli.plugins.types import Doc, Fraction
from unlearn_cli.stats.results import Estimate

SUMMARY = "training steps until forget is learned again"
TASK = ("classification", "regression", "multilabel")
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
    max_steps: Annotated[PositiveInt, Doc("largest number of steps of a repeat")] = 300,
    check_every: Annotated[PositiveInt, Doc("steps between two measurements")] = 1,
    repeats: Annotated[PositiveInt, Doc("repeats, each with another order of the records")] = 5,
) -> Estimate:
    """Return the median number of steps and the range over the repeats; null if most do not reach the target."""
    goal = make_goal(original, forget, test, task_loss, alpha)
    runs = run_repeats(
        repeats,
        "relearn",
        lambda repeat: relearn(
            model, forget, goal, task_loss, lr=lr, max_steps=max_steps, check_every=check_every, repeat=repeat
        ),
    )
    return summarize_runs(runs, max_steps)
