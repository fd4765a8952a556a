"""UNSIR: unlearning by selective impair and repair. Forgets whole classes without ever seeing their records.

Idea: learn noise that the network finds as unlike class c as can be, label it c, and train on it beside retain data with
a high learning rate, which overwrites the weights that encode c (impair); then train on retain alone (repair).

    noise:   N_c = argmin_N -CE(M(N), c) + lambda R(N)                       (M frozen, in eval mode)
    impair:  theta <- argmin CE on {(N_c[b], c)} and retain subset
    repair:  theta <- argmin CE on retain subset                             (fresh optimizer)

Source: Tarun, Chundawat, Mandal, Kankanhalli: Fast Yet Effective Machine Unlearning, arXiv 2111.08947, section IV. Needs a
labelled part of `retain` and the class numbers. Warning: whole classes only, for noise has no meaning for single records.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.noise import Noise, learn_noise
from unlearn_cli.runtime import Random, track
from unlearn_cli.training import training_mode


def unsir(
    model: nn.Module, original: nn.Module, retain: Batches, forget_classes: list[int], input_shape: tuple[int, ...],
    random: Random, *,
    noise: Noise | None = None, noise_steps: NonNegativeInt = 40, noise_size: PositiveInt = 256,
    noise_lr: PositiveFloat = 0.1, regularisation: NonNegativeFloat = 0.1,
    noise_share: PositiveFloat = 0.25, retain_per_class: PositiveInt = 1000,
    impair_epochs: PositiveInt = 1, impair_lr: PositiveFloat = 0.02,
    repair_epochs: PositiveInt = 1, repair_lr: PositiveFloat = 0.01,
    batch_norm: Literal["batch", "frozen"] = "batch",
) -> nn.Module:  # fmt: skip
    """Impair with noise and retain records, then repair with the same retain records."""
    if noise is None:
        noise = learn_noise(
            original, forget_classes, input_shape, random,
            steps=noise_steps, size=noise_size, lr=noise_lr, regularisation=regularisation,
        )  # fmt: skip
    x_noise, y_noise = noise.labelled(random.device)
    subset = retain.per_class(retain_per_class)
    training_mode(model, batch_norm)

    optimizer = torch.optim.Adam(model.parameters(), impair_lr)
    impair = track(subset.epochs(impair_epochs), "impair", model, optimizer)
    for x, y in impair:
        chosen = random.integers(len(x_noise), max(1, round(noise_share * len(x))))
        outputs = model(torch.cat([x, x_noise[chosen]]))
        loss = F.cross_entropy(outputs, torch.cat([y, y_noise[chosen]]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        impair.log(loss=loss)

    optimizer = torch.optim.Adam(model.parameters(), repair_lr)
    repair = track(subset.epochs(repair_epochs), "repair", model, optimizer)
    for x, y in repair:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        repair.log(loss=loss)
    return model
