from pathlib import Path

import pytest

from tests.tiny import invoke, write_manifest

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("method", ["finetune", "unsir"])
def test_a_cuda_device_gives_the_same_bytes_twice(method: str, original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    settings = ["--set", "impair_lr=0.004"] if method == "unsir" else ["--set", "epochs=1"]
    for out in ("a", "b"):
        flags = ["--method", method, "--device", "cuda", *settings]
        assert invoke("unlearn", original, "-m", manifest, "-o", tmp_path / out, *flags).exit_code == 0
    first, second = ((tmp_path / out / "model.safetensors").read_bytes() for out in ("a", "b"))
    assert first == second


def test_cuda_and_cpu_measure_the_same(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    outs = [invoke("evaluate", original, "-m", manifest, "--device", device).stdout for device in ("cpu", "cuda")]
    accuracies = [[line for line in out.splitlines() if "accuracy" in line] for out in outs]
    assert accuracies[0] == accuracies[1]
