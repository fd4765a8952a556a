"""Every file of sample_configs runs: manifests on tiny data made to fit them, settings through their method."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tiny import ROOT, invoke
from unlearn_cli.batch.requests import inbox
from unlearn_cli.batch.settings import deletion
from unlearn_cli.batch.settings.deletion import DeletionSettings
from unlearn_cli.batch.subcommands import status
from unlearn_cli.plugins import plugin
from unlearn_cli.schema.strict_yaml import read_mapping

CONFIGS = ROOT / "sample_configs"
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
    (data / "forgotten.csv").write_text("record_id\nrec-8\nrec-purged\n")


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


def cifar(data: Path) -> None:
    data.mkdir()
    for part in ("train_20k", "test_5k"):
        labels = np.arange(60) % 10
        images = random.integers(0, 100, (60, 32, 32, 3)) + 15 * labels[:, None, None, None]
        super_labels = np.array([0, 1, 2, 3, 4, 3, 2, 4, 0, 1])[labels]
        np.savez(data / f"cifar10_{part}.npz", x=images.astype(np.uint8), y=labels, y_super=super_labels)


def table(data: Path, name: str, columns: Mapping[str, Sequence[object]]) -> None:
    data.mkdir(exist_ok=True)
    lines = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    (data / name).write_text("\n".join([",".join(columns), *lines]) + "\n")


def heart_rates(data: Path) -> None:
    features = {f"f{i}": [k * i % 7 for k in range(100)] for i in range(21)}
    table(data, "ctg.csv", {**features, "CLASS": [k % 10 for k in range(100)], "NSP": [1 + k % 3 for k in range(100)]})


def incomes(data: Path) -> None:
    sizes = {"workclass": 8, "education": 16, "marital-status": 7, "occupation": 14, "relationship": 6, "race": 5}
    sizes |= {"sex": 2, "native-country": 40}
    gaps = ("workclass", "occupation", "native-country")
    trained = [
        k // 5 * 4 + k % 5 for k in range(150)
    ]  # counts the rows of train, so that each has every category twice
    columns: dict[str, list[object]] = {
        name: ["?" if k < 3 and name in gaps else f" c{row % size}" for k, row in enumerate(trained)]
        for name, size in sizes.items()
    }
    for i, name in enumerate(("age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week")):
        columns[name] = [f" {k * i % 7}" for k in range(150)]
    table(data, "adult.data", {**columns, "Salary": [" >50K" if k % 3 else " <=50K" for k in range(150)]})


def activities(data: Path) -> None:
    features = {f"f{i}": ["" if k == i else k * i % 7 for k in range(108)] for i in range(43)}
    more = {"id": list(range(108)), "user": [1 + k % 36 for k in range(108)]}
    table(data, "wisdm_transformed.csv", {**more, **features, "activity": [f"a{k % 3}" for k in range(108)]})


def rotated(data: Path) -> None:
    data.mkdir()
    arrays = {}
    for part, n in (("train", 60), ("test", 30)):
        arrays[f"{part}_x"] = random.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        arrays[f"{part}_angle"] = np.linspace(-45, 45, n, dtype=np.float32)
    np.savez(data / "fashion_rotation.npz", **arrays)


def houses(data: Path) -> None:
    features = {f"f{i}": ["" if k == i else k * i % 7 for k in range(100)] for i in range(8)}
    more = {"median_house_value": [50000 + 4000.0 * k for k in range(100)], "ocean_proximity": ["INLAND"] * 100}
    table(data, "housing.csv", {**features, **more})


def sentences(data: Path) -> None:
    for part in ("train", "test"):
        pairs = {f"sentence{i}": [f"A man of {k % (4 + i)} years." for k in range(60)] for i in (1, 2)}
        table(data, f"stsb_{part}.csv", {"score": [k % 6 for k in range(60)], **pairs})


def pictures(data: Path) -> None:
    tags = ["", "beach", "people", "beach|sunset", "people|sunset", "beach|people|sunset"]
    for part in ("train", "test"):
        features = {f"f{i}": [k * (i + 1) % 7 for k in range(60)] for i in range(8)}
        table(data, f"{part}.csv", {"picture": list(range(60)), **features, "tags": [tags[k % 6] for k in range(60)]})


def hours(data: Path) -> None:
    """Write the weather of two months around January 2013, hour by hour."""
    times = [datetime(2012, 12, 15) + timedelta(hours=k) for k in range(24 * 61)]
    columns = {name: [getattr(time, name) for time in times] for name in ("year", "month", "day", "hour")}
    levels = ["NA" if k % 50 == 0 else 300 * (k % 60 < 6) + k % 24 for k in range(len(times))]
    weather = {name: [k * i % 11 for k in range(len(times))] for i, name in enumerate(("DEWP", "TEMP", "PRES", "Iws"))}
    weather |= {name: [0] * len(times) for name in ("Is", "Ir")}
    table(data, "beijing_pm25.csv", {**columns, "pm2.5": levels, **weather})


DATA: dict[str, Callable[[Path], None]] = {
    "imagefolder": image_folders,
    "persons": persons,
    "random_share": npz,
    "idx": idx,
    "cifar_class": cifar,
    "cifar_two_classes": cifar,
    "cifar_subclass": cifar,
    "cardiotocography": heart_rates,
    "adult": incomes,
    "wisdm": activities,
    "fashion_rotation": rotated,
    "housing_range": houses,
    "housing_random": houses,
    "stsb": sentences,
    "multilabel": pictures,
    "beijing_month": hours,
    "beijing_range": hours,
}
SETTINGS = {
    "settings/train": ("training", "fit", "unlearn_cli.learning.training"),
    "settings/unsir": ("methods", "unsir", None),
    **{f"paper/{path.stem}": ("methods", path.stem, None) for path in sorted(CONFIGS.glob("paper/*.yaml"))},
}
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
    made = plugin.complete_settings(found, CONFIGS / f"{name}.yaml")
    assert made.model_dump().keys() >= read_mapping(CONFIGS / f"{name}.yaml").keys()
    if name.startswith("settings/"):
        assert made == plugin.complete_settings(found), "the file claims to hold the defaults"


def deletion_batch(folder: Path) -> DeletionSettings:
    """Copy the sample of a deletion batch and make data that fits it, in which no two records are equal."""
    shutil.copytree(CONFIGS / "deletion", folder, dirs_exist_ok=True)
    for part, n in (("train", 300), ("test", 150)):
        activity = 1 + np.arange(n) % 3
        values = random.normal(0.25 * activity[:, None], 0.1, (n, 3)).round(5)
        names = {"record_id": [f"rec-{k}" for k in range(n)], "person": [k % 9 for k in range(n)]}
        features = {name: column.tolist() for name, column in zip("xyz", values.T, strict=True)}
        columns = {**names, "age": [18 + k % 40 for k in range(n)], **features, "activity": activity.tolist()}
        table(folder / "data", f"{part}.csv", columns)
    return deletion.read(folder / "deletion.yaml")


def test_the_deletion_batch_says_every_key_there_is() -> None:
    text = (CONFIGS / "deletion" / "deletion.yaml").read_text(encoding="utf-8")
    schema = deletion.json_schema()
    parts = [schema, *(schema["$defs"][name] for name in ("AttackPolicy", "Retention", "CommonOptions"))]
    for key in {key for part in parts for key in part["properties"]}:
        lines = [line for line in text.splitlines() if line.split(":")[0].strip() == key]
        assert any("#" in line for line in lines), f"{key} is not there, or has no comment"


def test_the_deletion_batch_has_a_network_of_its_own_and_requests_that_are_received(tmp_path: Path) -> None:
    batch = deletion_batch(tmp_path)
    fast = ["--set", "epochs=1", "--device", "cpu", "--quiet"]
    result = invoke("train", "-m", batch.path("manifest"), "-o", tmp_path / "original", *fast)
    assert result.exit_code == 0, result.stderr
    assert batch.path("initial").is_file()
    assert deletion.read_batch_manifest(batch).gates == batch.gates
    found = status.build_overview(batch, now=lambda: datetime(2026, 11, 20, 23, tzinfo=UTC))
    assert (found["pending"], found["overdue"], found["next_due"]) == (5, 0, "2026-12-01T00:00:00.000000Z")
    files = inbox.read(batch.path("requests"), bytes(32))
    assert [(file.name, len(file.entries)) for file in files] == [
        ("export.csv", 2),
        ("person.yaml", 1),
        ("several.jsonl", 2),
    ]
    assert not [item.reason for file in files for item in file.entries if item.reason]


def test_no_file_is_left_out() -> None:
    found = {path.relative_to(CONFIGS).with_suffix("").as_posix() for path in CONFIGS.rglob("*.yaml")}
    batch = {f"deletion/{name}" for name in ("deletion", "data", "requests/person", "workflow")}
    assert found == {*MANIFESTS, *SETTINGS, *batch}
