"""Fine-tuning: continue to train on retain only and let the forgotten records fade (the simplest baseline).

    theta <- theta - lr * grad CE(theta; retain)
    rewind: optional; of the states on the way, the one nearest to held-out records (learning.rewind)

Source: the usual baseline, e.g. Tarun et al., arXiv 2111.08947, section V. Needs labelled `retain`; to rewind, also
labelled `forget` and `held_out`.
Warning: knowledge of forget fades slowly; good metrics prove little without an attack.
"""

from typing import Annotated, Literal

from pydantic import PositiveFloat, PositiveInt
from torch import nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.recipes import USUAL_RATE
from unlearn_cli.learning.rewind import are_all_lost, make_rewind
from unlearn_cli.learning.step_sizes import choose_rate
from unlearn_cli.learning.training import TaskLoss, make_optimizer, set_training_mode, take_step
from unlearn_cli.plugins.types import BatchNorm, Doc, Optimizer
from unlearn_cli.runtime.progress import track

SUMMARY = "continue training on retain only (baseline)"
TASK = ("classification", "regression", "multilabel")


def finetune(
    model: nn.Module,
    retain: Batches,
    task_loss: TaskLoss,
    *,
    forget: Batches | None = None,
    held_out: Batches | None = None,
    epochs: Annotated[PositiveInt, Doc("epochs over retain, unless steps are given")] = 5,
    steps: Annotated[PositiveInt | None, Doc("number of steps instead of epochs; null: use epochs")] = None,
    optimizer: Annotated[Optimizer, Doc("Adam, or SGD without momentum")] = "adam",
    lr: Annotated[PositiveFloat | None, Doc("constant learning rate; null: 0.001, less if layers are wide")] = None,
    rewind: Annotated[
        Literal["held_out", "last"],
        Doc("the state that is taken: the one nearest to held-out records, or the last"),
    ] = "last",
    batch_norm: Annotated[BatchNorm, Doc("statistics of each batch, or frozen: those of the checkpoint")] = "batch",
) -> nn.Module:
    """Train all weights on retain."""
    stepper = make_optimizer(model, optimizer, choose_rate("lr", lr, USUAL_RATE, model))
    set_training_mode(model, batch_norm)
    num_steps = steps or epochs * len(retain)
    is_lost = forget is not None and are_all_lost(forget, retain)
    rewinder = make_rewind(model, forget, None if is_lost else held_out, num_steps)
    progress = track(retain.steps(num_steps), "finetune", model, stepper, *rewinder.state)
    for x, y in progress:
        loss = task_loss(model(x), y)
        take_step(stepper, loss)
        progress.log(loss=loss)
        rewinder.observe(progress.done + 1)
    rewinder.restore(num_steps)
    return model
