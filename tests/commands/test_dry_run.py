"""`--dry-run` makes the checks of the real run: what the one refuses before it trains, the other refuses, too."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tests.tiny import MANIFEST, invoke, write_manifest
from unlearn_cli.commands.work_estimate import estimate_work
from unlearn_cli.plugins import discovery, plugin

ARCHITECTURE = "{architecture: allcnn, arguments: {width: 8}}"
COMMANDS = {
    "unlearn": ["unlearn", "MODEL", "--out", "out"],
    "evaluate": ["evaluate", "MODEL"],
    "attack": ["attack", "MODEL"],
    "train": ["train", "--from", "MODEL", "--out", "out"],
    "noise": ["noise", "MODEL", "--out", "noise.safetensors"],
    "shadow": ["shadow", "--shadows", "shadows", "--method", "finetune", "--cells", "0"],
}
MANIFESTS = {  # name: text of the manifest, words of the error
    "a checkpoint of another network": (MANIFEST.replace("width: 8", "width: 16"), "does not fit the architecture"),
    "a network that does not exist": (
        MANIFEST.replace(ARCHITECTURE, "{architecture: torchvision/resnet19}"),
        "torchvision has no classification model 'resnet19'",
    ),
    "code that cannot be imported": (
        MANIFEST.replace(ARCHITECTURE, "{architecture: 'no_such_module:network'}"),
        "No module named 'no_such_module'",
    ),
    "a network for other inputs": (
        MANIFEST.replace(ARCHITECTURE, "{architecture: torchvision/resnet18}"),
        "does not accept samples of shape [1, 8, 8]",
    ),
}


def error_of(command: str, model: Path, manifest: Path, *more: str) -> str:
    """Run a command that fails on bad input, and return its last line on stderr."""
    words = [str(model) if word == "MODEL" else word for word in COMMANDS[command]]
    result = invoke(*words, "--manifest", manifest, "--allow-code", *more)
    assert (result.exit_code, result.stdout) == (2, ""), result.stderr
    return result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (command, name)
        for command in COMMANDS
        for name in MANIFESTS
        if (command, name) != ("shadow", "a checkpoint of another network")  # shadow reads no checkpoint
    ],
)
def test_a_dry_run_refuses_a_manifest_that_the_run_refuses(
    command: str, name: str, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text, words = MANIFESTS[name]
    manifest = write_manifest(tmp_path, text)
    error = error_of(command, original, manifest, "--dry-run")
    assert words in error
    assert error == error_of(command, original, manifest)
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.yaml"] or command == "shadow"


def other_network(original: Path, folder: Path) -> Path:
    weights = load_file(original)
    weights["classifier.weight"] = weights["classifier.weight"][:, :4].contiguous()
    save_file(weights, folder / "other.safetensors")
    return folder / "other.safetensors"


def constant_network(original: Path, folder: Path) -> Path:
    weights = load_file(original)
    weights["classifier.weight"] = weights["classifier.weight"] * 0
    save_file(weights, folder / "constant.safetensors")
    return folder / "constant.safetensors"


@pytest.mark.parametrize("command", ["unlearn", "evaluate", "attack"])
@pytest.mark.parametrize(
    ("make", "option", "words"),
    [
        (other_network, "--reference", "does not fit the architecture"),
        (constant_network, "MODEL", "outputs are equal for all"),
    ],
)
def test_a_dry_run_refuses_checkpoints_that_the_run_refuses(
    command: str, make: Callable[[Path, Path], Path], option: str, words: str, original: Path, tmp_path: Path
) -> None:
    checkpoint, manifest = make(original, tmp_path), write_manifest(tmp_path)
    out = ["--out", str(tmp_path / "out")] if command == "unlearn" else []
    model, more = (checkpoint, []) if option == "MODEL" else (original, [option, str(checkpoint)])
    errors = set()
    for dry_run in (["--dry-run"], []):
        result = invoke(command, model, "--manifest", manifest, *out, *more, *dry_run)
        assert result.exit_code == 2
        errors.add(result.stderr.splitlines()[-1])
    assert len(errors) == 1
    assert words in errors.pop()
    assert not (tmp_path / "out").exists()


def test_a_dry_run_of_noise_names_the_classes_and_writes_nothing(original: Path, tmp_path: Path) -> None:
    arguments = ("noise", original, "-m", write_manifest(tmp_path), "-o", tmp_path / "n.safetensors", "--dry-run")
    assert json.loads(invoke(*arguments, "--json").stdout)["classes"] == [3]
    assert "classes: 3\nsettings: kind=maximize" in invoke(*arguments).stdout
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.yaml"]


def test_a_dry_run_of_train_says_what_it_would_train_on_and_writes_nothing(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    arguments = ("train", "-m", manifest, "--split", "retain", "-o", tmp_path / "out", "--set", "epochs=3", "--dry-run")
    plan = json.loads(invoke(*arguments, "--json").stdout)
    assert (plan["split"], plan["samples_at_least"], plan["samples_at_most"]) == ("retain", 3 * 1302, 3 * 1302)
    assert "work: about 3906 samples of retain forward and backward" in invoke(*arguments).stdout
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.yaml"]


COUNTS = {"forget": {"n": 100, "classes": {"a": 100}}, "retain": {"n": 1000, "classes": {"a": 0, "b": 1000}}}
RETAIN = ("retain",)
BOTH = ("forget", "retain")


@pytest.mark.parametrize(
    ("method", "assignments", "splits", "least", "most"),
    [
        ("finetune", [], RETAIN, 5000, 5000),
        ("finetune", ["steps=10"], RETAIN, 1000, 1000),  # not 5 epochs: steps take their place
        ("retrain", ["epochs=2"], RETAIN, 2000, 2000),
        ("neggrad", ["steps=10"], BOTH, 1000, 1000),
        ("gaussian_amnesiac", ["impair_epochs=2", "repair_epochs=3"], BOTH, 2 * 1100 + 3000, 2 * 1100 + 3000),
        ("blindspot", ["blindspot_epochs=1", "student_epochs=2"], BOTH, 1000 + 2 * 1400, 1000 + 2 * 1400),
        ("blindspot", ["blindspot_epochs=1", "student_epochs=2", "forget_share=null"], BOTH, 3200, 3200),
        ("blindspot", [], BOTH, 200 + 100, 150 * (1000 + 1400 * 10 // 14)),
        ("amnesiac", ["impair_steps=10"], BOTH, 1000 + 12000, 1000 + 15000),
        ("bad_teacher", [], BOTH, 4000 + 6000, 7500 + 15000),
        ("bad_teacher", ["impair_steps=1", "repair_steps=0"], BOTH, 100, 100),
        ("unsir", ["impair_lr=0.01"], RETAIN, 2500 + 9000, 2500 + 9000),
        ("unsir", [], RETAIN, 11500, 6 * 2500 + 6 * 2000 + 9000 - 2000),
        ("fisher", ["max_records=300"], RETAIN, 300, None),
        ("emmn", [], (), 0, 0),
        ("gkt", [], (), 0, 0),
        ("head", [], (), 0, 0),
    ],
)
def test_the_estimate_of_the_work_follows_the_settings(
    method: str, assignments: list[str], splits: tuple[str, ...], least: int, most: int | None
) -> None:
    loaded = plugin.load("methods", method)
    settings = plugin.complete_settings(loaded, None, assignments).model_dump()
    estimate = estimate_work(settings, {name: COUNTS[name] for name in splits}, 100, loaded)
    assert (estimate.least, estimate.most) == (least, most)


def test_every_method_has_an_estimate_and_open_ends_are_said() -> None:
    for name in discovery.entries("methods"):
        method = plugin.load("methods", name)
        settings = plugin.complete_settings(method, None).model_dump()
        estimate = estimate_work(settings, COUNTS, 100, method)
        assert estimate.text
        assert estimate.most is not None or name in ("fisher", "gkt"), name  # gkt has cycles, and reads no records
    unknown = estimate_work({"steps": None}, COUNTS, 100)
    assert (
        unknown.text == "at least about 100 samples of forget and retain forward and backward; the method chooses steps"
    )


@pytest.mark.parametrize("name", ["amnesiac", "bad_teacher", "unsir"])
def test_bounds_of_steps_are_sorted_and_of_settings_of_the_method(name: str) -> None:
    method = plugin.load("methods", name)
    bound_steps = method.import_companion("bound_steps")
    assert bound_steps is not None
    for epoch in (1, 20, 1000):
        bounds = bound_steps(plugin.complete_settings(method, None).model_dump(), epoch)
        assert bounds.keys() <= method.settings.model_fields.keys()
        assert all(0 < least <= most for least, most in bounds.values())
