import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.tiny import same
from unlearn_cli.errors import Interrupted
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.run import start
from unlearn_cli.runtime.state import is_intact, load, save, seal_with


def test_without_a_run_track_is_a_plain_iterator() -> None:
    steps = track(range(3), "phase")
    assert list(steps) == [0, 1, 2]
    assert list(track(range(0), "phase")) == []


def test_curves_reach_the_run_with_null_for_what_is_not_finite() -> None:
    with start(device="cpu") as run:
        steps = track(range(3), "impair")
        for step in steps:
            steps.log(loss=torch.tensor([1.0, float("nan"), 3.0][step]))
        for _ in track(range(2), "impair"):
            pass
    assert run.curves[0].model_dump() == {"phase": "impair", "name": "loss", "values": [1.0, None, 3.0]}
    assert run.cost.optimizer_steps == 5
    assert run.phases == ["impair", "impair"]


def small_training(partial: Path | None, stop_at: int | None) -> tuple[dict[str, Tensor], list[float | None]]:
    """Two phases with dropout, Adam, a scheduler-like use of share_done and draws from the run's random stream."""
    with start(device="cpu", seed=3, partial=partial) as run:
        with run.fresh_weights("fresh"):
            model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
        for phase in ("impair", "repair"):
            optimizer = torch.optim.Adam(model.parameters(), 1e-2)
            steps = track(range(6), phase, model, optimizer)
            for step in steps:
                optimizer.param_groups[0]["lr"] = 1e-2 * (1 - steps.share_done)
                loss = model(run.random.normal(16, 4)).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                steps.log(loss=loss)
                if phase == "repair" and step == stop_at:
                    signal.raise_signal(signal.SIGTERM)
    return model.state_dict(), [value for curve in run.curves for value in curve.values]


@pytest.mark.parametrize("stop_at", [0, 3, 5])
def test_an_interrupted_run_goes_on_and_ends_as_if_nothing_had_happened(
    tmp_path: Path, stop_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unlearn_cli.runtime.progress.WORTH_SAVING_SECONDS", 0.0)
    undisturbed = small_training(None, None)
    with pytest.raises(Interrupted, match=f"after step {stop_at + 1} of repair"):
        small_training(tmp_path, stop_at)
    resumed = small_training(tmp_path, None)
    assert same(undisturbed[0], resumed[0])
    assert undisturbed[1] == resumed[1]


def truncated(data: bytes) -> bytes:
    return data[:-4]


def one_bit_flipped(position: float) -> Callable[[bytes], bytes]:
    """Return a function that flips a bit somewhere, at a share of the length."""

    def flip(data: bytes) -> bytes:
        place = int(position * (len(data) - 1))
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    return flip


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "truncated": truncated, "in the header": lambda data: data[:300], "empty": lambda data: b"",
    "longer": lambda data: data + b"0", "no digest": lambda data: data.replace(b'"digest"', b'"digesx"'),
    "facts": lambda data: data.replace(b'\\"done\\": 4', b'\\"done\\": 5'),
    "header length": lambda data: b"\xff" * 8 + data[8:],
    **{f"bit at {share}": one_bit_flipped(share) for share in (0.0, 0.01, 0.3, 0.6, 0.9, 1.0)},
}  # fmt: skip


@pytest.mark.parametrize("phase", ["impair", "repair"])
@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_state_is_discarded_and_the_run_ends_as_if_nothing_had_happened(
    tmp_path: Path, name: str, phase: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("unlearn_cli.runtime.progress.WORTH_SAVING_SECONDS", 0.0)
    undisturbed = small_training(None, None)
    with pytest.raises(Interrupted):
        small_training(tmp_path, 3)
    path = tmp_path / f"{phase}.safetensors"
    damaged = DAMAGE[name](path.read_bytes())
    if name == "facts" and phase == "impair":
        damaged = path.read_bytes().replace(b'\\"done\\": 6', b'\\"done\\": 5')
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)
    resumed = small_training(tmp_path, None)
    assert same(undisturbed[0], resumed[0])
    assert undisturbed[1] == resumed[1]
    assert f"{phase}.safetensors: this saved state is truncated or was changed" in capsys.readouterr().err


def test_a_state_that_was_saved_with_another_key_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    with seal_with(b"a key"):
        save(path, [torch.arange(3.0)], {})
        assert is_intact(path)
    assert not is_intact(path)
    save(path, [torch.arange(3.0)], {"digest": '"digest":"'})
    assert is_intact(path)
    with seal_with(b"a key"):
        assert not is_intact(path)


def test_a_second_signal_ends_the_run_at_once() -> None:
    with start(device="cpu"), pytest.raises(KeyboardInterrupt):
        for _ in track(range(3), "phase"):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            time.sleep(0)


def test_signals_are_handled_as_before_once_the_run_is_over() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with start(device="cpu"):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_state_of_optimizers_and_tensors_survives_the_file(tmp_path: Path) -> None:
    def stepped(count: int) -> tuple[nn.Linear, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = nn.Linear(2, 2)
        optimizer = torch.optim.Adam(model.parameters(), 0.1)
        for _ in range(count):
            model(torch.ones(1, 2)).sum().backward()
            optimizer.step()
        return model, optimizer

    model, optimizer = stepped(3)
    save(tmp_path / "state.safetensors", [model, optimizer, torch.arange(3.0)], {"done": 3})
    other, fresh = stepped(0)
    tensor = torch.zeros(3)
    assert load(tmp_path / "state.safetensors", [other, fresh, tensor]) == {"done": 3}
    assert same(dict(model.state_dict()), dict(other.state_dict()))
    assert tensor.tolist() == [0.0, 1.0, 2.0]
    for network, one in ((model, optimizer), (other, fresh)):
        one.zero_grad()
        network(torch.ones(1, 2)).sum().backward()
        one.step()
    assert same(dict(model.state_dict()), dict(other.state_dict()))
