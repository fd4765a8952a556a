import inspect
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.methods.test_unsir import accuracy, blobs, network
from unlearn_cli.data.augment import HorizontalFlip
from unlearn_cli.data.batches import UnlabelledBatches, without_labels
from unlearn_cli.learning import masking
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.learning.training import fit
from unlearn_cli.methods import bad_teacher as module
from unlearn_cli.methods.bad_teacher import Teachers, bad_teacher
from unlearn_cli.runtime.run import start

RECIPE = Recipe(lr=1e-2, is_known=True)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(fit(network(), blobs([0, 1, 2, 3]), nn.functional.cross_entropy, epochs=10, lr=1e-2).state_dict())


def frozen(state: dict[str, Tensor] | None = None, seed: int = 5) -> nn.Module:
    torch.manual_seed(seed)
    model = network()
    if state:
        model.load_state_dict(state)
    return model.requires_grad_(False).eval()


def copied(state: dict[str, Tensor]) -> nn.Module:
    model = network()
    model.load_state_dict(state)
    return model


def inputs(classes: list[int], n: int = 200) -> UnlabelledBatches:
    return without_labels(blobs(classes, n))


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_without_forgotten_records_the_loss_is_zero_at_the_first_step(
    weights: dict[str, Tensor], temperature: float
) -> None:
    teachers = Teachers(frozen(weights), frozen(), temperature, torch.zeros(4, dtype=torch.bool))
    x = next(iter(inputs([0, 1, 2, 3]).steps(1)))
    assert float(teachers.loss(frozen(weights)(x), teachers.distributions(x, 0))) == pytest.approx(0.0, abs=1e-6)
    assert float(teachers.loss(frozen(seed=9)(x), teachers.distributions(x, 0))) > 0.1


def test_all_forgotten_records_get_the_random_teachers_distribution(weights: dict[str, Tensor]) -> None:
    incompetent, x = frozen(), torch.randn(7, 2)
    wanted = Teachers(frozen(weights), incompetent, 1.0, None).distributions(x, 7)
    assert torch.equal(wanted, incompetent(x).softmax(dim=1))


def test_a_mixed_batch_takes_each_part_from_its_teacher_and_temperature_divides_the_logits(
    weights: dict[str, Tensor],
) -> None:
    original, incompetent, x = frozen(weights), frozen(), torch.randn(6, 2)
    wanted = Teachers(original, incompetent, 3.0, None).distributions(x, 2)
    torch.testing.assert_close(wanted[:2], (incompetent(x[:2]) / 3).softmax(dim=1))
    torch.testing.assert_close(wanted[2:], (original(x[2:]) / 3).softmax(dim=1))


def test_corrected_teachers_avoid_the_originals_class_and_lost_classes(weights: dict[str, Tensor]) -> None:
    original, x = frozen(weights), next(iter(inputs([0, 1, 2, 3]).steps(1)))
    lost = torch.tensor([False, True, False, False])
    wanted = Teachers(original, frozen(), 1.0, lost).distributions(x, 30)
    assert bool((wanted[:, 1] == 0).all())
    assert bool((wanted[:30].gather(1, original(x[:30]).argmax(dim=1, keepdim=True)) == 0).all())
    torch.testing.assert_close(wanted.sum(dim=1), torch.ones(len(x)))
    plain = original(x[30:]).softmax(dim=1)
    kept = plain[:, [0, 2, 3]] / plain[:, [0, 2, 3]].sum(dim=1, keepdim=True)
    torch.testing.assert_close(wanted[30:][:, [0, 2, 3]], kept)


def test_the_loss_is_the_mean_over_records_and_not_over_classes_too() -> None:
    """The default reduction of torch divides by the number of classes as well."""
    teachers = Teachers(nn.Identity(), nn.Identity(), 1.0, None)
    outputs, wanted = torch.randn(5, 4), torch.randn(5, 4).softmax(dim=1)
    terms = wanted * (wanted.log() - outputs.log_softmax(dim=1))
    torch.testing.assert_close(teachers.loss(outputs, wanted), terms.sum(dim=1).mean())
    torch.testing.assert_close(teachers.loss(outputs, wanted) / terms.mean(), torch.tensor(4.0))


