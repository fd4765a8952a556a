import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.methods.test_unsir import accuracy, blobs, network
from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.training import fit
from unlearn_cli.methods.fisher import fisher, fisher_diagonal, noise_ratios
from unlearn_cli.runtime.run import start
from unlearn_cli.runtime.seeds import Random


def with_batch_norm() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 4))
    model(torch.randn(50, 2) * 3)  # so that batch norm has statistics of its own
    return model.eval()


def one_by_one(model: nn.Module, records: Batches, labels: str) -> dict[str, Tensor]:
    """The Fisher diagonal, a slow loop over single records and classes."""
    total = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    for x, y in records.sequential(1):
        logs = F.log_softmax(model(x), dim=1)[0]
        for number in range(4):
            share = float(logs[number].detach().exp()) if labels == "model" else float(number == int(y))
            slopes = torch.autograd.grad(logs[number], list(model.parameters()), retain_graph=True)
            for name, slope in zip(total, slopes, strict=True):
                total[name] += share * slope**2 / records.num_samples
    return total


@pytest.mark.parametrize("labels", ["model", "data"])
def test_the_diagonal_equals_a_loop_over_single_records(labels: str) -> None:
    """The square of a batch's mean gradient would be something else (peers.md 4.3, 11)."""
    model, records = with_batch_norm(), blobs([0, 1, 2, 3], n=20)
    diagonal = fisher_diagonal(model, records, 4, labels)  # type: ignore[arg-type]
    for name, wanted in one_by_one(model, records, labels).items():
        torch.testing.assert_close(diagonal[name], wanted)


def test_the_diagonal_of_logistic_regression_is_its_closed_form() -> None:
    """d log p_y / d W_kj = (1[y = k] - p_k) x_j, so F_kj = E[p_k (1 - p_k) x_j^2] under the network's own outputs."""
    model, records = nn.Linear(2, 4), blobs([0, 1, 2, 3], n=30)
    diagonal = fisher_diagonal(model, records, 4, "model")
    (x, _), *_ = records.sequential(1000)
    p = model(x).detach().softmax(dim=1)
    torch.testing.assert_close(diagonal["weight"], torch.einsum("nk,nj->kj", p * (1 - p), x**2) / len(x))
    torch.testing.assert_close(diagonal["bias"], (p * (1 - p)).mean(dim=0))


def test_the_variance_of_the_noise_goes_with_the_inverse_root_of_fisher_and_is_bounded() -> None:
    diagonal = {"a": torch.tensor([1.0, 4.0, 16.0]), "b": torch.tensor([[0.0, 1e-12]])}
    ratios = noise_ratios(diagonal, max_ratio=50.0)
    torch.testing.assert_close(ratios["a"][0] / ratios["a"][1], torch.tensor(2.0))
    torch.testing.assert_close(ratios["a"][0] / ratios["a"][2], torch.tensor(4.0))
    assert ratios["b"].tolist() == [[50.0, 50.0]]


def test_weights_that_matter_move_less_by_as_much_as_their_noise_says() -> None:
    torch.manual_seed(0)
    model, retain = nn.Linear(2, 4), blobs([0, 1])
    ratios = noise_ratios(fisher_diagonal(model, retain, 4, "model"), 100.0)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    fisher(model, retain, 4, Random(0, "t"), alpha=0.01)
    random = Random(0, "t")
    for name, weight in model.named_parameters():
        noise = random.normal(*weight.shape)
        torch.testing.assert_close(weight.detach() - before[name], noise * (0.01 * ratios[name]).sqrt())
    assert float(ratios["weight"].max()) > 1.5 * float(ratios["weight"].min())


def test_batch_norms_statistics_stay_as_they_are() -> None:
    model = with_batch_norm()
    before = {name: tensor.clone() for name, tensor in model.named_buffers()}
    weight = model.state_dict()["0.weight"].clone()
    fisher(model, blobs([0, 1]), 4, Random(0, "t"), alpha=1e-4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.named_buffers())
    assert not torch.equal(model.state_dict()["0.weight"], weight)


def test_alpha_is_the_largest_with_which_retain_is_still_recognised() -> None:
    torch.manual_seed(0)
    weights = fit(network(), blobs([0, 1, 2, 3]), F.cross_entropy, epochs=10, lr=1e-2).state_dict()

    def with_alpha(alpha: float | None) -> tuple[nn.Module, float]:
        model = network()
        model.load_state_dict(weights)
        with start(device="cpu") as run:
            fisher(model, blobs([1, 2, 3]), 4, Random(0, "t"), alpha=alpha)
        return model, run.chosen_settings.get("alpha", 0.0)

    before = network()
    before.load_state_dict(weights)
    model, alpha = with_alpha(None)
    assert alpha > 0
    assert accuracy(model, [1, 2, 3]) >= accuracy(before, [1, 2, 3]) - 0.02
    assert accuracy(with_alpha(3 * alpha)[0], [1, 2, 3]) < accuracy(model, [1, 2, 3])


def test_the_cost_counts_every_record_for_every_class() -> None:
    model, retain = network(), blobs([0, 1])
    with start(device="cpu") as run, run.count_samples(model=model):
        fisher_diagonal(model, retain, 4, "data")
        assert run.cost.samples_backward == retain.num_samples
        fisher_diagonal(model, retain, 4, "model")
    assert run.cost.samples_backward == (1 + 4) * retain.num_samples
