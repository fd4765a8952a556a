"""What a device can do at most, and which share of that a network uses: products of matrices, and moving memory."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

BACKWARD = 2  # a backward pass is about two forward passes, of operations and of bytes


@dataclass(frozen=True)
class Ceilings:
    """Operations a second by precision, and bytes a second that are read and written."""

    operations: dict[str, float]
    bytes: float

    def told(self) -> str:
        rates = ", ".join(f"{rate / 1e12:.3g} TFLOP/s in {name}" for name, rate in self.operations.items())
        ratio = self.operations["bf16"] / self.operations["fp32"]
        return f"Products of matrices: {rates} ({ratio:.1f} x); copies: {self.bytes / 1e9:.4g} GB/s read and written."


def measured(device: str) -> Ceilings:
    """Multiply random square matrices, and copy a tensor much larger than any cache: the best of twenty."""
    size, numbers = (8192, 1 << 30) if device == "cuda" else (2048, 1 << 26)
    operations = {}
    for name, precision in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a, b = (torch.randn(size, size, device=device, dtype=precision) for _ in range(2))
        operations[name] = 2 * size**3 / best(lambda a=a, b=b: a @ b, device)
    source = torch.randn(numbers // 4, device=device)
    target = torch.empty_like(source)
    return Ceilings(operations, 2 * source.nbytes / best(lambda: target.copy_(source), device))


def best(act: Callable[[], Any], device: str, count: int = 20) -> float:
    return min(timed(act, device) for _ in range(count))


def timed(act: Callable[[], Any], device: str) -> float:
    begun = time.perf_counter()
    act()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


@dataclass(frozen=True)
class Work:
    """What a forward pass takes a sample: operations, and numbers that its layers read and write, one by one."""

    operations: float
    numbers: float

    @staticmethod
    def of(model: nn.Module, shape: tuple[int, ...], device: torch.device) -> "Work":
        """Count a forward pass of 8 samples."""
        numbers, x = [0], torch.zeros(8, *shape, device=device)

        def seen(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            numbers[0] += sum(tensor.numel() for tensor in (*inputs, output) if isinstance(tensor, Tensor))

        leaves = [module for module in model.modules() if not list(module.children())]
        hooks = [leaf.register_forward_hook(seen) for leaf in leaves]
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model.eval()(x)
        for hook in hooks:
            hook.remove()
        return Work(counter.get_total_flops() / len(x), numbers[0] / len(x))

    def shares(self, samples_a_second: float, train: bool, precision: str, ceilings: Ceilings) -> str:
        """Return per cent of both ceilings; activations are moved in the precision that is computed in."""
        passes = samples_a_second * (1 + BACKWARD * train)
        width = 2 if precision == "bf16" else 4
        computed = passes * self.operations / ceilings.operations[precision]
        return f"{computed:.1%} / {passes * self.numbers * width / ceilings.bytes:.1%}"
