"""Training whose learning rate and length follow the network: for methods on networks that nobody tuned for.

    learning rate: a tenth of the median size (root mean square) of the weight matrices before the first step
    length:        until the loss on the records is near a goal, such as the original's loss on them

Adam changes each weight by about the learning rate per step, so this rate changes the weights by about a tenth per
step, whatever the width of the network. Training is at a constant rate, with a running average of the weights as a
cheap estimate of what a falling rate would give (Polyak and Juditsky 1992; the polynomial average is of Shamir and
Zhang, arXiv 1212.1824):

    a_k = (1 - w) a_{k-1} + w theta_k,   w = min(1, 5 / (k + 4))

If the average reaches the goal before the weights do, the weights are still noisy: the rate then falls to 0 over half
as many further steps. If both have reached it, the network has begun to memorise, and the average is the result. Where
the average is always the result (`run_to_average`), the training ends as soon as the average has reached the goal.

A training of a given number of epochs, which need not be whole, needs enough steps: `shrink_batches` makes the batches
of small data smaller, which costs no more samples. New weights can follow first layers that are taken from another
network (`copy_first_layers`), which then need no training from the beginning.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.training import TaskLoss, descend, set_learning_rate, set_training_mode, take_step
from unlearn_cli.plugins.types import Schedule
from unlearn_cli.runtime.processes import full_tensor
from unlearn_cli.runtime.progress import track

BatchLoss = Callable[[Tensor, Tensor, Tensor], Tensor]  # of outputs, inputs and targets of a batch

LR_SHARE = 0.1
MOST_EPOCHS = 60  # at the constant rate; reached only if the goal is not
DECAY_SHARE = 0.5  # steps of the falling rate, as a share of those before
CHECK_SHARE = 0.2  # the loss is measured after every epoch, later after this share of the epochs so far
CHECK_SHARE_OF_AVERAGE = 0.1
MOST_RECORDS = 4096  # random records on which the loss is measured
CHUNK = 512  # records per forward pass
ENOUGH_STEPS, SMALLEST_BATCH = 100, 32


def choose_lr(model: nn.Module) -> float:
    """Return a tenth of the median root mean square of the weight matrices (parameters of two or more dimensions).

    A network without any gets the same share of all its parameters' size.
    """
    parameters = [parameter.detach() for parameter in model.parameters()]
    matrices = [parameter for parameter in parameters if parameter.dim() > 1] or parameters
    sizes = [full_tensor(matrix).double().square().mean().sqrt() for matrix in matrices]
    return LR_SHARE * float(torch.stack(sizes).median())


@torch.no_grad()
def measure_loss(model: nn.Module, records: Batches, task_loss: TaskLoss) -> float:
    """Return the mean loss in eval mode, on at most 4096 random records; the network is left in eval mode."""
    sample = records.take(np.sort(records.permutation("sample")[:MOST_RECORDS]))
    model.eval()
    losses = [task_loss(model(x), y) * len(y) for x, y in sample.sequential(CHUNK)]
    return float(torch.stack(losses).sum()) / sample.num_samples


def shrink_batches(records: Batches, epochs: float) -> Batches:
    """Return smaller batches, of 32 records at least, if these epochs have fewer than 100 steps."""
    size = max(SMALLEST_BATCH, int(epochs * records.num_samples / ENOUGH_STEPS))
    return replace(records, batch_size=min(records.batch_size, size))


def fit_epochs(
    model: nn.Module, records: Batches, task_loss: TaskLoss, epochs: float, lr: float, schedule: Schedule
) -> None:
    """Train all weights with Adam for a number of epochs, of which the last may be incomplete."""
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    set_training_mode(model, "batch")
    steps = track(records.steps(max(1, round(epochs * len(records)))), "train", model, optimizer)
    descend(model, steps, optimizer, task_loss, lr, schedule)


@torch.no_grad()
def copy_first_layers(source: nn.Module, target: nn.Module, share: float) -> None:
    """Copy the first layers of a network into another of the same architecture, with all that precedes the next layer.

    A layer is a module with a weight matrix of its own; the share of them is rounded down.
    """
    layers = [name for name, module in source.named_modules() if _has_matrix(module)]
    count = int(share * len(layers))
    if not count:
        return
    for (name, module), (_, other) in zip(target.named_modules(), source.named_modules(), strict=True):
        if name == layers[count]:
            return
        for ours, theirs in zip(_own_tensors(module), _own_tensors(other), strict=True):
            ours.copy_(theirs)


def _own_tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]


def _has_matrix(module: nn.Module) -> bool:
    return any(parameter.dim() > 1 for parameter in module.parameters(recurse=False))


class WeightAverage:
    """The running average of a network's weights and buffers, which weighs the last fifth of the steps most."""

    def __init__(self, model: nn.Module) -> None:
        self.tensors = [tensor.detach().clone() for tensor in _list_averaged(model)]

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Add the weights after a step, counted from 1."""
        for average, tensor in zip(self.tensors, _list_averaged(model), strict=True):
            average.lerp_(tensor.detach(), min(1.0, 5 / (step + 4)))

    @torch.no_grad()
    def exchange(self, model: nn.Module) -> None:
        """Put the average into the network, and the network's weights here; a second call restores both."""
        for average, tensor in zip(self.tensors, _list_averaged(model), strict=True):
            own = tensor.detach().clone()
            tensor.copy_(average)
            average.copy_(own)


