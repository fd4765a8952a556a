import os
import subprocess
import sys

import pytest
import torch

from tests.tiny import ROOT
from unlearn_cli.errors import ResourceError, UserError
from unlearn_cli.runtime.run import start
from unlearn_cli.runtime.seeds import Random, derive_seed


def test_streams_of_one_seed_differ_and_are_the_same_again() -> None:
    assert derive_seed(0, "noise") == derive_seed(0, "noise")
    others = derive_seed(0, "order"), derive_seed(1, "noise"), derive_seed(0, "noise", 1)
    assert len({derive_seed(0, "noise"), *others}) == 4


def test_torch_is_deterministic_inside_a_run_without_its_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda mode, **_: modes.append(mode))
    for compiled in (False, True):
        with start(device="cpu", compiled=compiled):
            assert torch.are_deterministic_algorithms_enabled()
            assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert not torch.are_deterministic_algorithms_enabled()
    assert modes == [True, False]  # only with the compiler, which this call imports


def test_random_draws_have_the_moments_and_ranges_they_should() -> None:
    random = Random(0, "test")
    normal, uniform = random.normal(20_000), random.uniform(20_000)
    assert abs(float(normal.mean())) < 0.03
    assert abs(float(normal.std()) - 1) < 0.03
    assert float(uniform.min()) >= 0
    assert float(uniform.max()) < 1
    assert set(random.integers(3, 1000).tolist()) == {0, 1, 2}
    assert sorted(random.permutation(50).tolist()) == list(range(50))


def test_a_random_stream_goes_on_where_its_state_was_kept() -> None:
    random = Random(0, "test")
    state = random.state_dict()
    first = random.normal(5)
    random.load_state_dict(state)
    assert torch.equal(first, random.normal(5))


def test_fresh_weights_depend_on_seed_and_stream_and_on_nothing_drawn_before() -> None:
    def weights(seed: int, stream: str, draws: int) -> torch.Tensor:
        with start(device="cpu", seed=seed) as run:
            torch.rand(draws)
            with run.fresh_weights(stream):
                return torch.nn.Linear(3, 3).weight.detach()

    assert torch.equal(weights(0, "fresh", 0), weights(0, "fresh", 7))
    assert not torch.equal(weights(0, "fresh", 0), weights(1, "fresh", 0))
    assert not torch.equal(weights(0, "fresh", 0), weights(0, "teacher", 0))


def test_a_run_leaves_torchs_own_generator_as_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    with start(device="cpu"):
        torch.rand(100)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cpu0"])
def test_an_unknown_device_is_a_user_error(device: str) -> None:
    with pytest.raises(UserError, match="expected auto, cpu, cuda"), start(device=device):
        pass


def test_a_device_that_is_not_there_is_a_lack_of_resources() -> None:
    with pytest.raises(ResourceError, match="no such device"), start(device="cuda:99"):
        pass


def test_weights_changed_inside_autocast_are_seen_by_the_next_forward_pass() -> None:
    """With autocast's cache on, the bf16 copy of a weight would be used again after the optimizer's step."""
    model, x = torch.nn.Linear(4, 1, bias=False), torch.ones(1, 4)
    with start(device="cpu", precision="bf16") as run, run.autocast():
        before = model(x)
        before.sum().backward()
        torch.optim.SGD(model.parameters(), lr=1.0).step()
        assert not torch.equal(model(x), before)


def test_samples_forward_and_backward_are_counted_per_network() -> None:
    model, other, teacher = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1), torch.nn.Linear(2, 1).requires_grad_(False)
    with start(device="cpu") as run, run.count_samples(model=model, other=other, teacher=teacher):
        model(torch.ones(3, 2))
        other(torch.ones(4, 2))
        teacher(torch.ones(5, 2))
    model(torch.ones(100, 2))
    assert (run.cost.samples_forward, run.cost.samples_backward) == (12, 7)
    assert run.backward == {"model": 3, "other": 4}


def test_a_small_network_on_small_samples_gets_one_thread_and_the_run_gives_the_others_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with start(device="cpu") as run:
        run.limit_threads(torch.nn.Linear(64, 10), 3 * 32 * 32)
        assert torch.get_num_threads() == 2
        run.limit_threads(torch.nn.Linear(64, 10), 64)
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_auto_precision_respects_what_onednn_may_use() -> None:
    """A bf16 LSTM fails in oneDNN where ONEDNN_MAX_CPU_ISA keeps the instructions from it."""
    code = "import torch; from unlearn_cli.runtime.devices import choose_precision as c; "
    code += "print(c('auto', torch.device('cpu')))"
    limited = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=limited, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "torch.float32\n"
