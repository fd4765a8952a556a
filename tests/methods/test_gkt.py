import copy
import inspect
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unlearn_cli.errors import UserError
from unlearn_cli.learning.generator import Memory
from unlearn_cli.learning.training import predict_outputs
from unlearn_cli.methods import gkt as module
from unlearn_cli.methods.gkt import disagreement, gkt, mix_in_memory, pass_gate, student_loss, unlikeness
from unlearn_cli.runtime.run import start
from unlearn_cli.runtime.seeds import Random

CENTRES = torch.tensor([[2.0, 0.0], [0.0, 2.0], [-2.0, -2.0], [2.0, 2.0]])
OUTPUTS = torch.tensor([[5.0, 0.0, 1.0], [0.0, 5.0, 1.0], [0.0, 0.0, 9.0], [1.0, 1.0, 1.0]])


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(2, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4)
    )


def records(n: int = 100) -> tuple[Tensor, Tensor]:
    y = torch.arange(4).repeat_interleave(n)
    return CENTRES[y] + 0.4 * torch.randn(len(y), 2, generator=torch.Generator().manual_seed(0)), y


@pytest.fixture(scope="module")
def teacher() -> nn.Module:
    torch.manual_seed(0)
    model, (x, y) = network(), records()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(100):
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.zero_grad()
    return model.eval().requires_grad_(False)


def taught(teacher: nn.Module, classes: list[int], student: nn.Module | None = None, **settings: Any) -> nn.Module:
    torch.manual_seed(1)
    values: dict[str, Any] = {
        "cycles": 30,
        "batch_size": 64,
        "student_steps_per_cycle": 6,
        "attention_weight": 10.0,
        "memory_size": 1024,
        **settings,
    }
    return gkt(teacher, student or network(), classes, (2,), Random(0, "t"), **values)


@pytest.mark.parametrize(("option", "setting", "expected"), [(16, None, 16), (16, 8, 8), (1, None, 2)])
def test_the_batch_size_is_that_of_the_run_unless_it_is_set(
    teacher: nn.Module, option: int, setting: int | None, expected: int
) -> None:
    student, sizes = network(), set[int]()
    student.register_forward_pre_hook(lambda _, inputs: sizes.add(len(inputs[0])))
    with start(device="cpu", batch_size=option):
        taught(teacher, [0], student, cycles=1, batch_size=setting)
    assert sizes == {expected}


def accuracy(model: nn.Module, classes: list[int]) -> float:
    x, y = records()
    chosen = torch.isin(y, torch.tensor(classes))
    return float((predict_outputs(model, [x[chosen]]).argmax(dim=1) == y[chosen]).float().mean())


@pytest.mark.parametrize("classes", [[0], [2], [1, 3]])
def test_new_weights_learn_the_other_classes_and_never_the_forgotten(teacher: nn.Module, classes: list[int]) -> None:
    model = taught(teacher, classes)
    assert accuracy(model, classes) == 0.0
    assert accuracy(model, [number for number in range(4) if number not in classes]) >= 0.9


def test_with_corrected_targets_the_student_gives_the_forgotten_class_no_probability(teacher: nn.Module) -> None:
    corrected, leaking = (taught(teacher, [1], targets=kind) for kind in ("corrected", "original"))
    probabilities = [
        float(predict_outputs(model, [records()[0]]).softmax(dim=1)[:, 1].max()) for model in (corrected, leaking)
    ]
    assert probabilities[0] < 0.01
    assert probabilities[1] > 0.5


def test_it_asks_for_no_data() -> None:
    needed = [name for name, value in inspect.signature(gkt).parameters.items() if value.default is inspect._empty]
    assert needed == ["original", "fresh", "forget_classes", "input_shape", "random"]


@pytest.mark.parametrize(("classes", "kept"), [([0], [1, 2]), ([1], [0, 2]), ([2], []), ([0, 1], [2])])
def test_the_gate_keeps_what_is_improbable_for_every_forgotten_class(classes: list[int], kept: list[int]) -> None:
    """The authors' gate always looks at column 0."""
    probabilities = np.exp(OUTPUTS.numpy()) / np.exp(OUTPUTS.numpy()).sum(axis=1, keepdims=True)
    by_hand = [i for i in range(4) if max(probabilities[i, c] for c in classes) < 0.012]
    assert pass_gate(OUTPUTS, classes, 0.012).nonzero().flatten().tolist() == by_hand == kept


def test_without_gate_or_forgotten_class_all_pass() -> None:
    assert pass_gate(OUTPUTS, [0], None).all()
    assert pass_gate(OUTPUTS, [], 0.01).all()


def test_a_class_just_below_the_gate_passes_and_one_at_it_does_not() -> None:
    outputs = torch.tensor([[0.5, 0.5]]).log()
    assert not pass_gate(outputs, [0], 0.5).any()
    assert pass_gate(outputs, [0], 0.5001).all()


