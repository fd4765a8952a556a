"""Learned noise: inputs on which a network's loss for a class is as large (or small) as possible.

Used by `unlearn-cli noise`, `unsir` and `emmn`. Idea: optimise the pixels N, never the weights.

    maximize: J(N) = -CE(M(N), c) + lambda R(N)        minimize: J(N) = CE(M(N), c) + lambda R(N)

with R the mean over the batch of 3072 times the mean square of a sample's numbers: for 3x32x32 images the sum of
squares of the authors' code; for any other size, each number is pulled to 0 with the same strength.

Source: Tarun et al., Fast Yet Effective Machine Unlearning (arXiv 2111.08947), section IV; Chundawat et al., Zero-Shot
Machine Unlearning (arXiv 2201.05629), for the minimising kind. Needs the network and the class numbers, no data.
Warning: the noise is in the normalised input space and is not clamped; it does not show a training image.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from unlearn_cli.checkpoints import safetensors_header
from unlearn_cli.errors import UserError
from unlearn_cli.plugins.types import Doc
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.run import show_samples
from unlearn_cli.runtime.seeds import Random
from unlearn_cli.runtime.tensor_file import LazyTensors, write_tensors

REFERENCE_NUMBERS = 3072  # of a 3x32x32 image, for which the authors chose lambda = 0.1
CHUNK = 256  # samples per forward pass; they are independent of each other


@dataclass(frozen=True)
class Noise:
    """Noise for several classes: `samples` (K, B, *shape) in normalised space, and the numbers `classes` (K,)."""

    samples: Tensor
    classes: list[int]
    kind: str
    curve: list[float]
    settings: dict[str, str]

    def labelled(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return all samples (K * B, *shape) with their class numbers (K * B,)."""
        labels = torch.tensor(self.classes, device=device).repeat_interleave(self.samples.shape[1])
        return self.samples.flatten(0, 1).to(device), labels


def learn_noise(
    original: nn.Module,
    forget_classes: list[int],
    input_shape: tuple[int, ...],
    random: Random,
    *,
    kind: Annotated[
        Literal["maximize", "minimize"], Doc("maximise the network's loss for the class, or minimise it")
    ] = "maximize",
    steps: Annotated[NonNegativeInt, Doc("optimisation steps")] = 40,
    size: Annotated[PositiveInt, Doc("noise samples per class")] = 256,
    lr: Annotated[PositiveFloat, Doc("learning rate of Adam on the samples")] = 0.1,
    regularisation: Annotated[NonNegativeFloat, Doc("lambda, which pulls the samples towards 0")] = 0.1,
    init: Annotated[
        Literal["normal", "uniform"], Doc("distribution of the first samples, of mean 0 and variance 1")
    ] = "normal",
    smoothing: Annotated[
        NonNegativeFloat, Doc("standard deviation of the noise that is added to the samples in each step")
    ] = 0.0,
) -> Noise:
    """Learn `size` samples per class, for all classes together: the number of steps is independent of their number."""
    samples, labels = draw_samples(forget_classes, input_shape, random, size, init)
    learned, curve = optimise_samples(
        original,
        samples,
        labels,
        random,
        kind=kind,
        steps=steps,
        lr=lr,
        regularisation=regularisation,
        smoothing=smoothing,
    )
    settings = {"steps": str(steps), "lr": str(lr), "regularisation": str(regularisation), "init": init}
    settings |= {"smoothing": str(smoothing)} if smoothing else {}
    learned = learned.unflatten(0, (len(forget_classes), size))
    show_samples("noise", learned, forget_classes, kind)
    return Noise(learned, forget_classes, kind, curve, settings)


def optimise_samples(
    original: nn.Module,
    samples: Tensor,
    labels: Tensor,
    random: Random,
    *,
    kind: str,
    steps: int,
    lr: float,
    regularisation: float,
    smoothing: float = 0.0,
    phase: str = "noise",
) -> tuple[Tensor, list[float]]:
    """Minimise J over the samples (B, *shape) with Adam; return each one's best state, and the curve of the mean of J.

    The best state is that of lowest J before the first step, between two steps or after the last one; the curve has the
    mean of J before each step. The network is used in eval mode with its weights frozen; weights and buffers do not
    change. With `smoothing`, new normal noise of that standard deviation is added to the samples in each step, so that
    the result is a region and not an adversarial point.
    """
    samples = samples.detach().clone().requires_grad_()
    best, lowest = samples.detach().clone(), torch.full((len(samples),), torch.inf, device=samples.device)
    shift = torch.zeros_like(best)
    optimizer = torch.optim.Adam([samples], lr, fused=True)
    original.eval()

    def compare_with_best() -> Tensor:
        """Evaluate J of each sample (B,), with its gradient, and keep the states that are better than before."""
        parts = [
            compute_objective(original, part, moved, label, kind, regularisation)
            for part, moved, label in zip(*(t.split(CHUNK) for t in (samples, shift, labels)), strict=True)
        ]
        values = torch.cat([value for value, _ in parts])
        samples.grad = torch.cat([gradient for _, gradient in parts])
        keep_best(values, samples, best, lowest)
        return values

    progress = track(range(steps), phase, samples, optimizer, best, lowest, shift)
    for _ in progress:
        if smoothing:
            shift.copy_(smoothing * random.normal(*samples.shape))
        objective = compare_with_best()
        optimizer.step()
        progress.log(objective=objective.mean())
    if steps:
        compare_with_best()  # the last step has changed the samples; their jitter is that of this step
    return best, [float(value) for value in progress.logged.get("objective", [])]


