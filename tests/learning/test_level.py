import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp
from torch import Tensor, nn

from tests.methods.test_unsir import blobs, network
from unlearn_cli.data.batches import without_labels
from unlearn_cli.evaluation import levels
from unlearn_cli.learning import level
from unlearn_cli.learning.head import Head, find_head, is_linear, predict_features, read_head, write_rows
from unlearn_cli.learning.level import (
    Level,
    count_steps,
    log_odds,
    measure_level,
    refit_rows,
    set_level,
)
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.learning.training import fit
from unlearn_cli.runtime.run import start
from unlearn_cli.runtime.seeds import Random

LONG = Recipe(epochs=60, lr=0.05, schedule="cosine")


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(fit(network(), blobs([0, 1, 2, 3]), nn.functional.cross_entropy, epochs=10, lr=1e-2).state_dict())


def copied(weights: dict[str, Tensor]) -> nn.Module:
    model = network()
    model.load_state_dict(weights)
    return model


def pairs(model: nn.Module) -> tuple[Tensor, Tensor]:
    return predict_features(model, (x for x, _ in blobs([1, 2, 3]).sequential(64)))


def test_the_features_and_the_head_give_the_outputs(weights: dict[str, Tensor]) -> None:
    model = copied(weights)
    features, outputs = pairs(model)
    layer = find_head(model)
    assert layer is not None
    head = read_head(layer[1])
    assert head is not None
    assert is_linear(head, features, outputs)
    assert not is_linear(head, features, outputs.relu())
    direct = torch.cat([model(x) for x, _ in blobs([1, 2, 3]).sequential(64)])
    assert torch.allclose(outputs, direct)


def test_a_convolution_of_one_pixel_is_a_linear_map_and_a_larger_one_is_not() -> None:
    pointwise, larger = nn.Conv2d(3, 5, 1), nn.Conv2d(3, 5, 3)
    head, maps = read_head(pointwise), torch.randn(2, 3, 4, 4)
    assert head is not None
    assert torch.allclose(head(maps.mean(dim=(2, 3))), pointwise(maps).mean(dim=(2, 3)), atol=1e-6)
    assert read_head(larger) is None


def test_only_the_named_rows_are_written(weights: dict[str, Tensor]) -> None:
    layer = nn.Linear(3, 4)
    before = layer.weight.detach().clone()
    write_rows(layer, torch.tensor([2]), Head(torch.full((1, 3), 7.0), torch.tensor([9.0])))
    assert torch.equal(layer.weight[[0, 1, 3]], before[[0, 1, 3]])
    assert layer.weight[2].tolist() == [7.0] * 3
    assert layer.bias[2] == 9.0


def test_refitting_lowers_the_loss_towards_an_independent_minimum_with_weight_decay() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(300, 2))
    others = random.normal(size=300)
    decay = 0.3  # AdamW's decoupled decay has another minimum, so SGD, whose decay is the penalty

    def loss(row: np.ndarray) -> float:
        outputs = features @ row[:2] + row[2]
        return float(np.logaddexp(others, outputs).mean() + decay / 2 * (row**2).sum())

    expected = minimize(loss, np.zeros(3)).x
    lost = nn.Linear(2, 1)
    recipe = Recipe(epochs=400, lr=0.3, optimizer="sgd", momentum=0.0, weight_decay=decay, schedule="cosine")
    refit_rows(lost, torch.tensor(features).float(), torch.tensor(others).float(), recipe, 300, Random(0, "t"))
    row = torch.cat([lost.weight.detach().flatten(), lost.bias.detach()]).numpy()
    assert row == pytest.approx(expected, abs=0.01)


def test_the_number_of_steps_follows_the_size_of_retain_and_not_that_of_the_stored_features() -> None:
    features, others = torch.randn(256, 3), torch.zeros(256)
    steps: list[int] = []
    lost = nn.Linear(3, 1)
    lost.register_forward_hook(lambda *_: steps.append(1))
    refit_rows(lost, features, others, Recipe(epochs=3, batch_size=128), 128 * 400, Random(0, "t"))
    assert len(steps) == 3 * 400
    assert count_steps(Recipe(epochs=1), 100) == level.FEWEST_STEPS
    assert count_steps(Recipe(epochs=100), 10**8) == level.MOST_STEPS


def test_the_level_falls_with_the_length_of_the_recipe_and_the_other_outputs_stay(weights: dict[str, Tensor]) -> None:
    reached = []
    for epochs in (1, 100, 400):
        model = copied(weights)
        _, before = pairs(model)
        set_level(model, blobs([1, 2, 3]), [0], Recipe(epochs=epochs), Random(0, "t"))
        _, after = pairs(model)
        assert torch.allclose(before[:, 1:], after[:, 1:], atol=1e-5)
        reached.append(measure_level(model, blobs([1, 2, 3]), [0])[0])
    assert reached[0] > reached[1] > reached[2]


