"""The clock of `--profile`: every moment belongs to exactly one part."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.tiny import invoke, write_manifest
from unlearn_cli.runtime import profile
from unlearn_cli.runtime.profile import PARTS, Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock on which every look takes one second."""
    seconds = iter(range(10**6))
    monkeypatch.setattr(profile.time, "perf_counter", lambda: float(next(seconds)))
    return Clock(torch.device("cpu"))


def test_a_training_step_goes_through_its_parts(clock: Clock) -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    clock.watch(model)
    clock.start_part("data")
    clock.start_part("other")
    model(torch.ones(3, 2)).sum().backward()
    optimizer.step()
    clock.close()
    shares = clock.shares()
    assert sum(shares.values()) == pytest.approx(1)
    assert clock.seconds == {
        "data": 1, "forward": 1, "backward": 1, "optimizer": 1, "evaluation": 0, "files": 0, "other": 4,
    }  # fmt: skip
    optimizer.step()
    assert clock.seconds["optimizer"] == 1  # nothing is watched any more


def test_what_happens_in_evaluation_is_evaluation(clock: Clock) -> None:
    model = nn.Linear(2, 2)
    clock.watch(model)
    with clock.only("evaluation"):
        model(torch.ones(3, 2))
        with clock.only("files"):
            pass
    clock.close()
    assert clock.seconds["forward"] == clock.seconds["files"] == 0
    assert clock.seconds["evaluation"] == 1
    assert clock.part == "other"


@pytest.mark.usefixtures("pages")
def test_the_report_has_the_shares(original: Path, tmp_path: Path) -> None:
    words = ["-m", write_manifest(tmp_path), "--method", "finetune", "--set", "epochs=1", "--device", "cpu"]
    plain = invoke("unlearn", original, *words, "-o", tmp_path / "plain", "--json")
    found = invoke("unlearn", original, *words, "-o", tmp_path / "profiled", "--json", "--profile")
    assert json.loads(plain.stdout)["run"]["shares"] == {}
    shares = json.loads(found.stdout)["run"]["shares"]
    assert shares.keys() == set(PARTS)
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares[part] for part in ("data", "forward", "backward", "optimizer", "evaluation", "files")) > 0
    assert "Share of time: backward" in (tmp_path / "profiled" / "report.html").read_text(encoding="utf-8")
    weights = [(tmp_path / out / "model.safetensors").read_bytes() for out in ("plain", "profiled")]
    assert weights[0] == weights[1]
