"""What hooks take from inside a network that works in two processes: a loss may be made of it alone."""

import json
import os
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.forked import Finished, start_ranks
from unlearn_cli.learning.attention import record
from unlearn_cli.runtime import processes
from unlearn_cli.runtime.run import start


class Residual(nn.Module):
    """A block that is gathered by itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x).relu()


def network() -> nn.Module:
    """A network of which one block is gathered by itself; the layer `3` returns a view."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(8, 1024), Residual(1024), nn.Linear(1024, 6), nn.Unflatten(1, (2, 3)), nn.Flatten(), nn.Linear(6, 4)
    )  # fmt: skip


def loss(model: nn.Module, layer: str) -> Tensor:
    x = torch.linspace(-1, 1, 80).reshape(10, 8)
    with record(model, [layer]) as seen:
        model(x)
        (activation,) = seen.take()
    return activation.square().mean()


def norms(model: nn.Module) -> dict[str, float | None]:
    found = {name: weight.grad for name, weight in model.named_parameters()}
    return {name: None if grad is None else float(processes.full_tensor(grad).norm()) for name, grad in found.items()}


def gradients(layer: str, shard: bool, out: Path) -> int:
    """Be one of two processes; write the gradients of the loss."""
    warnings.simplefilter("error", UserWarning)
    with start(device="cpu", precision="fp32", shard=shard) as run:
        model = run.to_device(network())
        assert len(processes.find_units(model)) == 1
        for _ in range(2):  # a second time, for nothing of the first may be left
            model.zero_grad()
            loss(model, layer).backward()
        (out / f"{run.seed}-{os.environ['RANK']}.json").write_text(json.dumps(norms(model)))
    return 0


@pytest.mark.parametrize("layer, shard", [("1.inner", True), ("3", False)])
def test_a_loss_of_activations_alone_has_the_gradients_of_one_process(layer: str, shard: bool, tmp_path: Path) -> None:
    started = start_ranks(lambda: gradients(layer, shard, tmp_path))
    assert [process.wait() for process in started] == [Finished(0, "", "")] * 2
    model = network()
    loss(model, layer).backward()
    expected = norms(model)
    for path in tmp_path.iterdir():
        found = json.loads(path.read_text())
        assert {name for name, norm in found.items() if norm} == {name for name, norm in expected.items() if norm}
        for name, norm in expected.items():
            assert (found[name] or 0) == pytest.approx(norm or 0, rel=1e-5)
