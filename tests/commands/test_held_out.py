"""Methods that read held-out records: what they receive, which half is reported, and what later commands report."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from sklearn.datasets import load_digits

import unlearn_cli
from tests.tiny import MANIFEST, invoke, write_manifest
from unlearn_cli.commands.manifest_inputs import open_inputs
from unlearn_cli.data.held_out import add_held_out
from unlearn_cli.evaluation.run_inputs import resume_identity
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.reporting.html import render
from unlearn_cli.reporting.report import Report

METHODS = '''"""Fine-tune on retain, and stop at the accuracy on held-out records. Source: ... Warning: ..."""

from typing import Literal

import torch
from pydantic import PositiveInt

from unlearn_cli.runtime.progress import track


def stopping(model, forget, held_out, retain, task_loss, *, steps: PositiveInt = 2):
    return train(model, retain, task_loss, steps, held_out)


def rewinding(
    model, retain, task_loss, *, held_out=None, steps: PositiveInt = 2, rewind: Literal["last", "held_out"] = "last"
):
    assert (held_out is not None) == (rewind == "held_out")
    return train(model, retain, task_loss, steps, held_out)


def gentle(model, retain, task_loss, *, steps: PositiveInt = 2):
    return train(model, retain, task_loss, steps, None)


def train(model, retain, task_loss, steps, held_out):
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)
    batches = [*retain.steps(steps), *(held_out.epochs(1) if held_out else ())]
    for x, y in track(batches, "train", model, optimizer):
        optimizer.zero_grad()
        task_loss(model(x), y).backward()
        optimizer.step()
    return model
'''
RECORDS = "{sklearn: {name: digits, part: test}, rows: "
DIVIDED = MANIFEST.replace(
    "{sklearn: {name: digits, part: test}}",
    f"{RECORDS}{{first: 0.5}}}}\n  validation: {RECORDS}{{last: 0.5}}}}",
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(METHODS, encoding="utf-8")
    write_manifest(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def unlearn(model: object, out: str, *flags: str, method: str = "stopping", code: int = 0) -> dict[str, Any]:
    """Run a method of the file above, and return the report with the lineage."""
    arguments = ["unlearn", model, "-m", "manifest.yaml", "--method", f"mine.py:{method}", "--allow-code", "--force"]
    result = invoke(*arguments, "-o", out, *flags)
    assert result.exit_code == code, result.stderr
    return {**json.loads(Path(out, "report.json").read_text()), "stderr": result.stderr}


def run(command: str, *arguments: object) -> dict[str, Any]:
    result = invoke(command, *arguments, "-m", "manifest.yaml", "--json")
    assert result.exit_code in (0, 3, 4), result.stderr
    return json.loads(result.stdout)


def count(report: dict[str, Any]) -> dict[str, int]:
    return {name: split["n"] for name, split in report["manifest"]["splits"].items()}


def read_lineage(folder: str) -> str | None:
    with safe_open(Path(folder, "model.safetensors"), "pt") as file:
        return file.metadata().get("unlearn_cli.held_out")


def has_caveat(report: dict[str, Any], text: str) -> bool:
    return any(text in caveat for caveat in report["caveats"])


def test_a_method_reads_the_selection_half_and_its_report_the_other(original: Path, project: Path) -> None:
    report = unlearn(original, "out")
    sizes = count(report)
    assert report["inputs"] == ["forget", "held_out", "model", "retain", "task_loss"]
    assert sizes["held_out"] + sizes["test"] == 360
    assert {report["metrics"][role]["test"]["accuracy"]["n"] for role in ("original", "subject")} == {sizes["test"]}
    assert "held_out" not in report["metrics"]["subject"]
    assert all(report["manifest"]["checks"].values())
    assert report["manifest"]["checks"].keys() >= {"test_has_no_held_out_sample", "held_out_has_no_training_sample"}
    line = "The method reads the selection half of test: all numbers on test are of the verdict half."
    assert has_caveat(report, line) and line in report["stderr"]
    assert read_lineage("out") == "selection half of test"


def test_later_commands_report_the_verdict_half(original: Path, project: Path) -> None:
    verdict = count(unlearn(original, "out"))["test"]
    evaluated, attacked = run("evaluate", "out"), run("attack", "out", "--original", original)
    assert count(evaluated)["test"] == count(attacked)["test"] == verdict
    assert attacked["judgement"]["holdout_half"] == "verdict"
    assert has_caveat(evaluated, "has read the selection half of test: all numbers on test are of the verdict half.")
    assert count(run("evaluate", original, "--original", "out"))["test"] == verdict
    assert count(run("evaluate", original))["test"] == 360


@pytest.mark.parametrize(("half", "size"), [("all", 360), ("selection", 160)])
def test_the_half_that_was_read_is_reported_only_by_request(
    half: str, size: int, original: Path, project: Path
) -> None:
    report = unlearn(original, "out", "--half", half)
    evaluated = run("evaluate", "out", "--half", half)
    assert report["manifest"]["checks"]["test_has_no_held_out_sample"] is False
    for document in (report, evaluated):
        assert count(document)["test"] == size
        assert has_caveat(document, "they may be better than on never-seen records; use ")
    assert "warning: The method reads the selection half of test" in report["stderr"]
    assert count(report)["held_out"] == count(unlearn(original, "again"))["held_out"]


def test_checkpoints_inherit_what_methods_read(original: Path, project: Path) -> None:
    unlearn(original, "first")
    report = unlearn("first", "second", method="gentle")
    trained = invoke("train", "-m", "manifest.yaml", "--from", "second", "-o", "third", "--set", "epochs=1")
    assert trained.exit_code == 0, trained.stderr
    assert read_lineage("second") == read_lineage("third") == "selection half of test"
    assert count(report)["test"] < 360 and has_caveat(report, "A method that made a checkpoint has read")
    evaluated = run("evaluate", "second", "--original", "first")
    half = evaluated["over_forgetting"]["half"]
    assert has_caveat(evaluated, "a method that made the original has read") == (half == "selection")
    assert count(json.loads(Path("third", "report.json").read_text()))["test"] == count(report)["test"]
    retrained = invoke(
        "unlearn", "second", "-m", "manifest.yaml", "--method", "retrain", "-o", "new", "--set", "epochs=1"
    )
    assert retrained.exit_code == 0, retrained.stderr
    assert read_lineage("new") is None  # it started from new weights


def test_validation_is_read_instead_of_test(original: Path, project: Path) -> None:
    write_manifest(project, DIVIDED)
    report = unlearn(original, "out")
    assert (count(report)["test"], count(report)["validation"], count(report)["held_out"]) == (180, 180, 180)
    assert not report["metrics"]["subject"].keys() & {"validation", "held_out"}
    assert read_lineage("out") == "validation"
    assert not has_caveat(report, "half")
    assert count(run("evaluate", "out"))["test"] == 180
    write_manifest(project, MANIFEST)
    unlearn("out", "both")
    assert read_lineage("both") == "selection half of test, validation"


def test_an_optional_input_is_given_if_a_setting_names_it(original: Path, project: Path) -> None:
    without, given = (
        unlearn(original, value, "--set", f"rewind={value}", method="rewinding") for value in ("last", "held_out")
    )
    assert "held_out" not in without["inputs"] and count(without)["test"] == 360
    assert "held_out" in given["inputs"] and count(given)["test"] < 360
    assert (read_lineage("last"), read_lineage("held_out")) == (None, "selection half of test")


@pytest.mark.parametrize("method", ["amnesiac", "bad_teacher", "finetune", "neggrad"])
def test_methods_rewind_by_request(method: str, original: Path, project: Path) -> None:
    write_manifest(project, MANIFEST.replace("{classes: [3]}", "{fraction: {share: 0.1}}"))
    fewer = {"finetune": ["epochs=1"], "neggrad": ["steps=5"]}.get(method, ["impair_steps=5", "repair_steps=10"])
    words = ["unlearn", original, "-m", "manifest.yaml", "--method", method, "--force", "--device", "cpu"]
    words += [word for setting in fewer for word in ("--set", setting)]
    for value, is_read in (("last", False), ("held_out", True)):
        result = invoke(*words, "-o", value, "--set", f"rewind={value}")
        assert result.exit_code == 0, result.stderr
        report = json.loads(Path(value, "report.json").read_text())
        assert ("held_out" in report["inputs"], "forget" in report["inputs"]) == (
            is_read,
            is_read or method in ("amnesiac", "neggrad"),
        )
        assert report["manifest"]["half"] == ("verdict" if is_read else "all")
        assert has_caveat(report, "forgotten and held-out records differ least there") == is_read


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_a_refusal_names_the_setting_without_held_out_records(
    flags: tuple[str, ...], original: Path, project: Path
) -> None:
    records = MANIFEST.replace("{classes: [3]}", "{fraction: {share: 0.1}}")  # whole classes are not rewound
    small = records.replace("part: test}}", "part: test}, rows: {every: 6}}")
    without = records.replace("  test: {sklearn: {name: digits, part: test}}\n", "")
    advice = "or set data.validation to other never-seen records, or set rewind=last, with which the method reads none"
    for manifest, words in ((small, advice), (without, "add it, set rewind=last, or use one that needs less: ")):
        write_manifest(project, manifest)
        words_given = ["--method", "neggrad", "-o", "out", *flags]
        result = invoke("unlearn", original, "-m", "manifest.yaml", *words_given)
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
        assert words in result.stderr
        assert not Path("out").exists()
    write_manifest(project, small)
    words_given = ["--method", "neggrad", "--set", "rewind=last", "-o", "out", "--dry-run"]
    assert invoke("unlearn", original, "-m", "manifest.yaml", *words_given).exit_code == 0


@pytest.mark.parametrize(
    ("method", "flags"), [("stopping", ()), ("rewinding", ("--set", "rewind=held_out")), ("stopping", ("--dry-run",))]
)
@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (
            MANIFEST.replace("  test: {sklearn: {name: digits, part: test}}\n", ""),
            "needs held_out, but the manifest has no data.test or data.validation; add it",
        ),
        (
            MANIFEST.replace("part: test}}", "part: test}, rows: {every: 6}}"),
            "data.test: is too small to be divided: its selection half has 29 never-seen records, but 50 are needed; "
            "add records, or set data.validation to other never-seen records",
        ),
        (
            DIVIDED.replace("{last: 0.5}", "{last: 0.1}"),
            "data.validation: has 36 never-seen records, but 50 are needed for methods; add records",
        ),
    ],
)
def test_lacking_records_are_refused_before_anything_is_written(
    manifest: str, reason: str, method: str, flags: tuple[str, ...], original: Path, project: Path
) -> None:
    write_manifest(project, manifest)
    arguments = ["unlearn", original, "-m", "manifest.yaml", "--method", f"mine.py:{method}", "--allow-code"]
    result = invoke(*arguments, "-o", "out", *flags)
    assert (result.exit_code, result.stdout) == (2, "")
    assert reason in result.stderr
    assert "loading torch" not in result.stderr
    assert not Path("out").exists()


def test_the_dry_run_lists_the_input_and_its_records(original: Path, project: Path) -> None:
    arguments = ["unlearn", original, "-m", "manifest.yaml", "--method", "mine.py:rewinding", "--allow-code"]
    result = invoke(*arguments, "-o", "out", "--set", "rewind=held_out", "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert plan["inputs"] == ["model", "retain", "task_loss", "held_out"]
    assert plan["half"] == "verdict"
    shown = invoke("show", "mine.py:rewinding", "--allow-code").stdout
    assert "model, retain, task_loss, held_out (optional)" in shown
    assert plan["splits"]["held_out"]["n"] + plan["splits"]["test"]["n"] == 360
    assert not Path("out").exists()


def test_the_report_and_its_page_name_the_half(original: Path, project: Path) -> None:
    unlearn(original, "out")
    result = invoke("evaluate", "out", "-m", "manifest.yaml", "--original", original, "-o", "evaluated")
    report = json.loads(Path("evaluated", "report.json").read_text())
    assert report["manifest"]["half"] == "verdict"
    assert "Numbers on test are of its verdict half." in result.stdout
    text = render(Report.model_validate(report))
    assert "all never-seen records, of the verdict half of test" in text
    assert "all numbers on test are of the verdict half" in text


def test_copies_are_left_out_and_counted(original: Path, project: Path) -> None:
    train = "{sklearn: {name: digits, part: train}, rows: {first: 0.1}}"
    write_manifest(project, MANIFEST.replace("forget:", f"  validation: {train}\nforget:"))
    arguments = ["unlearn", original, "-m", "manifest.yaml", "--method", "mine.py:stopping", "--allow-code"]
    result = invoke(*arguments, "-o", "out")
    assert result.exit_code == 2
    assert "data.validation: has 0 never-seen records, but 50 are needed for methods" in result.stderr
    evaluated = run("evaluate", original)
    notice = {
        "source": "data.validation",
        "kind": "copies of training records, which methods do not receive",
        "count": 144,
    }
    assert notice in evaluated["manifest"]["notices"]


def test_results_of_the_api_have_the_lineage(original: Path, project: Path) -> None:
    options: dict[str, Any] = {"device": "cpu", "allow_code": True, "force": True}
    result = unlearn_cli.unlearn(original, "manifest.yaml", method="mine.py:stopping", **options)
    evaluated = unlearn_cli.evaluate(result.state_dict, "manifest.yaml", device="cpu")
    assert evaluated.report.manifest.half == "verdict"
    attacked = unlearn_cli.attack(original, "manifest.yaml", device="cpu")
    assert attacked.report.manifest.half == "verdict"
    assert unlearn_cli.evaluate(original, "manifest.yaml", device="cpu").report.manifest.half == "all"


def test_a_state_is_resumed_only_with_the_same_held_out_records(project: Path) -> None:
    write_manifest(project, DIVIDED)
    opened = open_inputs(project / "manifest.yaml", RunOptions())
    held_out = add_held_out(opened.dataset)
    fewer = add_held_out(opened.dataset).split("held_out").take(np.arange(60))
    datasets = [held_out, replace(held_out, splits={**held_out.splits, "held_out": fewer})]
    first, second = (resume_identity(replace(opened, dataset=dataset)) for dataset in datasets)
    assert first != second


def test_shadow_runs_give_the_input_too(project: Path) -> None:
    flags = ["--method", "mine.py:stopping", "--allow-code", "--shadows", "runs", "--cells", "0", "--device", "cpu"]
    result = invoke("shadow", "-m", "manifest.yaml", *flags, "--train-set", "epochs=1")
    assert result.exit_code == 0, result.stderr
    assert "held_out" in json.loads(Path("runs", "plan.json").read_text())


def test_shadow_runs_do_not_rewind_whole_classes_either(project: Path) -> None:
    flags = ["--method", "neggrad", "--shadows", "runs", "--cells", "0", "--device", "cpu", "--set", "steps=1"]
    result = invoke("shadow", "-m", "manifest.yaml", *flags, "--train-set", "epochs=1")
    assert result.exit_code == 0, result.stderr
    assert "held_out" not in json.loads(Path("runs", "plan.json").read_text())


@pytest.mark.parametrize("explicit", [False, True])
def test_whole_classes_are_not_rewound_and_all_of_test_is_reported(
    explicit: bool, original: Path, project: Path
) -> None:
    chosen = ["--set", "rewind=held_out"] if explicit else []
    result = invoke("unlearn", original, "-m", "manifest.yaml", "--method", "neggrad", *chosen, "-o", "out", *FEW)
    assert result.exit_code == 0, result.stderr
    report = json.loads(Path("out", "report.json").read_text())
    assert ("held_out" in report["inputs"], report["settings"]["rewind"], count(report)["test"]) == (False, "last", 360)
    assert ("rewind=held_out has no effect on whole classes" in result.stderr) is explicit
    assert read_lineage("out") is None


FEW = ("--set", "steps=3", "--force")


def write_validation(folder: Path, digits: list[int], forget: str) -> None:
    """Write a manifest whose held-out records are some of these digits, changed in a corner: train has them, too."""
    bunch: Any = load_digits()
    images = bunch.images[np.isin(bunch.target, digits)].astype(np.uint8)
    images[:, 0, 0] = 1 + np.arange(len(images)) % 16
    np.savez(folder / "validation.npz", x=images, y=bunch.target[np.isin(bunch.target, digits)])
    text = MANIFEST.replace("part: train}}", "part: train}}\n  validation: {npz: validation.npz}")
    write_manifest(folder, text.replace("{classes: [3]}", forget))


def test_held_out_records_of_the_forgotten_class_only_are_refused(original: Path, project: Path) -> None:
    write_validation(project, [3], "{classes: [3]}")
    words = ["--method", "masked", "--set", "keep=held_out", "-o", "out"]
    result = invoke("unlearn", original, "-m", "manifest.yaml", *words)
    assert result.exit_code == 2
    assert "the held-out records (validation) have only the forgotten classes" in result.stderr
    assert not Path("out").exists()


def test_forgotten_records_of_a_class_without_held_out_records_are_counted(original: Path, project: Path) -> None:
    write_validation(project, [0, 1, 2, 3, 4, 5], "{fraction: {share: 0.1, seed: 0}}")
    result = invoke("unlearn", original, "-m", "manifest.yaml", "--method", "neggrad", "-o", "out", *FEW)
    assert result.exit_code == 0, result.stderr
    assert "the held-out records (validation) have no record of 6, 7, 8, 9: " in result.stderr
