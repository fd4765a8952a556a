import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.tiny import same
from unlearn_cli.errors import UserError
from unlearn_cli.learning.head import Head
from unlearn_cli.learning.synthetic_features import (
    NUM_CALIBRATING,
    FeatureSource,
    SyntheticTraining,
    distil,
    find_scale,
)
from unlearn_cli.learning.training import predict_outputs
from unlearn_cli.methods.head import head
from unlearn_cli.runtime.run import start
from unlearn_cli.runtime.seeds import Random

CENTRES = torch.tensor([[2.0, 0.0], [0.0, 2.0], [-2.0, -2.0], [2.0, 2.0], [-2.0, 2.0]])


def network(last: nn.Module | None = None) -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), last or nn.Linear(32, 5))


def records(n: int = 100) -> tuple[Tensor, Tensor]:
    y = torch.arange(5).repeat_interleave(n)
    return CENTRES[y] + 0.4 * torch.randn(len(y), 2, generator=torch.Generator().manual_seed(0)), y


def train(model: nn.Module) -> nn.Module:
    x, y = records()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(100):
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.zero_grad()
    return model.eval().requires_grad_(False)


def train_network(*last: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return train(network(*last))


@pytest.fixture(scope="module")
def original() -> nn.Module:
    return train_network()


def forget(original: nn.Module, classes: list[int], *last: nn.Module, **settings: Any) -> nn.Module:
    model = network(*last)
    model.load_state_dict(original.state_dict())
    before = {name: tensor.clone() for name, tensor in original.state_dict().items()}
    model = head(model, original, classes, (2,), Random(0, "t"), **settings)
    assert same(before, dict(original.state_dict()))
    return model


def accuracy(model: nn.Module, classes: list[int]) -> float:
    x, y = records()
    chosen = torch.isin(y, torch.tensor(classes))
    return float((predict_outputs(model, [x[chosen]]).argmax(dim=1) == y[chosen]).float().mean())


def random_head(bias: bool = True) -> Head:
    random = Random(3, "head")
    return Head(random.normal(4, 16) / 2, random.normal(4) if bias else None)


def source(last: Head, **changes: Any) -> FeatureSource:
    settings = {"forget_classes": [1], "forget_share": 0.25, "guidance": 1.0, "non_negative": True, **changes}
    return FeatureSource(last, **settings)


@pytest.mark.parametrize("classes", [[0], [3], [1, 4], [0, 1, 2, 3]])
def test_the_classes_are_forgotten_and_the_others_stay_without_any_data(
    original: nn.Module, classes: list[int]
) -> None:
    model = forget(original, classes)
    retained = [number for number in range(5) if number not in classes]
    assert accuracy(model, classes) == 0.0
    assert accuracy(model, retained) >= accuracy(original, retained)


def test_only_the_last_layer_changes_and_the_report_says_so(original: nn.Module) -> None:
    with start(device="cpu") as run:
        model = forget(original, [2])
    changed = {
        name for name, tensor in model.state_dict().items() if not torch.equal(tensor, original.state_dict()[name])
    }
    assert changed == {"4.weight", "4.bias"}
    assert [text.partition(";")[0] for text in run.notes] == ["head: only the last layer changed"]
    assert run.phases == ["impair"]
    assert run.cost.optimizer_steps == 200


def test_it_asks_for_no_data() -> None:
    needed = [name for name, value in inspect.signature(head).parameters.items() if value.default is inspect._empty]
    assert needed == ["model", "original", "forget_classes", "input_shape", "random"]


@pytest.mark.parametrize("bias", [True, False])
def test_the_steps_are_those_of_the_formula_written_a_second_time(bias: bool) -> None:
    last = random_head(bias)
    draws = source(last, forget_classes=[1, 3])
    learned = distil(last, draws, [1, 3], SyntheticTraining(steps=5, lr=0.03, batch_size=8), Random(0, "t"))

    random = Random(0, "t")
    first_offset = torch.zeros(4) if last.bias is None else last.bias
    weight, offset = last.weight.clone().requires_grad_(), first_offset.clone()
    offset.requires_grad_(bias)
    optimizer = torch.optim.Adam([weight, offset] if bias else [weight], 0.03)
    for step in range(5):
        optimizer.param_groups[0]["lr"] = 0.03 * (1 + torch.tensor(step / 5 * torch.pi).cos().item()) / 2
        h = draws.draw(8, random)
        p = (h @ last.weight.T + first_offset).softmax(dim=1)
        q = p * torch.tensor([1.0, 0.0, 1.0, 0.0])
        q = q / q.sum(dim=1, keepdim=True)
        answers = (h @ weight.T + offset).log_softmax(dim=1)
        loss = torch.xlogy(q, q).sum(dim=1) - (q * answers).sum(dim=1)
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    torch.testing.assert_close(learned.weight, weight.detach(), rtol=1e-4, atol=1e-5)
    assert (learned.bias is None) is not bias
    if learned.bias is not None:
        torch.testing.assert_close(learned.bias, offset.detach(), rtol=1e-4, atol=1e-5)


def test_features_are_normal_around_the_row_of_their_class_and_cut_at_zero() -> None:
    last = random_head()
    draws = source(last, forget_classes=[1], forget_share=0.9, non_negative=False, guidance=2.0)
    features = draws.draw(20000, Random(0, "t"))
    directions = last.weight - last.weight.mean(dim=0)
    directions = 4 * directions / directions.norm(dim=1, keepdim=True)  # width 16
    means = 2 * (0.9 * directions[1] + 0.1 * directions[[0, 2, 3]].mean(dim=0))
    torch.testing.assert_close(features.mean(dim=0), means, rtol=0, atol=0.05)
    cut = source(last, forget_share=0.9, guidance=2.0).draw(20000, Random(0, "t"))
    assert torch.equal(cut, features.clamp(min=0))


@pytest.mark.parametrize(
    ("classes", "share", "expected"), [([1], 0.25, 0.25), ([0, 1, 2], 0.25, 0.75), ([2], 0.5, 0.5)]
)
def test_the_share_of_features_near_forgotten_classes(classes: list[int], share: float, expected: float) -> None:
    drawn = source(random_head(), forget_classes=classes, forget_share=share).draw_classes(20000, Random(0, "t"))
    assert float(torch.isin(drawn, torch.tensor(classes)).float().mean()) == pytest.approx(expected, abs=0.01)
    counts = drawn.bincount(minlength=4)[[number for number in range(4) if number not in classes]].float()
    assert float(counts.max() / counts.min()) < 1.1


@pytest.mark.parametrize("confidence", [0.6, 0.95])
def test_the_scale_gives_the_mean_confidence(confidence: float) -> None:
    last = random_head()
    features = source(last).draw(NUM_CALIBRATING, Random(0, "t"))
    outputs = last(find_scale(last, features, confidence) * features)
    assert float(outputs.softmax(dim=1).amax(dim=1).mean()) == pytest.approx(confidence, abs=1e-4)


def test_the_result_does_not_depend_on_the_scale_of_the_features(original: nn.Module) -> None:
    rescaled = network()
    factors = {"2.weight": 16, "2.bias": 16, "4.weight": 1 / 16}
    rescaled.load_state_dict({name: factors.get(name, 1) * tensor for name, tensor in original.state_dict().items()})
    x, _ = records()
    first, second = (predict_outputs(forget(net.requires_grad_(False), [0]), [x]) for net in (original, rescaled))
    torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("activation", "non_negative"), [(nn.ReLU(), True), (nn.Tanh(), False)])