def test_corrected_targets_are_zero_for_the_forgotten_and_renormalised_for_the_others() -> None:
    student = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    targets = (OUTPUTS / 2).softmax(dim=1).numpy().copy()
    targets[:, [1]] = 0
    targets /= targets.sum(axis=1, keepdims=True)
    answers = (student / 2).log_softmax(dim=1).numpy()
    logarithms = np.log(np.maximum(targets, 1e-30))
    by_hand = (targets * (logarithms - answers)).sum(axis=1)
    assert disagreement(OUTPUTS, student, [1], 2.0).tolist() == pytest.approx(by_hand.tolist(), rel=1e-4)


def test_its_gradient_pushes_the_forgotten_outputs_down_by_their_probability() -> None:
    student = torch.randn(4, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(disagreement(OUTPUTS, student, [1], 1.0).sum(), student)
    assert torch.allclose(gradient[:, 1], student.detach().softmax(dim=1)[:, 1], atol=1e-6)


def test_with_no_forgotten_class_and_no_gate_it_is_plain_data_free_distillation(teacher: nn.Module) -> None:
    x, student = records()[0], network().eval()
    loss = student_loss(teacher, student, x, [], 1.0, [], 0.0)
    targets, answers = teacher(x).softmax(dim=1).double(), student(x).softmax(dim=1).double()
    assert loss.item() == pytest.approx((targets * (targets / answers).log()).sum(dim=1).mean().item(), rel=1e-4)
    assert accuracy(taught(teacher, []), [0, 1, 2, 3]) >= 0.9


def test_attention_adds_its_factor_times_the_difference_of_the_maps(teacher: nn.Module) -> None:
    x, student = records()[0], network().eval()
    plain, more = (student_loss(teacher, student, x, [0], 1.0, ["2"], factor) for factor in (0.0, 3.0))
    maps = [nn.functional.normalize(model[:3](x) ** 2, dim=1) for model in (teacher, student)]  # type: ignore[index]
    assert (more - plain).item() == pytest.approx(3 * ((maps[0] - maps[1]) ** 2).mean().item(), rel=1e-4)


def test_samples_are_unlike_data_when_undecided_or_all_of_one_class() -> None:
    assert float(unlikeness(torch.zeros(6, 3), 1.0, 0.0)) == pytest.approx(np.log(3))
    assert float(unlikeness(1e3 * torch.eye(3), 1.0, 1.0)) == pytest.approx(-np.log(3), abs=1e-5)
    assert float(unlikeness(1e3 * torch.eye(3)[[0, 0, 0]], 1.0, 1.0)) == pytest.approx(0, abs=1e-5)


def test_a_gate_that_lets_nothing_pass_leaves_the_student_as_it_was(
    teacher: nn.Module, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the authors' code the first empty batch crashes; later ones draw out of step (G5)."""
    student = network()
    before = {name: value.clone() for name, value in student.named_parameters()}
    with start(device="cpu") as run:
        taught(teacher, [0], student, gate=0.0, cycles=7, restart_after=3)
    assert all(torch.equal(value, before[name]) for name, value in student.named_parameters())
    curves = {curve.name: curve.values for curve in run.curves}
    assert curves["passed"] == [0.0] * 7
    assert curves["student_loss"] == [None] * 7
    assert capsys.readouterr().err.count("was renewed") == 2


def test_the_student_is_in_train_mode_and_the_teacher_in_eval_mode_at_every_step(teacher: nn.Module) -> None:
    """The authors' student is never set back from eval mode."""
    student, modes = network(), []
    student.register_forward_hook(lambda *_: modes.append((student.training, teacher.training)))
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    taught(teacher, [0], student, cycles=3, student_steps_per_cycle=4)
    assert modes == [(True, False)] * 3 * 5  # one pass for the generator and four steps per cycle
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert not torch.equal(student.state_dict()["1.running_mean"], torch.zeros(32))


def test_no_step_uses_gradients_of_another_networks_loss() -> None:
    """In the authors' code each step also fills the other networks' gradients, and they are used."""
    own, other, x = nn.Linear(2, 2), nn.Linear(2, 2), torch.ones(1, 2)
    before, alone = other.weight.detach().clone(), copy.deepcopy(other)
    module.step(other(own(x)).sum(), own, torch.optim.SGD(own.parameters(), 0.1), 5.0)
    assert torch.equal(other.weight, before)
    for network in (other, alone):
        module.step(network(x).square().sum(), network, torch.optim.SGD(network.parameters(), 0.1), 5.0)
    assert torch.equal(other.weight, alone.weight)
    assert not torch.equal(other.weight, before)


def test_gradients_are_clipped_to_the_norm() -> None:
    own = nn.Linear(1, 1, bias=False)
    before = own.weight.item()
    module.step((1000 * own(torch.ones(1, 1))).sum(), own, torch.optim.SGD(own.parameters(), 1.0), 5.0)
    assert before - own.weight.item() == pytest.approx(5.0, rel=1e-4)


def test_the_generator_is_called_twice_a_cycle(teacher: nn.Module) -> None:
    calls: list[bool] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        if isinstance(module, nn.Sequential) and inputs[0].shape[1] == 7:  # only the generator reads codes
            calls.append(torch.is_grad_enabled())

    handle = nn.modules.module.register_module_forward_hook(count)
    try:
        taught(teacher, [0], cycles=3, student_steps_per_cycle=10, code_size=7)
    finally:
        handle.remove()
    assert calls == [True, False] * 3


@pytest.mark.parametrize("classes", [[0], [0, 1, 2]])
def test_the_steps_do_not_grow_with_the_classes(teacher: nn.Module, classes: list[int]) -> None:
    with start(device="cpu") as run:
        taught(teacher, classes, cycles=5)
    assert run.cost.optimizer_steps == 5
    assert run.phases == ["distil"]


def test_a_batch_of_the_student_has_the_share_of_earlier_samples() -> None:
    random, memory = Random(0, "t"), Memory(10, (1,), torch.device("cpu"))
    memory.add(torch.full((10, 1), -1.0))
    batch = mix_in_memory(torch.arange(8.0)[:, None], memory, 3, random).flatten().tolist()
    assert batch[5:] == [-1.0] * 3
    assert len(set(batch[:5])) == 5
    assert min(batch[:5]) >= 0
    assert torch.equal(
        mix_in_memory(torch.ones(2, 1), Memory(0, (1,), torch.device("cpu")), 1, random), torch.ones(2, 1)
    )


def test_images_and_batch_norm_work_at_the_smallest_size() -> None:
    def convolutions() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))

    original, student = convolutions(), convolutions()
    for model in (original, student):
        model(torch.zeros(2, 3, 6, 7))
    original.eval().requires_grad_(False)
    settings: dict[str, Any] = {
        "cycles": 2,
        "batch_size": 8,
        "generator_width": 4,
        "attention_weight": 1.0,
        "layers": ["1"],
    }
    student = gkt(original, student, [4], (3, 6, 7), Random(0, "t"), **settings)
    assert all(parameter.isfinite().all() for parameter in student.parameters())


