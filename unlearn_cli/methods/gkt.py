"""GKT: gated knowledge transfer. Teaches a network with new weights all but the forgotten classes, without any data.

Idea: a generator makes samples on which teacher T (the original) and student S (new weights) disagree, the student
learns the teacher's answers on them, and nothing that speaks of the forgotten classes F may reach it.

    q(x) = softmax(T(x) / tau), the columns of F set to 0 and the rest renormalised      (`targets: corrected`)
    D(x) = KL(q(x) || softmax(S(x) / tau)), averaged over the samples x = G(z) that pass the gate max_F p_T(x) < epsilon
    generator: minimise -D + confidence_weight * CE(r, argmax r) - balance_weight * H(mean of r)
    student:   minimise D + attention_weight * sum over layers of the attention loss

with r(x) the teacher's probabilities of the kept classes, whatever the targets. A cycle is one step of the
generator and `student_steps_per_cycle` of the student.

Source: Chundawat et al., Zero-Shot Machine Unlearning, arXiv 2201.05629, section IV. Needs no data at all: the
original, new weights and the class numbers.
Warning: whole classes only. The student is another network, a few points worse on what it keeps, and the teacher's
answers still tell it which kept class a record of F resembles: that it never answers F does not prove F forgotten.

The paper's gate leaks: below epsilon the teacher still tells the forgotten class apart, and in the authors' own run the
student had 76 % of it back at the end. It starves, too: ever fewer samples pass. By default the targets are corrected
instead, so that the student's probability of F is driven to 0 on every sample: nothing leaks or starves, and nothing
need be stopped in time. To keep more of the rest there are, beyond the paper: terms that make the samples decisive and
their classes equally frequent (Chen et al., arXiv 1904.01186), a memory of earlier samples (Binici et al., arXiv
2108.05698), a falling learning rate, and a generator of fewer maps, which costs less.
"""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.learning.attention import attention_loss, choose_layers, record
from unlearn_cli.learning.generator import Memory, make_generator
from unlearn_cli.learning.noise import check_depends
from unlearn_cli.learning.training import lr_factor, set_learning_rate
from unlearn_cli.plugins.types import Fraction
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.run import default_batch_size, note
from unlearn_cli.runtime.seeds import Random

SUMMARY = "a new network learns from generated samples; no data"
TASK = "classification"


def gkt(
    original: nn.Module,
    fresh: nn.Module,
    forget_classes: list[int],
    input_shape: tuple[int, ...],
    random: Random,
    *,
    cycles: PositiveInt = 300,
    batch_size: Annotated[int, Field(ge=2)] | None = None,
    student_steps_per_cycle: PositiveInt = 10,
    code_size: PositiveInt = 128,
    generator_width: PositiveInt = 16,
    generator_lr: PositiveFloat = 1e-3,
    student_lr: PositiveFloat = 5e-3,
    schedule: Literal["constant", "cosine"] = "cosine",
    max_grad_norm: PositiveFloat = 5.0,
    targets: Literal["original", "corrected"] = "corrected",
    gate: Fraction | None = None,
    restart_after: PositiveInt = 100,
    temperature: PositiveFloat = 1.0,
    attention_weight: NonNegativeFloat | None = None,
    layers: list[str] | None = None,
    confidence_weight: NonNegativeFloat = 1.0,
    balance_weight: NonNegativeFloat = 5.0,
    memory_size: NonNegativeInt = 8192,
    memory_share: Fraction = 0.5,
) -> nn.Module:
    """Distil the original into `fresh` over `cycles` generated batches, of `--batch-size` samples unless
    `batch_size` is given.

    `gate` is epsilon; without it every sample passes. After `restart_after` cycles in a row in which fewer than two did
    the generator gets new weights. `memory_share` is the share of a student batch that comes from the
    last `memory_size` samples.
    `attention_weight` is 2500 (the paper's 250 for a KL divergence averaged over 10 classes, too), and 0 for networks
    with batch norm: the student's runs on the statistics of the batch, and its maps cannot be those of the teacher.
    """
    if batch_size is None:
        batch_size = max(2, default_batch_size())  # batch norm refuses a batch of one
    if attention_weight is None:
        attention_weight = 0.0 if has_batch_norm(original) else 2500.0
    generator = make_generator(input_shape, random, code_size=code_size, width=generator_width)
    generator_optimizer = torch.optim.Adam(generator.parameters(), generator_lr, fused=True)
    student_optimizer = torch.optim.Adam(fresh.parameters(), student_lr, fused=True)
    earlier, starved = Memory(memory_size, input_shape, random.device), torch.zeros(1, dtype=torch.long)
    state = (generator, generator_optimizer, fresh, student_optimizer, earlier.samples, earlier.added, starved)
    layers = choose_layers(original, input_shape, layers) if attention_weight else []
    dropped = forget_classes if targets == "corrected" else []
    progress = track(range(cycles), "distil", *state)
    fresh.train()
    for _ in progress:
        for optimizer, lr in ((generator_optimizer, generator_lr), (student_optimizer, student_lr)):
            set_learning_rate(optimizer, lr * lr_factor(schedule, progress.share_done))
        codes = random.normal(batch_size, code_size)
        x = generator(codes)
        teacher_outputs, student_outputs = original(x), fresh(x)
        check_depends(teacher_outputs)
        passed = passes(teacher_outputs, forget_classes, gate)
        parted = disagreement(teacher_outputs, student_outputs, dropped, temperature)[passed].mean()  # NaN if none did
        if passed.any():
            loss = -parted + unlikeness(without(teacher_outputs, forget_classes), confidence_weight, balance_weight)
            step(loss, generator, generator_optimizer, max_grad_norm)
        with torch.no_grad():  # the second and last pass of a cycle through the generator
            x = generator(codes)
            x = x[passes(original(x), forget_classes, gate)]
        enough = len(x) > 1  # batch norm refuses a batch of one
        starved.copy_(torch.zeros_like(starved) if enough else starved + 1)
        if not enough and int(starved) % restart_after == 0:
            renew(generator, generator_optimizer, input_shape, random, code_size, generator_width)
        earlier.add(x)
        loss = torch.tensor(math.nan)
        for _ in range(student_steps_per_cycle if enough else 0):
            batch = mixed(x, earlier, round(memory_share * len(x)), random)
            loss = student_loss(original, fresh, batch, dropped, temperature, layers, attention_weight)
            step(loss, fresh, student_optimizer, max_grad_norm)
        leaked = student_outputs.detach().float().softmax(dim=1)[:, forget_classes].sum(dim=1).mean()
        progress.log(disagreement=parted, passed=len(x) / batch_size, forget_probability=leaked, student_loss=loss)
    return fresh