def test_it_sees_no_label() -> None:
    parameters = inspect.signature(bad_teacher).parameters
    assert not {"retain", "forget_classes"} & set(parameters)
    assert parameters["forget"].default is None  # given only to rewind
    part = inputs([0, 1])
    assert bool((part.batches.targets == -100).all())
    assert not any(hasattr(part, name) for name in ("targets", "labels", "relabelled", "per_class"))


@pytest.mark.parametrize("classes", [[0], [1, 2]])
def test_a_class_is_forgotten_and_the_others_are_kept(weights: dict[str, Tensor], classes: list[int]) -> None:
    rest = [number for number in range(4) if number not in classes]
    model, original, incompetent = copied(weights), frozen(weights), frozen()
    bad_teacher(model, original, incompetent, inputs(classes), inputs(rest), RECIPE)
    assert accuracy(model, classes) <= 0.02
    assert accuracy(model, rest) >= 0.95


def test_a_class_that_the_random_teacher_happens_to_favour_is_forgotten_too(weights: dict[str, Tensor]) -> None:
    """Uncorrected, such a teacher says what the original says, and nothing is forgotten."""
    incompetent = nn.Linear(2, 4).requires_grad_(False)
    incompetent.weight.zero_()
    incompetent.bias.copy_(torch.tensor([0.0, 0.0, 0.3, 0.0]))
    corrected, plain = copied(weights), copied(weights)
    settings: dict[str, Any] = {"impair_steps": 40, "repair_steps": 0}
    bad_teacher(corrected, frozen(weights), incompetent, inputs([2]), inputs([0, 1, 3]), RECIPE, **settings)
    bad_teacher(
        plain, frozen(weights), incompetent, inputs([2]), inputs([0, 1, 3]), RECIPE, correct_teachers=False, **settings
    )
    assert accuracy(corrected, [2]) <= 0.02
    assert accuracy(plain, [2]) > 0.3


