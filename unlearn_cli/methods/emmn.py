"""EMMN: error-minimising and error-maximising noise. Makes a network forget whole classes without any data.

Idea: noise that the original is sure of stands in for the records of its class, and noise that it finds as unlike a
class as can be marks what must be overwritten; the network is trained on both to keep the other classes and to lose F.

    minimising:  N_c = argmin_N  CE(M(N), c) + lambda R(N)        for each class c     (M frozen, in eval mode)
    maximising:  N_c = argmin_N -CE(M(N), c) + lambda R(N)        for each class c of F, labelled c
    targets:     q(x) = softmax(M(x)), the columns of F set to 0 and the rest renormalised, for the minimising noise
    impair:      theta <- Adam steps on KL(q(x) || softmax(M_theta(x))) over both (for a label: its cross entropy)

Source: Chundawat et al., Zero-Shot Machine Unlearning, arXiv 2201.05629, section III. Needs no data at all: the
network, its input's shape and the class numbers.
Warning: whole classes only. It changes what the network answers more than what it has learned: its features, made with
records of F, remain, and an attack that trains on them may find much of F again.

The paper's targets are labels (`targets: labels`): there is minimising noise of the kept classes alone, labelled, and
as much maximising noise of each class of F. Without real records to repair them that wrecks the kept classes before F
is forgotten. Beyond the paper, by default: corrected soft targets, minimising noise for F as well and little maximising
noise (as much as of the other: up to 3 % of F left and 7 to 20 points lost on Fashion-MNIST); noise that is still taken
for its class when it is jittered (`smoothing`); and rounds that are repeated until the network no longer recognises
held-out minimising noise of F, which it was not trained on.
"""

from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.learning.noise import CHUNK, learn_noise
from unlearn_cli.learning.training import lr_factor, predict_outputs, set_learning_rate, set_training_mode
from unlearn_cli.methods.unsir import still_recognised
from unlearn_cli.plugins.types import Fraction
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.run import default_batch_size, note
from unlearn_cli.runtime.seeds import Random

SUMMARY = "noise stands in for every class; no data"
TASK = "classification"
HELD_OUT = 64  # samples of each forgotten class that tell when it is forgotten
RECOGNISED = 0.1  # the probability of its class above which one counts as still recognised


def emmn(
    model: nn.Module,
    original: nn.Module,
    forget_classes: list[int],
    num_classes: int,
    input_shape: tuple[int, ...],
    random: Random,
    *,
    targets: Literal["labels", "corrected"] = "corrected",
    noise_steps: NonNegativeInt = 40,
    noise_size: PositiveInt = 128,
    maximizing_size: NonNegativeInt = 8,
    noise_lr: PositiveFloat = 0.05,
    regularisation: NonNegativeFloat = 1e-4,
    smoothing: NonNegativeFloat = 0.5,
    impair_steps: PositiveInt = 200,
    impair_lr: PositiveFloat = 1e-3,
    batch_size: PositiveInt | None = None,
    schedule: Literal["constant", "cosine"] = "cosine",
    batch_norm: Literal["batch", "frozen"] = "frozen",
    rounds: PositiveInt = 3,
    proxies_left: Fraction = 0.02,
) -> nn.Module:
    """Train on `noise_size` samples a class for `impair_steps`, and again until held-out noise is not recognised.

    Each class of F has `maximizing_size` samples of the other noise beside them. There are at most `rounds` rounds; the
    network is taken to have forgotten when at most `proxies_left` of the held-out noise of every class of F is still
    recognised. `batch_norm` frozen keeps the statistics of data, which noise has not. `batch_size`
    is that of `--batch-size` unless given.
    """
    learn = partial(
        learn_noise,
        original,
        input_shape=input_shape,
        random=random,
        steps=noise_steps,
        lr=noise_lr,
        regularisation=regularisation,
        smoothing=smoothing,
    )
    likeness = learn(forget_classes=list(range(num_classes)), kind="minimize", size=noise_size + HELD_OUT).samples
    held_out = likeness[forget_classes, noise_size:].flatten(0, 1)
    held_out_labels = torch.tensor(forget_classes, device=held_out.device).repeat_interleave(HELD_OUT)
    x, y = minimising(original, likeness[:, :noise_size], forget_classes, targets)
    if maximizing_size:
        worst = learn(forget_classes=forget_classes, kind="maximize", size=maximizing_size)
        x_worst, labels = worst.labelled(x.device)
        x, y = torch.cat([x, x_worst]), torch.cat([y, F.one_hot(labels, num_classes).to(y)])
    for _ in range(rounds):
        impair(model, x, y, random, impair_steps, batch_size or default_batch_size(), impair_lr, schedule, batch_norm)
        if still_recognised(model, held_out, held_out_labels, forget_classes, RECOGNISED) <= proxies_left:
            return model
    note("emmn: noise of the forgotten classes is still recognised; the network may not have forgotten")
    return model


def minimising(
    original: nn.Module, likeness: Tensor, forget_classes: list[int], targets: Literal["labels", "corrected"]
) -> tuple[Tensor, Tensor]:
    """Return the minimising noise to train on (n, *shape), given as (K, B, *shape), and its targets (n, K).

    With labels there is none of the classes to forget: it would teach them.
    """
    num_classes, size = likeness.shape[:2]
    if targets == "corrected":
        x = likeness.flatten(0, 1)
        return x, corrected(predict_outputs(original, x.split(CHUNK)), forget_classes)
    kept = [number for number in range(num_classes) if number not in forget_classes]
    return likeness[kept].flatten(0, 1), torch.eye(num_classes, device=likeness.device)[kept].repeat_interleave(size, 0)


def corrected(outputs: Tensor, forget_classes: list[int]) -> Tensor:
    """Return the probabilities (n, K) with the columns of the forgotten classes set to 0 and the rest renormalised."""
    columns = torch.tensor(forget_classes, dtype=torch.long, device=outputs.device)
    return outputs.index_fill(1, columns, -torch.inf).softmax(dim=1)


def impair(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    random: Random,
    num_steps: int,
    batch_size: int,
    lr: float,
    schedule: Literal["constant", "cosine"],
    batch_norm: Literal["batch", "frozen"],
) -> None:
    """Train on noise (n, *shape), drawn with replacement, and its target probabilities (n, K)."""
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    set_training_mode(model, batch_norm)
    steps = track(range(num_steps), "impair", model, optimizer)
    for _ in steps:
        set_learning_rate(optimizer, lr * lr_factor(schedule, steps.share_done))
        chosen = random.integers(len(x), batch_size)
        loss = F.kl_div(model(x[chosen]).float().log_softmax(dim=1), y[chosen], reduction="batchmean")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps.log(loss=loss)
