import numpy as np
import pytest
import torch
from torch import nn

from tests.methods.test_unsir import blobs
from unlearn_cli.data import stores
from unlearn_cli.data.batches import Batches, Scaling
from unlearn_cli.data.dataset import Split
from unlearn_cli.data.records import ArrayInputs, from_arrays
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.predict import allocate_outputs, join, observe, predict
from unlearn_cli.metrics.accuracy import accuracy
from unlearn_cli.metrics.loss import loss
from unlearn_cli.runtime.run import start


def batches(n: int = 50, num_outputs: int = 3) -> Batches:
    random = np.random.default_rng(0)
    inputs = ArrayInputs(random.normal(size=(n, 4)).astype(np.float32), (4,))
    labels = random.integers(0, 3, n)
    split = Split("test", from_arrays("test", inputs, labels), np.arange(n), labels)
    store = stores.open_store(inputs, (4,), torch.device("cpu"), 2**20)
    scaling = Scaling(1.0, torch.tensor(0.0), torch.tensor(1.0))
    return Batches(split, store, scaling, torch.from_numpy(labels), (4,), num_outputs, 8, 0)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))


def test_the_last_short_batch_weighs_no_more_than_its_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """All four authors' repositories average the means of batches."""
    model, found = network(), []
    for size in (7, 50):
        monkeypatch.setattr("unlearn_cli.evaluation.predict.MAX_BATCH", size)
        outputs = predict(model, batches(), "classification")
        found.append((accuracy(outputs).value, loss(outputs).value))
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_prediction_is_in_eval_mode_and_leaves_mode_and_buffers_alone() -> None:
    model = network().train()
    before = {name: tensor.clone() for name, tensor in model.named_buffers()}
    first, second = (predict(model, batches(), "classification") for _ in range(2))
    assert np.array_equal(first.values, second.values)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.named_buffers())


def test_outputs_are_those_of_the_network_in_the_order_of_the_split() -> None:
    model, data = network().eval(), batches()
    outputs = predict(model, data, "classification")
    expected = model(torch.from_numpy(data.split.records.inputs.take(np.arange(50)))).detach()
    assert np.allclose(outputs.values, expected, atol=1e-6)
    assert np.array_equal(join([outputs.take(np.arange(20)), outputs.take(np.arange(20, 50))]).values, outputs.values)


def test_outputs_are_written_into_the_array_that_is_given() -> None:
    model, data = network().eval(), batches()
    together = allocate_outputs(70, 3, "classification")
    outputs = predict(model, data, "classification", into=together[20:])
    assert np.shares_memory(outputs.values, together)
    assert np.array_equal(together[20:], predict(model, data, "classification").values)
    assert allocate_outputs(70, 1, "regression").shape == (70,)


def test_a_regression_is_told_in_the_unit_of_its_labels() -> None:
    model = nn.Linear(4, 1)
    data = batches(num_outputs=1)
    plain = predict(model, data, "regression")
    scaled = predict(model, data, "regression", 10.0, 2.0)
    assert np.allclose(scaled.values, plain.values * 2 + 10)


@pytest.mark.parametrize(
    ("model", "message"),
    [(nn.Linear(4, 5), "outputs of shape"), (nn.Sequential(nn.Linear(4, 3), nn.Threshold(9e9, float("nan"))), "NaN")],
)
def test_outputs_that_cannot_be_right_are_refused(model: nn.Module, message: str) -> None:
    with pytest.raises(UserError, match=message):
        predict(model, batches(), "classification")


def test_features_come_with_the_outputs_and_explain_them() -> None:
    torch.manual_seed(0)
    head = nn.Linear(5, 4)
    model = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), head)
    found, features = observe(model, blobs([0, 1, 2, 3], n=10), "classification")
    assert features is not None and features.shape == (40, 5)
    by_hand = features @ head.weight.detach().double().numpy().T + head.bias.detach().double().numpy()
    assert np.allclose(found.values, by_hand, atol=1e-5)
    assert np.array_equal(found.values, predict(model, blobs([0, 1, 2, 3], n=10), "classification").values)
    assert not head._forward_pre_hooks
    assert observe(nn.Flatten(), batches(num_outputs=4), "classification")[1] is None


def test_predictions_are_in_full_precision_unless_bf16_is_asked_for() -> None:
    model, found = network(), {}
    for precision in ("fp32", "auto", "bf16"):
        with start(device="cpu", precision=precision):
            found[precision] = predict(model, batches(), "classification").values
    assert np.array_equal(found["fp32"], found["auto"])
    assert not np.array_equal(found["fp32"], found["bf16"])
    assert found["bf16"] == pytest.approx(found["fp32"], abs=0.05)