def test_teachers_stay_as_they_are_and_the_student_trains_though_it_was_evaluated_before(
    weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A student that was evaluated before would silently stay in eval mode."""
    made = [nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4)) for _ in range(3)]
    student, original, incompetent = (model.eval() for model in made)
    student.load_state_dict(original.state_dict())
    before = [{name: tensor.clone() for name, tensor in model.state_dict().items()} for model in made]
    modes: list[bool] = []
    student.register_forward_hook(lambda *_: modes.append(student.training))
    bad_teacher(student, original, incompetent, inputs([0]), inputs([1, 2]), RECIPE, impair_steps=3, repair_steps=2)
    assert modes == [True] * 5
    for model, state in zip(made[1:], before[1:], strict=True):
        assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert not torch.equal(student.state_dict()["1.running_mean"], before[0]["1.running_mean"])


def test_frozen_batch_norm_keeps_its_statistics() -> None:
    made = [nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 4)).eval() for _ in range(3)]
    settings = {"impair_steps": 3, "repair_steps": 2, "batch_norm": "frozen"}
    bad_teacher(made[0], made[1], made[2], inputs([0]), inputs([1, 2]), RECIPE, **settings)  # type: ignore[arg-type]
    assert torch.equal(made[0].state_dict()["1.running_mean"], torch.zeros(8))


def test_lost_classes_are_those_of_which_retain_has_hardly_a_record(weights: dict[str, Tensor]) -> None:
    original = frozen(weights)
    lost, all_lost = module.find_lost_classes(original, inputs([0, 3]), inputs([1, 2]))
    assert lost.tolist() == [True, False, False, True]
    assert all_lost
    lost, all_lost = module.find_lost_classes(original, inputs([0], n=50), inputs([0, 1, 2], n=400))
    assert lost.tolist() == [False] * 4
    assert not all_lost


def test_a_share_of_retain_does_not_make_a_class_that_it_still_has_count_as_lost(weights: dict[str, Tensor]) -> None:
    """60 of 100 records are forgotten; of the other 40 the method uses 12."""
    model, original, random_teacher = (network() for _ in range(3))
    original.load_state_dict(weights)
    with start(device="cpu") as run:
        bad_teacher(
            model, original, random_teacher, inputs([0], n=60), inputs([0, 1, 2], n=40), RECIPE, retain_share=0.3
        )
    assert [len(curve.values) for curve in run.curves] == [75, 150]  # 40 and 60 steps if the class were lost


def test_every_class_lost_counts_as_none() -> None:
    """Of a random share above 75 % no class is left, and a distribution over none would be NaN."""
    constant = nn.Linear(2, 4).requires_grad_(False)
    constant.weight.zero_()
    constant.bias.copy_(torch.tensor([0.0, 0.0, 1.0, 0.0]))
    lost, _ = module.find_lost_classes(constant, inputs([0]), inputs([1], n=10))
    assert lost.tolist() == [False, False, True, False]
    only = nn.Sequential(constant, nn.Linear(4, 1)).requires_grad_(False)
    lost, all_lost = module.find_lost_classes(only, inputs([0]), inputs([1], n=10))
    assert lost.tolist() == [False]
    assert not all_lost


def test_with_one_class_left_every_record_is_to_get_it() -> None:
    """That is what a network retrained on that class alone would say."""
    teacher = nn.Linear(2, 2).requires_grad_(False)
    teachers = module.Teachers(teacher, nn.Linear(2, 2).requires_grad_(False), 1.0, torch.tensor([True, False]))
    wanted = teachers.distributions(torch.randn(6, 2), 3)
    assert wanted.tolist() == [[0.0, 1.0]] * 6


def test_forgotten_records_make_up_their_share_of_the_batches() -> None:
    few, many = inputs([0], n=20), inputs([1, 2, 3], n=200)
    shares = {
        share: float(torch.cat([flag for _, _, flag in module.mix(few, many, share).epochs(1)]).float().mean())
        for share in (None, 0.25, 0.5)
    }
    assert shares[None] == pytest.approx(20 / 620)
    assert shares[0.25] == pytest.approx(0.25, abs=0.02)
    assert shares[0.5] == pytest.approx(0.5, abs=0.02)


def test_teachers_asked_once_about_each_record_teach_what_they_teach_when_asked_at_every_step(
    weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    students, asked = [], []
    for kept in (True, False):
        student, original = copied(weights), frozen(weights)
        monkeypatch.setattr(masking, "MAX_STORED_NUMBERS", 1 << 27 if kept else 0)
        calls: list[int] = []
        original.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        settings = {"impair_steps": 60, "repair_steps": 40, "batch_norm": "frozen"}
        bad_teacher(student, original, frozen(), inputs([0]), inputs([1, 2, 3]), RECIPE, **settings)  # type: ignore[arg-type]
        students.append(student)
        asked.append(len(calls))
    for once, always in zip(students[0].parameters(), students[1].parameters(), strict=True):
        torch.testing.assert_close(once, always, rtol=0, atol=1e-6)
    assert asked[0] < asked[1]


@pytest.mark.parametrize(("steps", "kept"), [(1, False), (100, True)])
def test_teachers_are_asked_once_if_the_steps_read_each_record_and_it_stays_the_same(steps: int, kept: bool) -> None:
    forget, retain = inputs([0]), inputs([1, 2])
    assert masking.can_store([retain, forget], steps) == kept
    changing = UnlabelledBatches(replace(retain.batches, augmentations=(HorizontalFlip(),)))
    assert not masking.can_store([changing, forget], steps)