@pytest.mark.parametrize(("normalised", "expected"), [(True, 0.0), (False, 2500.0)])
def test_attention_is_left_out_by_default_with_batch_norm_alone(normalised: bool, expected: float) -> None:
    def student_weight(attention_weight: float | None) -> Tensor:
        torch.manual_seed(0)
        middle = nn.BatchNorm1d if normalised else nn.LayerNorm
        original, student = (nn.Sequential(nn.Linear(2, 8), middle(8), nn.ReLU(), nn.Linear(8, 4)) for _ in range(2))
        settings: dict[str, Any] = {"cycles": 1, "student_steps_per_cycle": 2, "attention_weight": attention_weight}
        gkt(original.eval().requires_grad_(False), student, [0], (2,), Random(0, "t"), **settings)
        return student.state_dict()["0.weight"]

    assert torch.equal(student_weight(None), student_weight(expected))
    assert not torch.equal(student_weight(None), student_weight(2500.0 - expected))


def test_a_single_sample_that_passes_is_too_few_for_batch_norm(teacher: nn.Module) -> None:
    class LetsOnePass(nn.Module):
        """A teacher that is sure of class 0 for all samples of a batch but one."""

        def forward(self, x: Tensor) -> Tensor:
            surely = torch.where(torch.arange(len(x)) == 3, -20.0, 20.0)
            return teacher(x) * 0.01 + surely[:, None] * torch.tensor([1.0, 0.0, 0.0, 0.0])

    student = network()
    before = student.state_dict()["0.weight"].clone()
    with start(device="cpu") as run:
        taught(LetsOnePass().eval(), [0], student, gate=0.01, memory_size=0, cycles=3, attention_weight=0.0)
    assert {curve.name: curve.values for curve in run.curves}["passed"] == [pytest.approx(1 / 64)] * 3
    assert torch.equal(student.state_dict()["0.weight"], before)


def test_the_student_never_sees_a_sample_that_the_gate_rejects() -> None:
    """Its batch statistics would depend on such samples, too."""

    class RefusesHalf(nn.Module):
        """A teacher that is sure of class 0 for all samples with a positive first number."""

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([50 * x[:, :1], x[:, 1:] @ torch.ones(1, 3)], dim=1)

    student, passed = network(), list[Tensor]()
    student.register_forward_pre_hook(lambda _, inputs: passed.append(inputs[0].detach()))
    taught(RefusesHalf().eval(), [0], student, targets="original", gate=0.01, cycles=4, attention_weight=0.0)
    probabilities = RefusesHalf()(torch.cat(passed)).softmax(dim=1)[:, 0]
    assert len(passed) == 4 * (1 + 6)
    assert 0 < float(probabilities.max()) < 0.01


def test_a_network_of_word_numbers_is_refused() -> None:
    """No gradient comes back through them, so the generator would learn nothing."""

    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.EmbeddingBag(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.words(x.long() % 8)

    with pytest.raises(UserError, match="no gradient reaches the samples"):
        gkt(Words().eval().requires_grad_(False), Words(), [0], (4,), Random(0, "t"), cycles=1, attention_weight=0.0)
