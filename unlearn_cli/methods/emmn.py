"""EMMN: error-minimising and error-maximising noise makes a network forget whole classes without any data.

Idea: noise on which the original's loss for a class is minimal stands in for the records of that class, and noise on
which it is maximal marks what must be overwritten. The network is trained on both, to keep the other classes and to
lose the forgotten classes F.

    minimising:  N_c = argmin_N  CE(M(N), c) + lambda R(N)        for each class c     (M frozen, in eval mode)
    maximising:  N_c = argmin_N -CE(M(N), c) + lambda R(N)        for each class c of F, labelled c
    targets:     q(x) = softmax(M(x)), the columns of F set to 0 and the rest renormalised, for the minimising noise
    impair:      theta <- Adam steps on KL(q(x) || softmax(M_theta(x))) over both (for a label: its cross entropy)

Source: Chundawat et al., Zero-Shot Machine Unlearning, arXiv 2201.05629, section III. Needs no data at all: the
network, its input's shape and the class numbers.
Warning: whole classes only. It changes the network's outputs more than its features: these were learned with records
of F, and an attack that trains on them may recover much of F.

The paper's targets are labels (`targets: labels`): minimising noise of the retained classes only, labelled, and as much
maximising noise of each class of F. Without real records for a repair, that destroys the retained classes before F is
forgotten. The defaults here differ: corrected soft targets, minimising noise for F as well and little maximising noise
(equal amounts of both left up to 3 % of F and cost 7 to 20 points of accuracy on Fashion-MNIST); noise that keeps its
class when it is jittered (`smoothing`); and rounds that are repeated until the network no longer recognises held-out
minimising noise of F, on which it was not trained.
"""

from functools import partial
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.learning.masking import mask_classes, masked_softmax
from unlearn_cli.learning.noise import CHUNK, learn_noise
from unlearn_cli.learning.proxies import still_recognised
from unlearn_cli.learning.recipes import USUAL_RATE
from unlearn_cli.learning.step_sizes import choose_rate
from unlearn_cli.learning.training import lr_factor, predict_outputs, set_learning_rate, set_training_mode, take_step
from unlearn_cli.plugins.types import BatchNorm, Doc, Fraction
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.run import default_batch_size, note
from unlearn_cli.runtime.seeds import Random

SUMMARY = "noise stands in for every class; no data"
TASK = "classification"
HELD_OUT = 64  # samples of each forgotten class on which it is tested whether it is forgotten
RECOGNISED = 0.1  # the probability of its class above which a sample counts as still recognised


def emmn(
    model: nn.Module,
    original: nn.Module,
    forget_classes: list[int],
    num_classes: int,
    input_shape: tuple[int, ...],
    random: Random,
    *,
    targets: Annotated[
        Literal["labels", "corrected"], Doc("targets of the noise: its label, or the original's outputs without F")
    ] = "corrected",
    noise_steps: Annotated[NonNegativeInt, Doc("optimisation steps of the noise")] = 40,
    noise_size: Annotated[PositiveInt, Doc("minimising noise samples per class")] = 128,
    maximizing_size: Annotated[NonNegativeInt, Doc("maximising noise samples per forgotten class")] = 8,
    noise_lr: Annotated[PositiveFloat, Doc("learning rate of Adam on the noise")] = 0.05,
    regularisation: Annotated[NonNegativeFloat, Doc("lambda, which pulls the noise towards 0")] = 1e-4,
    smoothing: Annotated[
        NonNegativeFloat, Doc("standard deviation of the jitter that is added to the noise in each of its steps")
    ] = 0.5,
    impair_steps: Annotated[PositiveInt, Doc("training steps per round")] = 200,
    impair_lr: Annotated[
        PositiveFloat | None, Doc("highest learning rate of a round; null: 0.001, less if layers are wide")
    ] = None,
    batch_size: Annotated[PositiveInt | None, Doc("noise samples per training step; null: --batch-size")] = None,
    schedule: Annotated[Literal["constant", "cosine"], Doc("course of the learning rate in a round")] = "cosine",
    batch_norm: Annotated[BatchNorm, Doc("statistics of each batch, or frozen: those of the checkpoint")] = "frozen",
    rounds: Annotated[PositiveInt, Doc("largest number of rounds")] = 3,
    proxies_left: Annotated[
        Fraction, Doc("share of held-out noise of every forgotten class that may still be recognised at the end")
    ] = 0.02,
) -> nn.Module:
    """Train on the noise in rounds, until held-out noise is not recognised.

    `batch_norm` is frozen by default: noise does not have the statistics of data.
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
    x, y = select_minimising(original, likeness[:, :noise_size], forget_classes, targets)
    if maximizing_size:
        worst = learn(forget_classes=forget_classes, kind="maximize", size=maximizing_size)
        x_worst, labels = worst.labelled(x.device)
        x, y = torch.cat([x, x_worst]), torch.cat([y, F.one_hot(labels, num_classes).to(y)])
    impair_lr = choose_rate("impair_lr", impair_lr, USUAL_RATE, original)
    for _ in range(rounds):
        impair(model, x, y, random, impair_steps, batch_size or default_batch_size(), impair_lr, schedule, batch_norm)
        if still_recognised(model, held_out, held_out_labels, forget_classes, RECOGNISED) <= proxies_left:
            return model
    note("emmn: noise of the forgotten classes is still recognised; the network may not have forgotten")
    return model


def select_minimising(
    original: nn.Module, likeness: Tensor, forget_classes: list[int], targets: Literal["labels", "corrected"]
) -> tuple[Tensor, Tensor]:
    """Return the minimising noise to train on (n, *shape), given as (K, B, *shape), and its targets (n, K).

    With labels there is none of the forgotten classes: it would teach them.
    """
    num_classes, size = likeness.shape[:2]
    if targets == "corrected":
        x = likeness.flatten(0, 1)
        lost = mask_classes(forget_classes, num_classes, x.device)
        return x, masked_softmax(predict_outputs(original, x.split(CHUNK)), lost)
    retained = [number for number in range(num_classes) if number not in forget_classes]
    labels = torch.eye(num_classes, device=likeness.device)[retained].repeat_interleave(size, 0)
    return likeness[retained].flatten(0, 1), labels


def impair(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    random: Random,
    num_steps: int,
    batch_size: int,
    lr: float,
    schedule: Literal["constant", "cosine"],
    batch_norm: BatchNorm,
) -> None:
    """Train on noise (n, *shape), drawn with replacement, and its target probabilities (n, K)."""
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    set_training_mode(model, batch_norm)
    steps = track(range(num_steps), "impair", model, optimizer)
    for _ in steps:
        set_learning_rate(optimizer, lr * lr_factor(schedule, steps.share_done))
        rows = random.integers(len(x), batch_size)
        loss = F.kl_div(model(x[rows]).float().log_softmax(dim=1), y[rows], reduction="batchmean")
        take_step(optimizer, loss)
        steps.log(loss=loss)
