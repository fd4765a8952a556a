"""UNSIR: unlearning by selective impair and repair. Forgets whole classes without ever seeing their records.

Idea: learn noise that the network finds as unlike class c as can be, label it c, and train on it beside retain records
with a high learning rate, which overwrites the weights that encode c (impair); then train on retain alone (repair).

    noise:   N_c = argmin_N -CE(M(N), c) + lambda R(N)                  (M frozen, in eval mode)
    impair:  theta <- Adam steps on CE over {(N_c[b], c)} and a retain subset, in the same batches
    repair:  theta <- Adam steps on CE over the retain subset           (a new optimizer; lr falls to 0)

Source: Tarun, Chundawat, Mandal, Kankanhalli: Fast Yet Effective Machine Unlearning, arXiv 2111.08947, section IV.
Needs a labelled part of `retain` and the class numbers.
Warning: whole classes only, for noise has no meaning for single records.

The paper's learning rate (0.02) destroys networks that are trained well, and no fixed one suits all. Without
`impair_lr` the method goes in rounds until class proxies are no longer recognised: impair, and the first part of the
repair; then, if that was not enough, on from there with 1.5 times the learning rate. A round that destroys the network
is undone and followed by one with a third of it. The last round's repair is then finished. Proxies are retain records
moved, under the original network, until it calls them c (error-minimising noise that starts from records); they stand
in for the records of c that it never sees.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.noise import CHUNK, Noise, learn_noise, optimise_samples
from unlearn_cli.learning.training import predict_outputs, set_learning_rate, set_training_mode
from unlearn_cli.plugins.types import Fraction
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.run import note, report_setting
from unlearn_cli.runtime.seeds import Random

SUMMARY = "error-maximising noise, impair, repair; whole classes only"

LEARNING_RATE, HIGHER, LOWER, ROUNDS = 3e-3, 1.5, 1 / 3, 6  # of the first round, the factors, and the most rounds
RECOGNISED = (
    0.3  # the probability of c above which a proxy counts as still recognised; the rest of the repair lowers it
)
PROXIES, PROXY_STEPS = 64, 25
NOISE, TOGETHER, FEWEST = 32, 128, 8  # noise a class; samples of all classes together; and a class, however many
PROXY_LR, PROXY_SMOOTHING = 0.05, 0.5  # in standard deviations of the inputs
JUDGED = 0.22  # share of the repair steps after which a round is judged
CHECKED_RECORDS = 1000  # of retain, by which a round that destroys the network is told


def unsir(
    model: nn.Module,
    original: nn.Module,
    retain: Batches,
    forget_classes: list[int],
    input_shape: tuple[int, ...],
    random: Random,
    *,
    noise: Noise | None = None,
    noise_steps: NonNegativeInt = 25,
    noise_size: PositiveInt | None = None,
    noise_lr: PositiveFloat = 0.1,
    regularisation: NonNegativeFloat = 0.1,
    noise_ratio: PositiveFloat = 0.33,
    retain_per_class: PositiveInt = 1000,
    impair_steps: PositiveInt = 25,
    repair_steps: NonNegativeInt = 90,
    impair_lr: PositiveFloat | None = None,
    repair_lr: PositiveFloat | None = None,
    proxies_left: Fraction = 0.05,
    max_relative_accuracy_drop: Fraction = 0.5,
    batch_norm: Literal["batch", "frozen"] = "batch",
) -> nn.Module:
    """Impair and repair once with `impair_lr` (`repair_lr`: half of it), or in rounds until the class is forgotten.

    `noise_size` is the number of noise samples a class: 32, of more than four classes 128 in all (8 or more each), so
    that what it costs hardly grows with the classes. `noise_ratio` is their number for each retain record of an impair
    batch. Rounds end when at most `proxies_left` of the proxies of every class are still recognised; one that loses
    more than the share `max_relative_accuracy_drop` of the original's accuracy on the retain subset is undone.
    """
    if noise is None:
        size = noise_size or a_class(NOISE, len(forget_classes))
        noise = learn_noise(
            original,
            forget_classes,
            input_shape,
            random,
            steps=noise_steps,
            size=size,
            lr=noise_lr,
            regularisation=regularisation,
        )
    subset = retain.per_class(retain_per_class)
    x_noise, y_noise = noise.labelled(random.device)

    begun = round(JUDGED * repair_steps)

    def begin(lr: float) -> torch.optim.Optimizer:
        impair(model, subset, x_noise, y_noise, random, impair_steps, noise_ratio, lr, batch_norm)
        optimizer = torch.optim.Adam(model.parameters(), repair_lr or lr / 2, fused=True)
        repair(model, subset, optimizer, 0, begun, repair_steps, batch_norm)
        return optimizer

    def finish(optimizer: torch.optim.Optimizer) -> None:
        repair(model, subset, optimizer, begun, repair_steps, repair_steps, batch_norm)

    if impair_lr is not None:
        finish(begin(impair_lr))
        return model
    proxies, labels = class_proxies(original, subset, forget_classes, random)
    lowest = (1 - max_relative_accuracy_drop) * retain_accuracy(original, subset)
    state, state_lr = original.state_dict(), None  # what the next round goes on from, and the rate that led there
    lr, factor = LEARNING_RATE, 1.0
    for _ in range(ROUNDS):
        lr *= factor
        optimizer = begin(lr)
        report_setting("impair_lr", round(lr, 6))
        accuracy = retain_accuracy(model, subset)
        if accuracy < lowest:
            note(f"unsir: a learning rate of {lr:.2g} left {accuracy:.0%} accuracy on the retain subset; it was undone")
            model.load_state_dict(state)
            factor = LOWER
            del optimizer  # its state is twice the network
            continue
        if still_recognised(model, proxies, labels, forget_classes) <= proxies_left:
            finish(optimizer)
            return model
        del optimizer  # as above
        state, state_lr = {name: tensor.clone() for name, tensor in model.state_dict().items()}, lr
        factor = HIGHER
    note("unsir: no round made the network lose all proxies without losing retain; it may not have forgotten")
    finish(torch.optim.Adam(model.parameters(), repair_lr or (state_lr or lr) / 2, fused=True))
    return model


def impair(
    model: nn.Module,
    subset: Batches,
    x_noise: Tensor,
    y_noise: Tensor,
    random: Random,
    num_steps: int,
    noise_ratio: float,
    lr: float,
    batch_norm: Literal["batch", "frozen"],
) -> None:
    """Train on retain records and, in the same batches, on noise that is drawn with replacement and labelled c."""
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    set_training_mode(model, batch_norm)
    steps = track(subset.steps(num_steps), "impair", model, optimizer)
    for x, y in steps:
        chosen = random.integers(len(x_noise), max(1, round(noise_ratio * len(x))))
        loss = F.cross_entropy(model(torch.cat([x, x_noise[chosen]])), torch.cat([y, y_noise[chosen]]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps.log(loss=loss)


def repair(
    model: nn.Module,
    subset: Batches,
    optimizer: torch.optim.Optimizer,
    first: int,
    last: int,
    total: int,
    batch_norm: Literal["batch", "frozen"],
) -> None:
    """Train on retain records alone: the steps from `first` to `last` of `total`, over which the rate falls to 0."""
    highest = optimizer.defaults["lr"]
    set_training_mode(model, batch_norm)
    steps = track(subset.steps(last - first), "repair", model, optimizer)
    for x, y in steps:
        set_learning_rate(optimizer, highest * (1 - (first + steps.done) / total))
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps.log(loss=loss)


def a_class(most: int, num_classes: int) -> int:
    """Return how many samples of a kind each class gets."""
    return min(most, max(FEWEST, TOGETHER // num_classes))


def class_proxies(
    original: nn.Module, subset: Batches, forget_classes: list[int], random: Random
) -> tuple[Tensor, Tensor]:
    """Return proxies (n, *shape) and the class each stands for (n,): those that the original does take for it."""
    count = a_class(PROXIES, len(forget_classes))
    chosen = random.permutation(subset.num_samples)[:count].sort().values
    start = torch.cat([x for x, _ in subset.take(chosen.cpu().numpy()).sequential(CHUNK)])
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
    taken = predict_outputs(original, proxies.split(CHUNK)).argmax(dim=1) == labels
    for number in forget_classes:
        if not (labels[taken] == number).any():
            note(f"unsir: no retain record becomes class number {number}; nothing shows when it is forgotten")
    return proxies[taken], labels[taken]


def still_recognised(
    model: nn.Module, proxies: Tensor, labels: Tensor, forget_classes: list[int], probability: float = RECOGNISED
) -> float:
    """Return the largest share, over the classes, of proxies whose class is more probable than that.

    A class without proxies counts as recognised: nothing shows that it is forgotten.
    """
    if not all((labels == number).any() for number in forget_classes):
        return 1.0
    probabilities = predict_outputs(model, proxies.split(CHUNK)).softmax(dim=1)
    recognised = probabilities[torch.arange(len(labels), device=labels.device), labels] > probability
    return max(float(recognised[labels == label].float().mean()) for label in labels.unique())


def retain_accuracy(model: nn.Module, subset: Batches) -> float:
    """Return the accuracy on at most CHECKED_RECORDS records of the retain subset, evenly spread."""
    stride = -(-subset.num_samples // CHECKED_RECORDS)
    checked = subset.take(torch.arange(0, subset.num_samples, stride).numpy())
    outputs = predict_outputs(model, (x for x, _ in checked.sequential(CHUNK)))
    return float((outputs.argmax(dim=1) == checked.targets).float().mean())