def draw_samples(
    classes: list[int], shape: tuple[int, ...], random: Random, size: int, init: str
) -> tuple[Tensor, Tensor]:
    """Return the initial samples, with mean 0 and variance 1, and their class numbers."""
    count = len(classes) * size
    draws = random.normal(count, *shape) if init == "normal" else (random.uniform(count, *shape) - 0.5) * 12**0.5
    return draws, torch.tensor(classes, device=draws.device).repeat_interleave(size)


def compute_objective(
    model: nn.Module, samples: Tensor, shift: Tensor, labels: Tensor, kind: str, regularisation: float
) -> tuple[Tensor, Tensor]:
    """Return J of each sample (B,), evaluated at `samples + shift`, and its gradient (B, *shape)."""
    sign = -1.0 if kind == "maximize" else 1.0
    outputs = model(samples + shift)
    check_differentiable(outputs)
    cross_entropy = F.cross_entropy(outputs, labels, reduction="none")
    penalty = REFERENCE_NUMBERS * samples.square().flatten(1).mean(dim=1)
    values = sign * cross_entropy + regularisation * penalty
    (gradient,) = torch.autograd.grad(values.sum(), samples)
    return values.detach(), gradient


def check_differentiable(outputs: Tensor) -> None:
    """Refuse a frozen network whose outputs are not differentiable in its samples.

    Raises:
        UserError: no gradient reaches the samples.
    """
    if not outputs.requires_grad:
        raise UserError(
            "no gradient reaches the samples (word numbers are not differentiable), so none can be learned; "
            "use a method that reads records"
        )


@torch.no_grad()
def keep_best(objective: Tensor, samples: Tensor, best: Tensor, lowest: Tensor) -> None:
    """Keep each sample's state with the lowest J so far, in place."""
    better = objective < lowest
    best[better] = samples[better].detach()
    lowest[better] = objective[better]


def save_noise(path: Path, noise: Noise, metadata: dict[str, str]) -> None:
    """Write noise as safetensors: `samples`, and in the metadata its classes, kind, settings and loss curve."""
    facts = {
        "format": "pt",
        "kind": noise.kind,
        "classes": json.dumps(noise.classes),
        "curve": json.dumps(noise.curve),
        "settings": json.dumps(noise.settings, sort_keys=True),
        **metadata,
    }
    write_tensors(path, LazyTensors({"samples": noise.samples}), facts)


def load_noise(path: Path, input_shape: tuple[int, ...]) -> Noise:
    """Read noise that `unlearn-cli noise` wrote.

    Raises:
        UserError: the file is not a noise file, or its noise is for inputs of another shape.
    """
    facts = safetensors_header.read(path).metadata
    try:
        with safe_open(path, framework="pt") as file:
            samples = file.get_tensor("samples")
        noise = Noise(samples, json.loads(facts["classes"]), facts["kind"], json.loads(facts["curve"]), {})
        _check_noise(noise)
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError):
        raise UserError(f"{path}: is not a noise file; 'unlearn-cli noise' writes one") from None
    if tuple(samples.shape[2:]) != input_shape:
        shape = list(samples.shape[2:])
        raise UserError(f"{path}: has noise of shape {shape}, but input.shape is {list(input_shape)}; learn new noise")
    show_samples("noise", samples, noise.classes, noise.kind)
    return noise


def _check_noise(noise: Noise) -> None:
    """Raise ValueError for noise that `save_noise` never writes."""
    numbers = isinstance(noise.classes, list) and all(type(number) is int and number >= 0 for number in noise.classes)
    if not numbers or len(set(noise.classes)) < len(noise.classes) or noise.kind not in ("maximize", "minimize"):
        raise ValueError("classes or kind")
    samples = noise.samples
    if samples.dim() < 3 or len(samples) != len(noise.classes) or not samples.shape[1]:
        raise ValueError("shape")
    if not samples.is_floating_point() or not samples.isfinite().all():
        raise ValueError("values")
