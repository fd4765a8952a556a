"""The files of sample_configs/paper give the losses and updates of the papers' authors, written a second time here."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.methods.observing import watch_targets
from tests.methods.test_unsir import blobs, network
from unlearn_cli.learning.attention import record
from unlearn_cli.learning.noise import REFERENCE_NUMBERS, compute_objective
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.learning.training import regression_loss
from unlearn_cli.methods import blindspot, gkt
from unlearn_cli.methods.unsir import unsir
from unlearn_cli.plugins import plugin
from unlearn_cli.runtime.seeds import Random

PAPER = Path(__file__).parents[2] / "sample_configs" / "paper"


def read_settings(name: str) -> dict[str, Any]:
    settings = plugin.complete_settings(plugin.load("methods", name), PAPER / f"{name}.yaml").model_dump()
    assert settings.pop("level_step", "none") == "none"
    return settings


def classifier(num_classes: int = 10) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, num_classes))


@pytest.mark.parametrize(("difference", "clipped"), [(0.01, False), (1.0, True)])
def test_a_student_step_of_gkt_is_that_of_the_authors_loss_and_clip(difference: float, clipped: bool) -> None:
    """Their divergence is averaged over samples and 10 classes; 250 and 5 belong to that scale."""
    settings = read_settings("gkt")
    torch.manual_seed(0)
    teacher, own = classifier().eval().requires_grad_(False), classifier()
    for weight, other in zip(own.parameters(), teacher.parameters(), strict=True):
        weight.data.lerp_(other, 1 - difference)
    theirs = classifier()
    theirs.load_state_dict(own.state_dict())
    x = torch.randn(16, 1, 6, 6)
    loss = gkt.student_loss(teacher, own, x, [], settings["temperature"], ["1"], settings["attention_weight"])
    gkt.step(loss, own, torch.optim.SGD(own.parameters(), 1.0), settings["max_grad_norm"])

    maps = [F.normalize(model[:2](x).pow(2).mean(1).flatten(1)) for model in (theirs, teacher)]
    targets, answers = teacher(x).softmax(dim=1), theirs(x).softmax(dim=1)
    divergence = (targets * (targets / answers).log()).mean()  # over B * K
    (divergence + 250 * (maps[0] - maps[1]).pow(2).mean()).backward()
    norm = float(nn.utils.clip_grad_norm_(theirs.parameters(), 5.0))
    assert (norm > 5.0) == clipped
    torch.optim.SGD(theirs.parameters(), 10.0).step()  # our loss is 10 times theirs; Adam ignores that factor
    for name, value in own.state_dict().items():
        torch.testing.assert_close(value, theirs.state_dict()[name], rtol=1e-4, atol=1e-5)


def test_unsir_takes_one_epoch_of_each_phase_with_as_much_noise_as_the_authors_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates: list[float] = []
    step = torch.optim.Adam.step
    monkeypatch.setattr(
        torch.optim.Adam, "step", lambda self: (rates.append(self.param_groups[0]["lr"]), step(self))[1]
    )
    settings = read_settings("unsir")
    settings["retain_per_class"] = 4000
    retain = blobs([0, 1], n=4000)  # 8000 records, as eight classes of 1000
    retain = retain.take(torch.arange(8000).numpy())
    object.__setattr__(retain, "batch_size", 252)
    model, original = network(), network().eval().requires_grad_(False)
    steps = watch_targets(model)
    unsir(model, original, retain, [2, 3], (2,), Random(0, "t"), Recipe(), **settings)

    impair, repair = steps[:32], steps[32:]
    assert rates == [0.1] * 40 + [0.02] * 32 + [0.01] * 32
    assert sum(len(batch.x) for batch in impair) == pytest.approx(8000 + 2 * 3 * 20, abs=16)
    assert {len(batch.x) for batch in impair} <= {254, 255, 256}
    noise = torch.cat([batch.x[batch.labels > 1] for batch in impair])
    assert len(noise.unique(dim=0)) == 2 * 3
    for phase in (impair, repair):
        records = torch.cat([batch.x[batch.labels < 2] for batch in phase])
        assert len(records) == 8000
        assert len(records.unique(dim=0)) > 7990  # every record once


def test_new_noise_of_emmn_is_pulled_to_zero_as_by_the_norm_of_all_samples() -> None:
    noise = torch.randn(256, 3, 32, 32, requires_grad=True)
    (theirs,) = torch.autograd.grad(0.01 * noise.norm(), noise)

    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros(len(x), 10) + 0 * x.sum()

    labels = torch.zeros(256, dtype=torch.long)
    assert noise[0].numel() == REFERENCE_NUMBERS
    regularisation = read_settings("emmn")["regularisation"]
    _, ours = compute_objective(Constant(), noise, torch.zeros_like(noise), labels, "minimize", regularisation)
    torch.testing.assert_close(ours, 256 * theirs, rtol=0.05, atol=0)  # their loss is the mean over the samples


def test_beta_of_blindspot_weighs_attention_against_errors_in_the_labels_unit() -> None:
    mean, std = 2.6, 1.5  # the target of sample_configs/stsb.yaml
    torch.manual_seed(0)
    own, blind = (nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1)) for _ in range(2))
    x, scores = torch.randn(6, 3), 5 * torch.rand(6)
    is_forget = torch.tensor([True, True, False, False, False, False])
    with record(own, ["1"]) as student, record(blind, ["1"]) as teacher:
        outputs = own(x)
        loss = blindspot.batch_loss(
            outputs,
            (scores - mean) / std,
            blind,
            x,
            is_forget,
            student.take(),
            teacher,
            regression_loss("mse"),
            read_settings("blindspot")["attention_weight"],
        )

    predicted, expected = (model(x).squeeze(1) * std + mean for model in (own, blind))
    maps = [F.normalize(model[:2](x[:2]).pow(2)) for model in (own, blind)]
    forgotten = (predicted[:2] - expected[:2]).pow(2).mean() + 50 * (maps[0] - maps[1]).pow(2).mean()
    retained = (predicted[2:] - scores[2:]).pow(2).mean()
    assert std**2 * loss.item() == pytest.approx((forgotten * 2 / 6 + retained * 4 / 6).item(), rel=1e-3)