def has_batch_norm(model: nn.Module) -> bool:
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())


def passes(teacher_outputs: Tensor, forget_classes: list[int], gate: float | None) -> Tensor:
    """Say which samples (B,) the teacher gives a probability below `gate` for each of the forgotten classes."""
    if gate is None or not forget_classes:
        return torch.ones(len(teacher_outputs), dtype=torch.bool, device=teacher_outputs.device)
    return teacher_outputs.detach().float().softmax(dim=1)[:, forget_classes].amax(dim=1) < gate


def without(outputs: Tensor, classes: list[int]) -> Tensor:
    """Return the columns (B, K - n) of all other classes."""
    return outputs[:, [number for number in range(outputs.shape[1]) if number not in classes]]


def disagreement(teacher_outputs: Tensor, student_outputs: Tensor, dropped: list[int], temperature: float) -> Tensor:
    """Return D of each sample (B,), the teacher's probabilities of `dropped` set to 0 and the rest renormalised.

    What the student holds for probable among `dropped` it lacks in all that counts: that drives it to 0.
    """
    log_targets = without(teacher_outputs.float() / temperature, dropped).log_softmax(dim=1)
    log_answers = without((student_outputs.float() / temperature).log_softmax(dim=1), dropped)
    return (log_targets.exp() * (log_targets - log_answers)).sum(dim=1)


def unlikeness(outputs: Tensor, confidence_weight: float, balance_weight: float) -> Tensor:
    """Return the loss of samples that are unlike data: undecided, or most of them of the same few classes."""
    log_probabilities = outputs.float().log_softmax(dim=1)
    frequency = log_probabilities.exp().mean(dim=0).clamp(min=1e-12)
    return (
        balance_weight * (frequency * frequency.log()).sum() - confidence_weight * log_probabilities.amax(dim=1).mean()
    )


def student_loss(
    original: nn.Module,
    fresh: nn.Module,
    x: Tensor,
    dropped: list[int],
    temperature: float,
    layers: list[str],
    attention_weight: float,
) -> Tensor:
    """Return what the student minimises: the disagreement, and the distance of its attention from the teacher's."""
    with record(original, layers) as seen, torch.no_grad():
        teacher_outputs, taught = original(x), seen.take()
    with record(fresh, layers) as seen:
        student_outputs, own = fresh(x), seen.take()
    loss = disagreement(teacher_outputs, student_outputs, dropped, temperature).mean()
    return loss + attention_weight * attention_loss(own, taught) if layers else loss


def mixed(x: Tensor, earlier: Memory, num_earlier: int, random: Random) -> Tensor:
    """Return a batch of the size of x (B, *shape), with `num_earlier` samples of the memory in place of some of x."""
    if num_earlier == 0 or len(earlier.samples) == 0:
        return x
    kept = random.permutation(len(x))[num_earlier:]
    return torch.cat([x[kept], earlier.draw(num_earlier, random)])


def step(loss: Tensor, network: nn.Module, optimizer: torch.optim.Optimizer, max_grad_norm: float) -> None:
    """Change this network alone. The loss may depend on the student, too, but its own step begins with zero gradients.

    (Not `backward(inputs=...)`: the weights that a network divided among processes works with are not its parameters.)
    """
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), max_grad_norm)
    optimizer.step()


def renew(
    generator: nn.Module,
    optimizer: torch.optim.Optimizer,
    input_shape: tuple[int, ...],
    random: Random,
    code_size: int,
    width: int,
) -> None:
    """Begin with a new generator: from where this one is no gradient leads back, since nothing passes."""
    other = make_generator(input_shape, random, code_size=code_size, width=width)
    generator.load_state_dict(other.state_dict())
    optimizer.state.clear()
    note("gkt: the gate let no sample pass for long; the generator began anew")
