"""The command `attack`: what is run, what is refused, what the verdict and the files say."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits

from tests.references import given, standard_flags
from tests.tiny import MANIFEST, invoke, write_manifest
from unlearn_cli.commands.manifest_inputs import open_inputs
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.planned_attacks import choose
from unlearn_cli.plugins import discovery
from unlearn_cli.plugins.run_options import RunOptions, SettingSources
from unlearn_cli.reporting import report


def attacked(*arguments: object) -> dict[str, Any]:
    return json.loads(invoke("attack", *arguments, "--json").stdout)


def test_the_untouched_original_fails_without_any_reference(original: Path, tmp_path: Path) -> None:
    result = invoke("attack", original, "-m", write_manifest(tmp_path), "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["verdict"]) == (3, "failed")
    assert any(gate["verdict"] == "failed" and "accuracy" in gate["condition"] for gate in document["gates"])


def test_failed_gates_are_named_on_stderr(original: Path, references: list[Path], tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    result = invoke("attack", original, "-m", manifest, "--json", "--quiet")
    assert "warning: gate failed: forget accuracy at most 0.05: value" in result.stderr
    assert ", n 135, limit 0.05" in result.stderr
    screened = invoke("attack", references[0], "-m", manifest, "--original", original, "--require-tier", "audit")
    assert (screened.exit_code, "warning: " in screened.stderr) == (4, True)


@pytest.mark.usefixtures("short_attacks")
def test_a_retrained_network_does_not_fail(original: Path, references: list[Path], tmp_path: Path) -> None:
    flags = ["-m", write_manifest(tmp_path), "--original", original]
    for tier, beside in (("quick", []), ("standard", given(references[:4]))):
        document = attacked(references[4], *flags, "--tier", tier, *beside)
        assert document["verdict"] in ("passed", "passed_screen", "inconclusive"), document["judgement"]
        assert document["judgement"]["calibration"]["original"] == "failed"


def test_the_standard_tier_runs_all_it_can_and_says_what_it_left_out(judged: Path) -> None:
    document = json.loads((judged / "out" / "report.json").read_text(encoding="utf-8"))
    probes = {(found["name"], found["role"]) for found in document["findings"]}
    for role in ("subject", "original", "reference", "reference_4"):
        assert ("retrain_z", role) in probes
        assert ("linear_probe", role) in probes
    assert {one["name"] for one in document["skipped"]} == {"quantile"}
    assert document["verdict"] == "failed"


def test_the_report_keeps_to_its_schema_and_names_no_record_and_no_place(judged: Path, original: Path) -> None:
    text = (judged / "out" / "report.json").read_text(encoding="utf-8")
    Draft202012Validator(report.json_schema()).validate(json.loads(text))
    page = (judged / "out" / "report.html").read_text(encoding="utf-8")
    for found in (text, page):
        assert "NaN" not in found
        assert "Infinity" not in found
        assert str(judged.parent) not in found
        assert str(original.parent) not in found
        assert "person-" not in found


@pytest.mark.usefixtures("short_attacks")
def test_equal_runs_write_equal_reports(judged: Path, original: Path, references: list[Path]) -> None:
    """Only the first has an output, and thus stores and reads predictions."""
    first = json.loads((judged / "out" / "report.json").read_text(encoding="utf-8"))
    second = attacked(original, "-m", judged / "manifest.yaml", *standard_flags(original, references))
    assert first.pop("run") != second.pop("run")
    assert first == second


def test_attacks_by_name_give_no_verdict(original: Path, tmp_path: Path) -> None:
    flags = ["-m", write_manifest(tmp_path), "--attack", "population", "--set", "statistic=entropy"]
    result = invoke("attack", original, *flags, "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["verdict"], document["gates"]) == (0, None, [])
    assert [block["settings"] for block in document["attacks"]] == [{"statistic": "entropy"}]


def test_every_name_of_a_tier_is_an_attack() -> None:
    for tier in discovery.TIERS:
        assert len({one.label for one in choose(tier, (), SettingSources())}) == len(choose(tier, (), SettingSources()))


def test_a_setting_reaches_those_that_have_it_or_the_one_named() -> None:
    two = choose(
        None, ("population", "learned_loss"), SettingSources(None, ("statistic=loss", "learned_loss.splits=3"))
    )
    assert two[0].settings.model_dump() == {"statistic": "loss"}
    assert two[1].settings.model_dump()["splits"] == 3


@pytest.mark.parametrize(
    ("assignment", "told"),
    [("statistik=loss", "did you mean 'statistic'"), ("populaton.statistic=loss", "'populaton' is not one of")],
)
def test_a_setting_that_reaches_none_is_refused(assignment: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        choose(None, ("population", "learned_loss"), SettingSources(None, (assignment,)))


def test_the_halves_of_the_hold_out_are_disjoint_and_make_the_whole(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    whole, one, other = (
        open_inputs(manifest, RunOptions(half=half)).dataset.splits for half in ("all", "selection", "verdict")
    )
    for name in ("test", "test_forget", "test_retain"):
        assert not set(one[name].rows) & set(other[name].rows)
        assert sorted([*one[name].rows, *other[name].rows]) == whole[name].rows.tolist()
    assert all(len(one[name]) == len(whole[name]) for name in ("train", "forget", "retain"))
    assert min(len(one["test"]), len(other["test"])) > 0.4 * len(whole["test"])


def test_the_verdict_is_reached_on_the_verdict_half(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    splits = {half: open_inputs(manifest, RunOptions(half=half)).dataset.splits for half in ("selection", "verdict")}
    document = attacked(original, "-m", manifest)
    assert document["judgement"]["holdout_half"] == "verdict"
    assert document["manifest"]["splits"]["test"]["n"] == len(splits["verdict"]["test"])
    chosen = attacked(original, "-m", manifest, "--half", "selection", "--attempts", 4)
    assert chosen["manifest"]["splits"]["test"]["n"] == len(splits["selection"]["test"])
    assert chosen["judgement"]["attempts"] == 4


def test_a_reference_that_was_trained_on_forget_is_refused(original: Path, tmp_path: Path) -> None:
    manifest, out = write_manifest(tmp_path), tmp_path / "tuned"
    assert invoke("unlearn", original, "-m", manifest, "--method", "finetune", "-o", out, "--set", "epochs=1")
    for reference, told in ((original, "trained on train"), (out / "model.safetensors", "unlearned by finetune")):
        for command in ("attack", "evaluate", "unlearn"):
            flags = ["-o", tmp_path / "new"] if command == "unlearn" else []
            result = invoke(command, original, "-m", manifest, "--reference", reference, *flags)
            assert (result.exit_code, told in result.stderr) == (2, True)
    assert not (tmp_path / "new").exists()


def test_a_reference_that_is_the_subject_itself_is_refused(references: list[Path], tmp_path: Path) -> None:
    result = invoke("attack", references[0], "-m", write_manifest(tmp_path), "--reference", references[0])
    assert (result.exit_code, "same weights" in result.stderr) == (2, True)


def test_a_reference_without_lineage_is_the_users_word(references: list[Path], tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    save_file(load_file(references[0]), tmp_path / "plain.safetensors")
    told = attacked(references[1], "-m", manifest, "--reference", tmp_path / "plain.safetensors")["caveats"]
    assert any("an assertion of the user" in caveat for caveat in told)
    told = attacked(references[1], "-m", manifest, "--reference", references[0])["caveats"]
    assert not any("an assertion of the user" in caveat for caveat in told)


def test_a_forgotten_record_in_test_is_refused(original: Path, tmp_path: Path) -> None:
    digits: Any = load_digits()
    rows = np.arange(0, len(digits.target), 5)
    forgotten = np.flatnonzero((digits.target == 3) & (np.arange(len(digits.target)) % 5 != 0))[:2]
    rows = np.concatenate([rows, forgotten])
    np.savez(tmp_path / "test.npz", x=digits.images[rows].astype(np.uint8), y=digits.target[rows])
    np.savez(
        tmp_path / "train.npz",
        x=digits.images[np.arange(len(digits.target)) % 5 != 0].astype(np.uint8),
        y=digits.target[np.arange(len(digits.target)) % 5 != 0],
    )
    text = MANIFEST.replace("{sklearn: {name: digits, part: test}}", "{npz: test.npz}")
    manifest = write_manifest(tmp_path, text.replace("{sklearn: {name: digits, part: train}}", "{npz: train.npz}"))
    refused = invoke("attack", original, "-m", manifest, "--half", "all")
    assert (refused.exit_code, "2 records of test equal a forgotten one" in refused.stderr) == (2, True)
    assert attacked(original, "-m", manifest, "--half", "all", "--force")["attacks"][0]["num_non_members"] == 48


def test_what_a_verdict_is_worth_to_ci(original: Path, references: list[Path], tmp_path: Path) -> None:
    manifest, file = write_manifest(tmp_path), tmp_path / "gates.xml"
    flags = ["-m", manifest, "--original", original]
    assert invoke("attack", original, *flags, "--junit", file).exit_code == 3
    cases = ElementTree.parse(file).getroot().iter("testcase")
    assert any(case.find("failure") is not None for case in cases)
    screened = invoke("attack", references[0], *flags, "--require-tier", "standard", "--json")
    assert screened.exit_code == 4
    undecided = json.loads(screened.stdout)["verdict"]
    assert undecided in ("inconclusive", "passed_screen")
    assert invoke("attack", references[0], *flags, "--inconclusive", "pass").exit_code == 0
    assert invoke("attack", references[0], *flags, "--junit", file).exit_code == 2  # it is there already


def test_a_dry_run_says_what_would_be_run_and_what_it_can_decide(original: Path, tmp_path: Path) -> None:
    result = invoke("attack", original, "-m", write_manifest(tmp_path), "--dry-run", "--json")
    document = json.loads(result.stdout)
    assert "population" in document["attacks"]
    assert any(line.startswith("population AUC") for line in document["advice"])
    assert {gate["gate"] for gate in document["plan"]["gates"]} >= {"population AUC", "outputs differ (sanity)"}


def test_a_plan_fits_80_columns_and_needs_no_checkpoint_of_the_network(
    original: Path, references: list[Path], tmp_path: Path
) -> None:
    arguments = ["attack", original, "-m", write_manifest(tmp_path), "--tier", "standard", "--plan"]
    arguments += ["--original", original, "--reference", references[0]]
    result = invoke(*arguments)
    assert result.exit_code == 0 and max(map(len, result.stdout.splitlines())) <= 80
    assert "utility on test" in result.stdout and "not tested:" in result.stdout
    document = json.loads(invoke(*arguments, "--json").stdout)
    assert document["references"] == 1 and document["best_verdict"].startswith("passed")
    assert document["training"] is None or document["training"]["num_trainings"] == document["missing_references"]
    assert invoke("attack", original, "-m", tmp_path / "data.yaml", "--attack", "population", "--plan").exit_code == 2


def test_a_margin_is_recorded_and_needs_a_tier(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    document = attacked(original, "-m", manifest, "--margin", 0.1)
    assert document["judgement"]["auc_margin"] == 0.1
    assert any(gate["condition"] == "population AUC within 0.1 of 1/2" for gate in document["gates"])
    assert "--margin 0.1" in document["run"]["command_line"]
    for flags, message in ((("--attack", "population"), "use --tier"), (("--tier", "quick"), "equal to 0.25")):
        margin = 0.1 if "--attack" in flags else 0.5
        refused = invoke("attack", original, "-m", manifest, *flags, "--margin", margin)
        assert (refused.exit_code, message in refused.stderr) == (2, True), refused.stderr


def test_reconstructions_go_into_a_page_of_their_own_and_only_when_asked_for(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    flags = ["-m", manifest, "--original", original, "--attack", "inversion", "--set", "inversion.steps=5"]
    assert invoke("attack", original, *flags, "-o", tmp_path / "plain").exit_code == 0
    assert not (tmp_path / "plain" / "pictures.html").exists()
    assert invoke("attack", original, *flags, "-o", tmp_path / "shown", "--pictures").exit_code == 0
    assert "data:image/png" in (tmp_path / "shown" / "pictures.html").read_text(encoding="utf-8")
    assert invoke("attack", original, *flags, "--pictures").exit_code == 2