@pytest.mark.parametrize("has_bias", [True, False])
def test_a_known_level_is_met_exactly(weights: dict[str, Tensor], has_bias: bool) -> None:
    model = copied(weights)
    if not has_bias:
        last = nn.Linear(32, 4, bias=False)
        model = nn.Sequential(*list(model.children())[:-1], last)
    given = Level({0: -97.5, 1: -84.0}, "reference")
    set_level(model, blobs([2, 3]), [0, 1], LONG, Random(0, "t"), given, without_labels(blobs([0, 1])))
    assert measure_level(model, blobs([2, 3]), [0, 1]) == pytest.approx({0: -97.5, 1: -84.0}, abs=1e-3)


def test_without_forgotten_records_a_higher_level_does_not_raise_the_outputs(weights: dict[str, Tensor]) -> None:
    reached = []
    for known in (None, Level({0: 5.0}, "reference"), Level({0: -90.0}, "reference")):
        model = copied(weights)
        set_level(model, blobs([1, 2, 3]), [0], Recipe(), Random(0, "t"), known)
        reached.append(measure_level(model, blobs([1, 2, 3]), [0])[0])
    assert reached[1] == pytest.approx(reached[0], abs=1e-4)
    assert reached[2] == pytest.approx(-90.0, abs=1e-3)


def test_a_level_that_is_not_met_is_not_described_as_that_of_the_references(weights: dict[str, Tensor]) -> None:
    """Without forgotten records rows are only lowered; with them, none of these may be recognised."""
    forget = without_labels(blobs([0]))
    for known, given, words in (
        (-90.0, None, "is -90.0: that of the references."),
        (5.0, None, "below that of the references (5.0), to which rows are only lowered."),
        (5.0, forget, "below that of the references (5.0), at which forgotten records would be recognised."),
    ):
        model, level = copied(weights), Level({0: known}, "reference")
        with start(device="cpu") as run:
            set_level(model, blobs([1, 2, 3]), [0], Recipe(), Random(0, "t"), level, given)
            assert run.notes[-1].endswith(words)
            assert run.chosen_settings["known_level"] == known
            assert run.chosen_settings["level"] == pytest.approx(
                measure_level(model, blobs([1, 2, 3]), [0])[0], abs=1e-2
            )
            assert levels.as_lineage(run.chosen_settings, {}) == {"level": f"{known:g}"}


def test_the_level_of_log_probabilities_is_that_of_the_logits(weights: dict[str, Tensor]) -> None:
    results = []
    for ending in ([], [nn.LogSoftmax(dim=1)]):
        model = nn.Sequential(copied(weights), *ending)
        set_level(model, blobs([1, 2, 3]), [0], Recipe(), Random(0, "t"), forget=without_labels(blobs([0])))
        results.append(model.state_dict())
    assert all(torch.equal(tensor, results[1][name]) for name, tensor in results[0].items())
    assert not all(torch.equal(weights[name.removeprefix("0.")], tensor) for name, tensor in results[1].items())


def test_the_level_is_the_mean_log_odds_on_retain(weights: dict[str, Tensor]) -> None:
    model = copied(weights)
    _, outputs = pairs(model)
    values = outputs.double().numpy()
    expected = (values[:, 0] - logsumexp(values[:, 1:], axis=1)).mean()
    assert measure_level(model, blobs([1, 2, 3]), [0]) == pytest.approx({0: expected}, abs=1e-4)
    features, _ = pairs(model)
    layer = find_head(model)
    head = read_head(layer[1]) if layer else None
    assert head is not None
    others = torch.from_numpy(logsumexp(values[:, 1:], axis=1)).float()
    row = Head(head.weight[:1], head.bias[:1] if head.bias is not None else None)
    assert float(log_odds(row, features, others)) == pytest.approx(expected, abs=1e-4)


def test_a_network_without_a_row_per_class_is_left_as_it_is_with_a_note() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.Softplus())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with start(device="cpu") as run:
        set_level(model, blobs([1, 2, 3]), [0], Recipe(), Random(0, "t"))
        assert any("last layer" in line for line in run.notes)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_without_forgotten_records_the_rows_start_from_their_own_weights_and_only_fall(
    weights: dict[str, Tensor],
) -> None:
    model, retain = copied(weights), blobs([1, 2, 3])
    before = measure_level(model, retain, [0])[0]
    set_level(model, retain, [0], Recipe(), Random(0, "t"))
    assert measure_level(model, retain, [0])[0] < before


def test_with_forgotten_records_none_of_them_is_recognised_afterwards(weights: dict[str, Tensor]) -> None:
    model, retain, forget = copied(weights), blobs([1, 2, 3]), blobs([0])
    set_level(model, retain, [0], Recipe(), Random(0, "t"), forget=without_labels(forget))
    outputs = torch.cat([model(x) for x, _ in forget.sequential(64)])
    assert not (outputs.argmax(dim=1) == 0).any()


def test_no_label_is_read(weights: dict[str, Tensor]) -> None:
    first, second = copied(weights), copied(weights)
    retain = blobs([1, 2, 3])
    set_level(first, retain, [0], Recipe(), Random(0, "t"))
    set_level(second, retain.relabelled(torch.zeros_like(retain.targets)), [0], Recipe(), Random(0, "t"))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
