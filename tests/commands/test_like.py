"""How long a network was trained: the epochs in the report, the lineage, and `train --like`."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import unlearn_cli
from tests.tiny import MANIFEST, invoke, write_manifest
from unlearn_cli.reporting.html import render
from unlearn_cli.reporting.report import Report

RANDOM = MANIFEST.replace("{classes: [3]}", "{fraction: {share: 0.1}}")
CAVEAT = "Methods trained the network for "


def read_metadata(folder: Path) -> dict[str, str]:
    with safe_open(folder / "model.safetensors", "pt") as file:
        return file.metadata()


def read_report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text())


def unlearn(weights: Path, out: Path, *words: object, method: str = "finetune") -> dict[str, Any]:
    manifest = write_manifest(out.parent, RANDOM)
    command = ["unlearn", weights, "-m", manifest, "--method", method, "-o", out, "--device", "cpu", "--force", *words]
    result = invoke(*command)
    assert result.exit_code == 0, result.stderr
    return {**read_report(out), "notes": result.stderr}


def train(out: Path, *words: object, code: int = 0) -> tuple[str, dict[str, Any]]:
    """Return the notes, and the report if there is one."""
    result = invoke("train", "-m", write_manifest(out.parent, RANDOM), "-o", out, "--device", "cpu", *words)
    assert result.exit_code == code, result.stderr
    return result.stderr, read_report(out) if (out / "report.json").exists() else {}


@pytest.fixture(scope="module")
def sgd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An original that was trained by another recipe than the defaults."""
    out = tmp_path_factory.mktemp("sgd") / "original"
    settings = ("epochs=4", "optimizer=sgd", "lr=0.05", "weight_decay=0.0005", "momentum=0.8", "schedule=cosine")
    train(out, *(word for setting in settings for word in ("--set", setting)), "--batch-size", "64")
    return out / "model.safetensors"


