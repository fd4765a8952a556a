"""UNSIR: unlearning by selective impair and repair. Forgets whole classes without ever reading their records.

Idea: learn noise on which the network's loss for class c is as large as possible, label it c, and train on it together
with retain records with a high learning rate, which overwrites the weights that encode c (impair); then train on retain
only (repair).

    noise:   N_c = argmin_N -CE(M(N), c) + lambda R(N)                  (M frozen, in eval mode)
    impair:  theta <- Adam steps on CE over {(N_c[b], c)} and a retain subset, in the same batches
    repair:  theta <- Adam steps on CE over the retain subset           (a new optimizer)

With `retain_targets: original`, the CE of retain records is T^2 KL(masked softmax(original / T) || softmax(M / T)).

Source: Tarun, Chundawat, Mandal, Kankanhalli: Fast Yet Effective Machine Unlearning, arXiv 2111.08947, section IV.
Needs a labelled part of `retain` and the class numbers.
Warning: whole classes only; noise has no meaning for single records.

Five defaults differ from the source; each is a setting. `sample_configs/paper/unsir.yaml` has the source's values.
1. The source's learning rate (0.02) destroys networks that are trained well, and no fixed rate suits all. Without
   `impair_lr` the method runs in rounds until class proxies are no longer recognised: a round is the impair phase and
   the first part of the repair. If it was not enough, the next round continues from there with 1.5 times the learning
   rate; a round that destroys the network is undone, and the next has a third of the rate. At the end the repair of the
   last round is completed. Proxies stand in for the records of c, which are never read: they are retain records, moved
   under the original network until it classifies them as c (error-minimising noise that starts from records).
2. The learning rate of the repair falls linearly to 0 (`repair_schedule`); the source's is constant.
3. Noise is `noise_ratio` of retain, of which the impair phase takes `impair_steps` batches; the source trains one epoch
   over all noise and retain, shuffled together. Of each noise sample the best state is used, in the source the last.
4. Retain records are trained on the original's outputs without class c, with the distillation of `masked`, instead of
   on their labels (`retain_targets`): a network that knows its labels by heart hardly learns from them what the impair
   phase has overwritten. On a ResNet-20, labels lost 0.6 points of the other classes, outputs gained 0.6, in one round
   less.
5. The level step follows (learning.level).
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.masking import MaskedDistillation, mask_classes
from unlearn_cli.learning.noise import CHUNK, Noise, learn_noise, optimise_samples
from unlearn_cli.learning.proxies import still_recognised
from unlearn_cli.learning.recipes import Recipe, choose_class_rate
from unlearn_cli.learning.step_sizes import suit_rate
from unlearn_cli.learning.training import predict_outputs, set_learning_rate, set_training_mode, take_step
from unlearn_cli.plugins.types import BatchNorm, Doc, Fraction
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.run import note, report_setting
from unlearn_cli.runtime.seeds import Random

SUMMARY = "error-maximising noise, impair, repair; whole classes only"
LEVEL_STEP = True  # for whole classes
HIGHER, LOWER, MAX_ROUNDS = 1.5, 1 / 3, 6  # of the rounds: factors on the rate of the next one, and their number
RECOGNISED = 0.3  # a proxy with a larger probability of c counts as recognised; the rest of the repair lowers it
NUM_PROXIES, PROXY_STEPS = 64, 25  # proxies per class
NUM_NOISE, MAX_TOTAL, MIN_PER_CLASS = 32, 128, 8  # noise samples: per class; in all; at least per class
PROXY_LR, PROXY_SMOOTHING = 0.05, 0.5  # in standard deviations of the inputs
BEFORE_TEST = 0.22  # share of the repair steps after which a round is tested
CHECKED_RECORDS = 1000  # of retain, on which the accuracy after a round is measured

RetainLoss = Callable[[Tensor, Tensor, Tensor], Tensor]  # (outputs, x, y) -> loss


def unsir(
    model: nn.Module,
    original: nn.Module,
    retain: Batches,
    forget_classes: list[int],
    input_shape: tuple[int, ...],
    random: Random,
    recipe: Recipe,
    *,
    noise: Noise | None = None,
    noise_steps: Annotated[NonNegativeInt, Doc("optimisation steps of the noise")] = 25,
    noise_size: Annotated[
        PositiveInt | None, Doc("noise samples per class; null: 32, for many classes 128 in all, at least 8 per class")
    ] = None,
    noise_lr: Annotated[PositiveFloat, Doc("learning rate of Adam on the noise")] = 0.1,
    regularisation: Annotated[NonNegativeFloat, Doc("lambda, which pulls the noise towards 0")] = 0.1,
    noise_ratio: Annotated[
        PositiveFloat, Doc("noise samples of all forgotten classes together, per retain record in an impair batch")
    ] = 0.33,
    retain_per_class: Annotated[PositiveInt, Doc("retain records per class that are used")] = 1000,
    impair_steps: Annotated[PositiveInt, Doc("steps on noise and retain records, per round")] = 25,
    repair_steps: Annotated[NonNegativeInt, Doc("steps on retain records; 22 % of them in every round")] = 90,
    impair_lr: Annotated[
        PositiveFloat | None,
        Doc("null: rounds from half of the original's rate, less in wide layers, until proxies are not recognised"),
    ] = None,
    repair_lr: Annotated[
        PositiveFloat | None, Doc("first learning rate of the repair; null: half the rate of the impair phase")
    ] = None,
    repair_schedule: Annotated[
        Literal["constant", "linear"], Doc("course of the learning rate of the repair; linear: it falls to 0")
    ] = "linear",
    retain_targets: Annotated[
        Literal["labels", "original"],
        Doc("what retain records are trained on: labels, or the original's outputs without the classes"),
    ] = "original",
    proxies_left: Annotated[
        Fraction, Doc("share of the proxies of every class that may still be recognised at the end")
    ] = 0.05,
    max_relative_accuracy_drop: Annotated[
        Fraction, Doc("a round that loses more than this share of the accuracy on retain is undone")
    ] = 0.5,
    batch_norm: Annotated[BatchNorm, Doc("statistics of each batch, or frozen: those of the checkpoint")] = "batch",
) -> nn.Module:
    """Impair and repair once with `impair_lr`, or in rounds until the class is forgotten."""
    if noise is None:
        noise = learn_noise(
            original,
            forget_classes,
            input_shape,
            random,
            steps=noise_steps,
            size=noise_size or size_per_class(NUM_NOISE, len(forget_classes)),
            lr=noise_lr,
            regularisation=regularisation,
        )
    subset = retain.per_class(retain_per_class)
    x_noise, y_noise = noise.labelled(random.device)
    retain_loss = choose_retain_loss(retain_targets, original, retain, forget_classes)
    first_part = count_first_part(repair_steps)

    def begin_round(lr: float, num_repair_steps: int) -> torch.optim.Optimizer:
        """Impair, and begin to repair; return the optimizer of the repair."""
        impair(model, subset, retain_loss, (x_noise, y_noise), random, impair_steps, noise_ratio, lr, batch_norm)
        optimizer = torch.optim.Adam(model.parameters(), repair_lr or lr / 2, fused=True)
        repair(model, subset, retain_loss, optimizer, 0, num_repair_steps, repair_steps, repair_schedule, batch_norm)
        return optimizer

    def complete_repair(optimizer: torch.optim.Optimizer) -> None:
        repair(
            model, subset, retain_loss, optimizer, first_part, repair_steps, repair_steps, repair_schedule, batch_norm
        )

    if impair_lr is not None:
        begin_round(impair_lr, repair_steps)
        return model
    proxies, labels = make_proxies(original, subset, forget_classes, random)
    min_accuracy = (1 - max_relative_accuracy_drop) * retain_accuracy(original, subset)
    state, state_lr = original.state_dict(), None  # from which the next round continues, and the rate of its round
    lr, factor = suit_rate(choose_class_rate(recipe), original), 1.0
    for _ in range(MAX_ROUNDS):
        lr *= factor
        optimizer = begin_round(lr, first_part)
        report_setting("impair_lr", round(lr, 6))
        report_setting("repair_lr", repair_lr or round(lr / 2, 6))
        accuracy = retain_accuracy(model, subset)
        if accuracy < min_accuracy:
            note(f"unsir: a learning rate of {lr:.2g} left {accuracy:.0%} accuracy on the retain subset; it was undone")
            model.load_state_dict(state)
            factor = LOWER
            del optimizer  # its state is twice the network
            continue
        if still_recognised(model, proxies, labels, forget_classes, RECOGNISED) <= proxies_left:
            complete_repair(optimizer)
            return model
        del optimizer  # as above
        state, state_lr = {name: tensor.clone() for name, tensor in model.state_dict().items()}, lr
        factor = HIGHER
    note("unsir: no round forgot the class without losing accuracy on retain; the network may not have forgotten")
    complete_repair(torch.optim.Adam(model.parameters(), repair_lr or (state_lr or lr) / 2, fused=True))
    return model


def count_first_part(repair_steps: int) -> int:
    """Return how many of the repair steps every round takes."""
    return round(BEFORE_TEST * repair_steps)


def bound_steps(settings: Mapping[str, Any], epoch: int) -> dict[str, tuple[int, int]]:
    """Return the smallest and the largest number of steps: without `impair_lr` there are 1 to MAX_ROUNDS rounds."""
    if settings["impair_lr"] is not None:
        return {}
    impair_steps, repair_steps = settings["impair_steps"], settings["repair_steps"]
    most_repair = repair_steps + (MAX_ROUNDS - 1) * count_first_part(repair_steps)
    return {"impair_steps": (impair_steps, MAX_ROUNDS * impair_steps), "repair_steps": (repair_steps, most_repair)}


def choose_retain_loss(
    targets: Literal["labels", "original"], original: nn.Module, retain: Batches, forget_classes: list[int]
) -> RetainLoss:
    """Return the loss of retained records."""
    if targets == "labels":
        return label_loss
    return MaskedDistillation(original, mask_classes(forget_classes, retain.num_outputs, retain.targets.device))


def label_loss(outputs: Tensor, _: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(outputs, y)


def impair(
    model: nn.Module,
    subset: Batches,
    retain_loss: RetainLoss,
    noise: tuple[Tensor, Tensor],
    random: Random,
    num_steps: int,
    noise_ratio: float,
    lr: float,
    batch_norm: BatchNorm,
) -> None:
    """Train on retain records and, in the same batches, on noise that is drawn with replacement and labelled c.

    The loss is the mean over all records of a batch.
    """
    x_noise, y_noise = noise
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    set_training_mode(model, batch_norm)
    steps = track(subset.steps(num_steps), "impair", model, optimizer)
    for x, y in steps:
        rows = random.integers(len(x_noise), max(1, round(noise_ratio * len(x))))
        of_retain, of_noise = model(torch.cat([x, x_noise[rows]])).tensor_split([len(x)])
        losses = retain_loss(of_retain, x, y), F.cross_entropy(of_noise, y_noise[rows])
        loss = torch.lerp(*losses, len(rows) / (len(x) + len(rows)))
        take_step(optimizer, loss)
        steps.log(loss=loss)


def repair(
    model: nn.Module,
    subset: Batches,
    retain_loss: RetainLoss,
    optimizer: torch.optim.Optimizer,
    first: int,
    last: int,
    total: int,
    schedule: Literal["constant", "linear"],
    batch_norm: BatchNorm,
) -> None:
    """Train on retain records only: the steps from `first` to `last` of `total`. A linear rate falls to 0."""
    highest = optimizer.defaults["lr"]
    set_training_mode(model, batch_norm)
    steps = track(subset.steps(last - first), "repair", model, optimizer)
    for x, y in steps:
        share_done = (first + steps.done) / total
        set_learning_rate(optimizer, highest * (1 - share_done if schedule == "linear" else 1.0))
        loss = retain_loss(model(x), x, y)
        take_step(optimizer, loss)
        steps.log(loss=loss)


def size_per_class(size: int, num_classes: int) -> int:
    """Return the number of samples per class: `size`, or fewer if there are many classes."""
    return min(size, max(MIN_PER_CLASS, MAX_TOTAL // num_classes))


def make_proxies(
    original: nn.Module, subset: Batches, forget_classes: list[int], random: Random
) -> tuple[Tensor, Tensor]:
    """Return proxies (n, *shape) that the original classifies as a forgotten class, and these classes (n,)."""
    size = size_per_class(NUM_PROXIES, len(forget_classes))
    rows = random.permutation(subset.num_samples)[:size].sort().values
    start = torch.cat([x for x, _ in subset.take(rows.cpu().numpy()).sequential(CHUNK)])
    samples = start.repeat(len(forget_classes), *[1] * (start.dim() - 1))
    labels = torch.tensor(forget_classes, device=start.device).repeat_interleave(len(start))
    spread = float(start.std())
    proxies, _ = optimise_samples(
        original,
        samples,
        labels,
        random,
        kind="minimize",
        steps=PROXY_STEPS,
        lr=PROXY_LR * spread,
        regularisation=0.0,
        smoothing=PROXY_SMOOTHING * spread,
        phase="proxies",
    )
    succeeded = predict_outputs(original, proxies.split(CHUNK)).argmax(dim=1) == labels
    for number in forget_classes:
        if not (labels[succeeded] == number).any():
            note(f"unsir: no proxy for class number {number} was found; its forgetting cannot be checked")
    return proxies[succeeded], labels[succeeded]


def retain_accuracy(model: nn.Module, subset: Batches) -> float:
    """Return the accuracy on at most CHECKED_RECORDS records of the retain subset, evenly spread."""
    stride = -(-subset.num_samples // CHECKED_RECORDS)
    checked = subset.take(torch.arange(0, subset.num_samples, stride).numpy())
    outputs = predict_outputs(model, (x for x, _ in checked.sequential(CHUNK)))
    return float((outputs.argmax(dim=1) == checked.targets).float().mean())