def _list_averaged(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *(buffer for buffer in model.buffers() if buffer.is_floating_point())]


class GoalTraining:
    """Training of a network on some records until its loss on them reaches a goal; see the module's docstring."""

    def __init__(
        self,
        model: nn.Module,
        records: Batches,
        task_loss: TaskLoss,
        lr: float,
        phase: str,
        batch_loss: BatchLoss | None = None,
    ) -> None:
        """`batch_loss` is minimised, by default `task_loss`, which is compared with the goal."""
        self.model, self.records, self.task_loss, self.lr, self.phase = model, records, task_loss, lr, phase
        self.batch_loss = batch_loss or (lambda outputs, x, y: task_loss(outputs, y))
        self.optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
        self.average = WeightAverage(model)

    def run(self, goal: float, most_epochs: int = MOST_EPOCHS) -> float:
        """Train, at most that many epochs at the constant rate, and return the number of all epochs."""
        epochs = 0
        while epochs < most_epochs:
            count = min(most_epochs - epochs, max(1, int(CHECK_SHARE * epochs)))
            self._train_at_constant_rate(epochs, count)
            epochs += count
            own, averaged = self._measure()
            if averaged <= goal and own <= goal:
                self.average.exchange(self.model)
                return epochs
            if averaged <= goal:
                break
        self._lower_rate(round(DECAY_SHARE * epochs * len(self.records)))
        return epochs * (1 + DECAY_SHARE)

    def run_to_average(self, goal: float, most_epochs: int = MOST_EPOCHS) -> int:
        """Train until the average of the weights reaches the goal, put it into the network, and return the epochs."""
        epochs = 0
        while True:
            count = min(most_epochs - epochs, max(1, int(CHECK_SHARE_OF_AVERAGE * epochs)))
            self._train_at_constant_rate(epochs, count)
            epochs += count
            self.average.exchange(self.model)
            if epochs == most_epochs or measure_loss(self.model, self.records, self.task_loss) <= goal:
                return epochs
            self.average.exchange(self.model)

    def _train_at_constant_rate(self, first: int, count: int) -> None:
        """Train for some epochs; in the first of all, the rate rises from 0."""
        set_training_mode(self.model, "batch")
        tensors = self.average.tensors
        steps = track(self.records.epochs(count), self.phase, self.model, self.optimizer, *tensors)
        for x, y in steps:
            number = first * len(self.records) + steps.done + 1
            set_learning_rate(self.optimizer, self.lr * min(1.0, number / len(self.records)))
            steps.log(loss=self._step(x, y))
            self.average.update(self.model, number)

    def _lower_rate(self, count: int) -> None:
        set_training_mode(self.model, "batch")
        steps = track(self.records.steps(max(1, count)), f"{self.phase}-decay", self.model, self.optimizer)
        for x, y in steps:
            set_learning_rate(self.optimizer, self.lr * (1 - steps.share_done))
            steps.log(loss=self._step(x, y))

    def _step(self, x: Tensor, y: Tensor) -> Tensor:
        loss = self.batch_loss(self.model(x), x, y)
        take_step(self.optimizer, loss)
        return loss

    def _measure(self) -> tuple[float, float]:
        """Return the loss of the weights and that of their average."""
        own = measure_loss(self.model, self.records, self.task_loss)
        self.average.exchange(self.model)
        averaged = measure_loss(self.model, self.records, self.task_loss)
        self.average.exchange(self.model)
        return own, averaged