@pytest.fixture(scope="module")
def unlearned(sgd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unlearned") / "out"
    unlearn(sgd, out, "--set", "epochs=2")
    return out


def test_the_report_gives_the_epochs_of_the_method_and_of_the_original(sgd: Path, tmp_path: Path) -> None:
    report = unlearn(sgd, tmp_path / "out", "--set", "epochs=2")
    cost = report["cost"]
    retain = report["manifest"]["splits"]["retain"]["n"]
    assert cost["samples_backward"] == 2 * retain
    assert (cost["epochs"], cost["original_epochs"], cost["epochs_reason"]) == (2.0, 4.0, None)
    assert "Unlearning took 2 epochs over retain; the original was trained for 4." in " ".join(report["notes"].split())
    page = render(Report.model_validate({key: value for key, value in report.items() if key != "notes"}))
    assert "Samples backward as epochs over retain" in page and "Epochs of the original before" in page
    assert any(line.startswith(f"{CAVEAT}2 epochs over retain, in addition to the original's 4.")
               for line in report["caveats"])  # fmt: skip


def test_methods_that_train_like_the_original_take_batches_of_its_size(sgd: Path, tmp_path: Path) -> None:
    """The sgd original was trained with batches of 64; its rate suits no others."""
    words = ("--set", "steps=3", "--set", "blindspot_epochs=1")
    report = unlearn(sgd, tmp_path / "out", *words, method="rank_match")
    assert report["environment"]["batch_size"] == 64
    assert "batches of 64 records, as in the training of the original" in report["notes"]
    given = unlearn(sgd, tmp_path / "given", *words, "--batch-size", "32", method="rank_match")
    assert given["environment"]["batch_size"] == 32
    assert unlearn(sgd, tmp_path / "other", "--set", "epochs=1")["environment"]["batch_size"] == 128  # finetune


@pytest.mark.parametrize(("epochs", "extra"), [(2, None), (6, "2")])
def test_new_weights_have_only_the_epochs_of_the_method(
    epochs: int, extra: str | None, sgd: Path, unlearned: Path, tmp_path: Path
) -> None:
    """The original and an unlearned network, with 2 epochs more, were trained for 4 epochs by their recipe."""
    for number, weights in enumerate((sgd, unlearned / "model.safetensors")):
        out = tmp_path / str(number)
        report = unlearn(weights, out, "--set", f"epochs={epochs}", method="distil")
        assert read_metadata(out).get("unlearn_cli.extra_epochs") == extra
        assert any(line.startswith(CAVEAT) for line in report["caveats"]) is bool(extra)


def test_epochs_of_a_second_network_that_a_method_trains_do_not_count(original: Path, tmp_path: Path) -> None:
    words = ("--set", "steps=10", "--set", "blindspot_epochs=3")
    report = unlearn(original, tmp_path / "out", *words, "--batch-size", "32", method="rank_match")
    cost, retain = report["cost"], report["manifest"]["splits"]["retain"]["n"]
    assert cost["samples_backward"] > 3 * retain
    assert cost["epochs"] <= 10 * 32 / retain


def test_numbers_that_are_not_known_have_a_reason(original: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare" / "model.safetensors"
    bare.parent.mkdir()
    save_file(load_file(original), bare)
    cost = unlearn(bare, tmp_path / "out", "--set", "epochs=1")["cost"]
    assert (cost["epochs"], cost["original_epochs"]) == (1.0, None)
    assert cost["epochs_reason"] == "no recipe of the original is recorded"
    ascent = unlearn(original, tmp_path / "ascent", "--set", "steps=1", "--set", "retain_weight=0", method="neggrad")
    assert ascent["cost"]["original_epochs"] == 6


def test_a_few_epochs_are_no_caveat(original: Path, tmp_path: Path) -> None:
    report = unlearn(original, tmp_path / "out", "--set", "steps=1")
    assert 0 < report["cost"]["epochs"] < 0.6
    assert not [line for line in report["caveats"] if line.startswith(CAVEAT)]


def test_a_second_unlearning_adds_its_epochs(unlearned: Path, tmp_path: Path) -> None:
    report = unlearn(unlearned / "model.safetensors", tmp_path / "second", "--set", "epochs=1")
    assert report["cost"]["original_epochs"] == 6.0
    assert read_metadata(unlearned)["unlearn_cli.extra_epochs"] == "2"
    assert read_metadata(tmp_path / "second")["unlearn_cli.extra_epochs"] == "3"


def test_a_retrained_network_inherits_no_epochs(unlearned: Path, tmp_path: Path) -> None:
    words = ("--set", "epochs=1")
    unlearn(unlearned / "model.safetensors", tmp_path / "new", *words, method="retrain")
    assert "unlearn_cli.extra_epochs" not in read_metadata(tmp_path / "new")


def test_a_reference_is_trained_by_the_recipe_of_the_original(sgd: Path, tmp_path: Path) -> None:
    notes, report = train(tmp_path / "reference", "--like", sgd, "--split", "retain")
    expected = {
        "epochs": 4, "optimizer": "sgd", "lr": 0.05, "weight_decay": 0.0005, "momentum": 0.8, "schedule": "cosine",
    }  # fmt: skip
    assert report["settings"] == expected
    assert report["environment"]["batch_size"] == 64
    assert "epochs=4, optimizer=sgd, lr=0.05, weight_decay=0.0005" in notes and "batch_size=64" in notes
    assert "--like" in report["run"]["command_line"]


def test_the_network_equals_one_that_is_trained_with_the_same_settings(original: Path, tmp_path: Path) -> None:
    train(tmp_path / "like", "--like", original, "--set", "epochs=1", "--seed", "3")
    train(tmp_path / "set", "--set", "epochs=1", "--set", "lr=0.01", "--seed", "3")
    digests = [read_report(tmp_path / name)["subject"]["tensor_digest"] for name in ("like", "set")]
    assert digests[0] == digests[1]


def test_a_reference_of_an_unlearned_network_is_trained_as_long_as_both(unlearned: Path, tmp_path: Path) -> None:
    notes, report = train(tmp_path / "reference", "--like", unlearned, "--split", "retain")
    assert report["settings"]["epochs"] == 6
    assert "epochs are the original's 4 and 2 of unlearning" in notes
    evaluate = ("evaluate", unlearned, "-m", tmp_path / "manifest.yaml", "--json")
    with_reference = json.loads(invoke(*evaluate, "--reference", tmp_path / "reference").stdout)
    without = json.loads(invoke(*evaluate).stdout)
    excess = [[line for line in each["caveats"] if line.startswith(CAVEAT)] for each in (without, with_reference)]
    assert [len(lines) for lines in excess] == [1, 0]
    assert "trains a reference for 6." in excess[0][0]
    attacked = json.loads(invoke("attack", unlearned, "-m", tmp_path / "manifest.yaml", "--json").stdout)
    assert [line for line in attacked["caveats"] if line.startswith(CAVEAT)] == excess[0]


def test_settings_and_batch_size_of_the_command_line_go_before(unlearned: Path, tmp_path: Path) -> None:
    notes, report = train(tmp_path / "out", "--like", unlearned, "--set", "epochs=1", "--batch-size", "32")
    assert report["settings"]["epochs"] == 1 and report["settings"]["optimizer"] == "sgd"
    assert report["environment"]["batch_size"] == 32
    assert "of unlearning" not in notes


def test_the_default_batch_size_on_the_command_line_goes_before(unlearned: Path, tmp_path: Path) -> None:
    _, report = train(tmp_path / "out", "--like", unlearned, "--set", "epochs=1", "--batch-size", "128")
    assert report["environment"]["batch_size"] == 128


def test_the_dry_run_shows_the_settings(unlearned: Path, tmp_path: Path) -> None:
    words = ("train", "-m", write_manifest(tmp_path, RANDOM), "-o", tmp_path / "out", "--like", unlearned)
    plan = json.loads(invoke(*words, "--dry-run", "--json").stdout)
    assert plan["settings"]["epochs"] == 6


def test_without_a_recipe_it_is_refused(original: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.safetensors"
    save_file(load_file(original), bare)
    notes, report = train(tmp_path / "out", "--like", bare, code=2)
    assert notes.startswith("error: --like ") and "no recipe is recorded" in notes and "give the settings" in notes
    assert len(notes.splitlines()) == 1 and not report


def test_a_network_of_several_trainings_is_refused(original: Path, tmp_path: Path) -> None:
    train(tmp_path / "tuned", "--from", original, "--set", "epochs=1")
    notes, _ = train(tmp_path / "out", "--like", tmp_path / "tuned", code=2)
    assert "was trained further from another checkpoint" in notes


def test_the_output_must_not_replace_it(unlearned: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "model.safetensors").write_bytes((unlearned / "model.safetensors").read_bytes())
    notes, _ = train(copy, "--like", copy, "--overwrite", code=2)
    assert "would replace the input" in notes


def test_the_api_has_it_too(unlearned: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, RANDOM)
    result = unlearn_cli.unlearn(
        unlearned, manifest, method="finetune", settings={"epochs": 1}, device="cpu", force=True
    )
    assert result.report.cost.original_epochs == 6.0
    reference = unlearn_cli.train(
        manifest, split="retain", like=result.state_dict, settings={"epochs": 1}, device="cpu"
    )
    assert reference.report.settings["optimizer"] == "sgd"