def test_the_sign_of_the_features_is_that_of_random_inputs(activation: nn.Module, non_negative: bool) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 16), activation, nn.Linear(16, 4)).requires_grad_(False)
    results = []
    for sign in ("auto", "non_negative", "any"):
        model = nn.Sequential(nn.Linear(3, 16), activation, nn.Linear(16, 4))
        model.load_state_dict(network.state_dict())
        results.append(head(model, network, [1], (3,), Random(0, "t"), sign=sign, steps=3)[2].weight)  # type: ignore
    assert torch.equal(results[0], results[1]) is non_negative
    assert torch.equal(results[0], results[2]) is not non_negative


def test_log_probabilities_and_a_last_layer_without_bias_are_accepted() -> None:
    def last() -> nn.Module:
        return nn.Sequential(nn.Linear(32, 5, bias=False), nn.LogSoftmax(dim=1))

    original = train_network(last())
    model = forget(original, [1], last())
    assert accuracy(model, [1]) == 0.0
    assert accuracy(model, [0, 2, 3, 4]) >= accuracy(original, [0, 2, 3, 4])


def test_a_convolution_over_single_positions_is_a_last_layer() -> None:
    def layers() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    original, model = layers().requires_grad_(False), layers()
    model = head(model, original, [0], (1, 6, 6), Random(0, "t"))
    x = torch.randn(200, 1, 6, 6)
    kept = predict_outputs(original, [x])[:, 1:].argmax(dim=1)
    assert torch.equal(predict_outputs(model, [x]).argmax(dim=1), kept + 1)


@pytest.mark.parametrize(
    "last",
    [
        lambda: nn.Sequential(nn.Linear(32, 5), nn.ReLU()),
        lambda: nn.Sequential(nn.Unflatten(1, (2, 4, 4)), nn.Conv2d(2, 5, 4), nn.Flatten()),
    ],
)
def test_a_network_that_does_not_end_in_a_linear_layer_is_refused(last: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)  # a ReLU over outputs that all are positive would be linear
    model = network(last()).requires_grad_(False)
    with pytest.raises(UserError, match="not those of a linear last layer"):
        head(model, model, [0], (2,), Random(0, "t"))
