from pathlib import Path

import numpy as np
import pytest
import torch

from tests.methods.cases import CASES, SHORT, choose_settings, command, make_originals
from tests.tiny import MANIFEST, invoke, write_manifest
from unlearn_cli.commands.manifest_inputs import open_inputs
from unlearn_cli.data.mixed import mix
from unlearn_cli.data.records import ArrayInputs
from unlearn_cli.data.stores import MemoryStore, StreamedStore, open_store
from unlearn_cli.evaluation.session import start
from unlearn_cli.plugins.run_options import RunOptions

pytestmark = pytest.mark.gpu
AUGMENTED = MANIFEST.replace("forget:", "  augment: [horizontal_flip, {random_crop: 1}]\nforget:")


@pytest.fixture(scope="module")
def originals(original: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_originals(original, tmp_path_factory)


@pytest.mark.parametrize("case", CASES)
def test_a_cuda_device_gives_the_same_bytes_twice(case: str, originals: dict[str, Path], tmp_path: Path) -> None:
    words = command(case, originals, tmp_path, choose_settings(SHORT, case), device="cuda")
    for out in ("a", "b"):
        result = invoke(*words, "-o", tmp_path / out)
        assert result.exit_code == 0, result.output
    first, second = ((tmp_path / out / "model.safetensors").read_bytes() for out in ("a", "b"))
    assert first == second


def test_cuda_and_cpu_measure_the_same(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    outs = [invoke("evaluate", original, "-m", manifest, "--device", device).stdout for device in ("cpu", "cuda")]
    accuracies = [[line for line in out.splitlines() if "accuracy" in line] for out in outs]
    assert accuracies[0] == accuracies[1]


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")  # that this check is a prototype
def test_batches_do_not_wait_for_the_device(tmp_path: Path) -> None:
    with start(open_inputs(write_manifest(tmp_path, AUGMENTED), RunOptions(device="cuda"))) as session:
        forget, retain = (session.batches(name, augmented=True) for name in ("forget", "retain"))
        try:
            torch.cuda.set_sync_debug_mode("error")
            read = sum(len(x) for x, _ in retain.epochs(1)) + sum(len(x) for x, *_ in mix(forget, retain).epochs(1))
            read += sum(len(x) for x, _ in retain.sequential(64))
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert read == 3 * retain.num_samples + forget.num_samples


def test_cuda_and_cpu_read_the_same_augmented_samples(tmp_path: Path) -> None:
    manifest, read = write_manifest(tmp_path, AUGMENTED), []
    for device in ("cpu", "cuda"):
        with start(open_inputs(manifest, RunOptions(device=device, precision="fp32"))) as session:
            read.append([x.cpu() for x, _ in session.batches("retain", augmented=True).epochs(1)])
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(*read, strict=True))


@pytest.mark.filterwarnings("default")  # of torch about pinned memory
def test_streamed_samples_are_those_that_are_held() -> None:
    samples = np.random.default_rng(0).integers(0, 255, (500, 3, 8, 8), dtype=np.uint8)
    rows = [np.arange(0, 500, 3), np.arange(250), np.arange(499, 0, -7)]
    found = []
    for budget, kind in ((2**30, MemoryStore), (1, StreamedStore)):
        store = open_store(ArrayInputs(samples, (3, 8, 8)), (3, 8, 8), torch.device("cuda"), budget)
        assert isinstance(store, kind)
        found.append(list(store.fetch(rows)))
    assert all(one.is_cuda and torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.filterwarnings("default")
def test_a_compiled_and_profiled_run_ends(original: Path, tmp_path: Path) -> None:
    flags = ["--method", "finetune", "--set", "epochs=1", "--device", "cuda", "--compile", "--profile"]
    result = invoke("unlearn", original, "-m", write_manifest(tmp_path), "-o", tmp_path / "out", *flags)
    assert result.exit_code == 0, result.output
