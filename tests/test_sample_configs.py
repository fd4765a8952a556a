"""Every file of sample_configs runs: manifests on tiny data made to fit them, settings through their method."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tiny import invoke
from unlearn_cli import plugin
from unlearn_cli.manifest import read_mapping

CONFIGS = Path(__file__).parents[1] / "sample_configs"
random = np.random.default_rng(0)


def image_folders(data: Path) -> None:
    for part in ("train", "test"):
        for i, name in enumerate(("airplane", "bird", "cat", "ship")):
            folder = data / part / name
            folder.mkdir(parents=True)
            for k in range(6):
                pixels = random.integers(0, 60, (40, 48, 3)) + 60 * np.array([i, 3 - i, k % 2])
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{k}.png")


def persons(data: Path) -> None:
    data.mkdir()
    for part in ("train", "test"):
        rows = ["record_id,person,age,x,y,z,activity"]
        rows += [f"rec-{k},{k % 9},{18 + k % 40},{k % 3 / 2},{k % 3 / 4},{k % 5 / 5},{1 + k % 3}" for k in range(90)]
        (data / f"{part}.csv").write_text("\n".join(rows))
    (data / "requests.csv").write_text("record_id\nrec-5\nrec-6\n")


def npz(data: Path) -> None:
    data.mkdir()
    for part in ("train", "test"):
        labels = np.arange(60) % 10
        images = random.integers(0, 100, (60, 28, 28)) + 15 * labels[:, None, None]
        np.savez(data / f"{part}.npz", x=images.astype(np.uint8), y=labels)


def idx(data: Path) -> None:
    data.mkdir()
    for part in ("train", "t10k"):
        labels = (np.arange(60) % 10).astype(np.uint8)
        images = (random.integers(0, 100, (60, 28, 28)) + 15 * labels[:, None, None]).astype(np.uint8)
        for name, array in ((f"{part}-images-idx3-ubyte.gz", images), (f"{part}-labels-idx1-ubyte.gz", labels)):
            shape = b"".join(size.to_bytes(4) for size in array.shape)
            (data / name).write_bytes(bytes([0, 0, 8, array.ndim]) + shape + array.tobytes())


DATA: dict[str, Callable[[Path], None]] = {
    "imagefolder": image_folders,
    "persons": persons,
    "random_share": npz,
    "idx": idx,
}
SETTINGS = {"settings/train": ("training", "fit", "unlearn_cli.training"), "settings/unsir": ("methods", "unsir", None),
            "paper/unsir": ("methods", "unsir", None)}  # fmt: skip
MANIFESTS = sorted(path.stem for path in CONFIGS.glob("*.yaml"))


@pytest.mark.parametrize("name", [name for name in MANIFESTS if name != "zero_data"])
def test_a_manifest_trains_and_unlearns(name: str, tmp_path: Path) -> None:
    manifest = Path(shutil.copy(CONFIGS / f"{name}.yaml", tmp_path))
    DATA.get(name, lambda _: None)(tmp_path / "data")
    fast = ["--set", "epochs=1", "--device", "cpu", "--quiet"]
    result = invoke("train", "-m", manifest, "-o", tmp_path / "original", *fast)
    assert result.exit_code == 0, result.stderr
    checkpoint = tmp_path / "original" / "model.safetensors"
    flags = ["--method", "finetune", "--force", *fast]
    result = invoke("unlearn", checkpoint, "-m", manifest, "-o", tmp_path / "unlearned", *flags)
    assert result.exit_code in (0, 3), result.stderr  # an epoch is not enough for every gate


def test_the_manifest_without_data_makes_noise(tmp_path: Path) -> None:
    digits, zero = CONFIGS / "digits.yaml", CONFIGS / "zero_data.yaml"
    assert invoke("train", "-m", digits, "-o", tmp_path / "original", "--set", "epochs=1").exit_code == 0
    checkpoint = tmp_path / "original" / "model.safetensors"
    assert invoke("noise", checkpoint, "-m", zero, "-o", tmp_path / "n.safetensors", "--set", "steps=2").exit_code == 0
    refused = invoke("unlearn", checkpoint, "-m", zero, "-o", tmp_path / "unlearned")
    assert refused.exit_code == 2
    assert "unsir needs retain" in refused.stderr


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_accepted(name: str) -> None:
    kind, function, module = SETTINGS[name]
    found = plugin.inspect(kind, function, module) if module else plugin.load(kind, function)
    made = plugin.settings(found, CONFIGS / f"{name}.yaml")
    assert made.model_dump().keys() >= read_mapping(CONFIGS / f"{name}.yaml").keys()
    if name.startswith("settings/"):
        assert made == plugin.settings(found), "the file claims to hold the defaults"


def test_no_file_is_left_out() -> None:
    found = {path.relative_to(CONFIGS).with_suffix("").as_posix() for path in CONFIGS.rglob("*.yaml")}
    assert found == {*MANIFESTS, *SETTINGS}
