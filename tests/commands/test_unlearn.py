import json
import os
import re
import signal
import stat
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.forked import Finished, run, start_function
from tests.tiny import MANIFEST, invoke, write_manifest
from unlearn_cli.runtime.progress import Steps
from unlearn_cli.storage.leftovers import PREDICTIONS

FAST = ["--method", "finetune", "--set", "epochs=1", "--device", "cpu"]


def stop_at_step(step: int, *words: object) -> Finished:
    """Run a command in a process that a signal stops before a step is logged."""
    log = Steps.log

    def log_or_stop(self: Steps[Any], **values: Any) -> None:
        if self.done == step - 1:
            signal.raise_signal(signal.SIGTERM)
        log(self, **values)

    def stop() -> int:
        Steps.log = log_or_stop  # type: ignore[method-assign]
        return run([str(word) for word in words])

    return start_function(stop).wait()


def report_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_it_writes_checkpoint_and_reports_and_prints_the_folder(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    result = invoke("unlearn", original, "-m", manifest, "-o", tmp_path / "out", *FAST)
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path / 'out'}\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "README.md",
        "model.safetensors",
        "report.html",
        "report.json",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [PREDICTIONS, "manifest.yaml", "out"]
    assert load_file(tmp_path / "out" / "model.safetensors").keys() == load_file(original).keys()


def test_the_same_seed_gives_the_same_bytes_and_reports_that_differ_in_run_alone(
    original: Path, tmp_path: Path
) -> None:
    steps = ("impair_steps=3", "repair_steps=3", "noise_steps=3", "impair_lr=0.004")
    settings = ["--method", "unsir", *(word for setting in steps for word in ("--set", setting))]
    for out, seed in (("a", 0), ("b", 0), ("c", 1)):
        words = ["unlearn", original, "-m", write_manifest(tmp_path), "-o", tmp_path / out, *settings, "--seed", seed]
        assert invoke(*words).exit_code == 0
    weights = [(tmp_path / out / "model.safetensors").read_bytes() for out in "abc"]
    assert weights[0] == weights[1] != weights[2]
    a, b = report_of(tmp_path / "a"), report_of(tmp_path / "b")
    assert a.pop("run") != b.pop("run")
    assert a == b


def test_the_report_follows_its_schema_and_names_no_record_and_no_place(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    result = invoke("unlearn", original, "-m", manifest, "-o", tmp_path / "out", "--json", *FAST)
    document = json.loads(result.stdout)
    schema = json.loads(invoke("schema", "report").stdout)
    jsonschema.Draft202012Validator(schema).validate(document)
    text = (tmp_path / "out" / "report.json").read_text(encoding="utf-8")
    assert document == json.loads(text)
    assert str(tmp_path) not in text
    assert str(original.parent) not in text
    assert not re.search(r"NaN|Infinity", text)
    assert "private" not in text.lower()
    assert document["subject"]["lineage"]["parent"] == document["original"]["tensor_digest"]


def test_record_ids_appear_as_digests_only(tmp_path: Path, original: Path) -> None:
    ids = "forget: {ids: [17, 23]}"
    manifest = write_manifest(tmp_path, MANIFEST.replace("forget: {classes: [3]}", ids))
    assert invoke("unlearn", original, "-m", manifest, "-o", tmp_path / "out", *FAST).exit_code == 0
    report = report_of(tmp_path / "out")
    assert report["manifest"]["splits"]["forget"]["n"] == 2
    assert len(report["manifest"]["splits"]["forget"]["ids_digest"]) == 64
    assert "test_forget" not in report["manifest"]["splits"]


def test_a_gate_that_fails_is_exit_code_3_and_the_files_are_there(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, MANIFEST + "gates: ['forget.accuracy <= -1', 'test.accuracy >= 0.1']\n")
    result = invoke("unlearn", original, "-m", manifest, "-o", tmp_path / "out", *FAST)
    assert result.exit_code == 3
    assert "failed" in result.stderr
    report = report_of(tmp_path / "out")
    assert [gate["verdict"] for gate in report["gates"]] == ["failed", "passed"]
    assert report["verdict"] == "failed"


@pytest.mark.parametrize("flag", ["--json", "--quiet"])
def test_failed_gates_are_named_on_stderr_with_value_n_and_limit(flag: str, original: Path, tmp_path: Path) -> None:
    gates = "gates: ['forget.accuracy <= -1', 'test.accuracy >= 0.1', 'test_retain.accuracy > reference']\n"
    manifest, out = write_manifest(tmp_path, MANIFEST + gates), tmp_path / "out"
    for command, options in (("unlearn", ["-o", out, *FAST]), ("evaluate", ["--device", "cpu"])):
        result = invoke(command, original, "-m", manifest, flag, *options)
        assert result.exit_code == 3
        lines = [line for line in result.stderr.splitlines() if "gate failed" in line]
        assert re.fullmatch(
            r"warning: gate failed: forget.accuracy <= -1: value [01.e-]*\d*, n 135, limit -1", lines[0]
        )
        assert "test_retain.accuracy > reference: value" in lines[1]
        assert len(lines) == 2


def test_without_evaluation_gates_cannot_hold(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, MANIFEST + "gates: ['forget.accuracy <= 1']\n")
    result = invoke("unlearn", original, "-m", manifest, "-o", tmp_path / "out", "--no-evaluate", *FAST)
    assert result.exit_code == 3
    assert report_of(tmp_path / "out")["metrics"] == {}


def test_an_original_no_better_than_chance_is_refused_unless_forced(original: Path, tmp_path: Path) -> None:
    """Its outputs stand in another order than the manifest's classes, so that it is right in hardly any record."""
    weights = load_file(original)
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = weights[name].roll(1, dims=0).contiguous()
    save_file(weights, tmp_path / "rolled.safetensors")
    arguments = ["unlearn", tmp_path / "rolled.safetensors", "-m", write_manifest(tmp_path), "-o", tmp_path / "out"]
    result = invoke(*arguments, *FAST)
    assert result.exit_code == 2
    assert "no better than chance" in result.stderr
    assert not (tmp_path / "out").exists()
    assert invoke(*arguments, "--force", *FAST).exit_code == 0


@pytest.mark.parametrize("cycle", [[8, 9], [0, 1, 2]])
def test_exchanged_names_of_classes_are_refused_unless_forced(cycle: list[int], original: Path, tmp_path: Path) -> None:
    """The other classes are recognised, so the accuracy is far above chance."""
    weights, order = load_file(original), torch.arange(10)
    order[cycle] = order[cycle].roll(1)
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = weights[name][order].contiguous()
    save_file(weights, tmp_path / "exchanged.safetensors")
    arguments = ["unlearn", tmp_path / "exchanged.safetensors", "-m", write_manifest(tmp_path), "-o", tmp_path / "out"]
    result = invoke(*arguments, *FAST)
    names = " as ".join(map(str, [*cycle, cycle[0]]))
    assert (result.exit_code, f"recognises records of {names} (" in result.stderr) == (2, True), result.stderr
    assert not (tmp_path / "out").exists()
    assert invoke(*arguments, "--force", *FAST).exit_code == 0


def test_an_original_with_the_same_outputs_for_all_records_is_refused(original: Path, tmp_path: Path) -> None:
    weights = load_file(original)
    weights["classifier.weight"] = weights["classifier.weight"] * 0
    save_file(weights, tmp_path / "constant.safetensors")
    arguments = ["unlearn", tmp_path / "constant.safetensors", "-m", write_manifest(tmp_path), "-o", tmp_path / "out"]
    result = invoke(*arguments, *FAST)
    assert (result.exit_code, "outputs are equal for all 1000 records" in result.stderr) == (2, True)
    assert not (tmp_path / "out").exists()


def test_a_dry_run_counts_and_writes_nothing(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    result = invoke("unlearn", original, "-m", manifest, "-o", tmp_path / "out", "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert plan["splits"]["forget"]["n"] == 135
    assert plan["splits"]["forget"]["classes"]["3"] == 135
    assert "retain" in plan["inputs"]
    assert "forget" not in plan["inputs"]
    impair, repair = round(25 * 1302 / 11), round(90 * 1302 / 11)  # an epoch has 11 equal batches
    assert plan["samples_at_least"] == impair + repair
    most_repair = round((6 * 20 + 90 - 20) * 1302 / 11)  # 6 rounds with 22 % of the steps, 20, and the rest of one
    assert plan["samples_at_most"] == round(6 * 25 * 1302 / 11) + most_repair
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.yaml"]
    told = invoke("unlearn", original, "-m", manifest, "-o", tmp_path / "out", "--dry-run").stdout
    assert "inputs of unsir: " in told
    assert f"work: about {impair + repair} to {plan['samples_at_most']} samples of retain forward and backward" in told


def test_a_dry_run_has_a_row_for_each_class_and_bounds_the_work_by_the_epochs(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    result = invoke("unlearn", original, "-m", manifest, "-o", tmp_path / "out", "--dry-run", *FAST)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["class", "train", "test", "forget", "retain", "test_forget", "test_retain"]
    assert lines[2] == ["n", "1437", "360", "135", "1302", "48", "312"]
    assert [line[0] for line in lines[3:13]] == list("0123456789")
    assert lines[6] == ["3", "135", "48", "135", "0", "48", "0"]
    assert "work: about 1302 samples of retain forward and backward" in result.stdout


@pytest.mark.parametrize("command", ["unlearn", "evaluate"])
def test_a_manifest_may_come_from_a_pipe_which_can_be_read_only_once(
    command: str, original: Path, tmp_path: Path
) -> None:
    reader, writer = os.pipe()
    with open(writer, "w", encoding="utf-8") as file:
        file.write(MANIFEST)
    out = ["-o", tmp_path / "out"] if command == "unlearn" else []
    try:
        result = invoke(command, original, "-m", f"/dev/fd/{reader}", "--dry-run", *out)
    finally:
        os.close(reader)
    assert result.exit_code == 0, result.stderr


def test_an_existing_output_is_replaced_only_when_asked(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    for flags, code in ([], 0), ([], 2), (["--overwrite"], 0):
        result = invoke("unlearn", original, "-m", manifest, "-o", tmp_path / "out", *FAST, *flags)
        assert result.exit_code == code


def test_log_lines_can_be_json_objects(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    result = invoke("unlearn", original, "-m", manifest, "-o", tmp_path / "out", "--log-format", "json", *FAST)
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert {"time", "level", "message"} <= lines[0].keys()
    assert any(line.get("phase") == "finetune" for line in lines)


def test_quiet_says_nothing(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    assert invoke("unlearn", original, "-m", manifest, "-o", tmp_path / "out", "--quiet", *FAST).stderr == ""


def test_stopped_by_a_signal_it_goes_on_and_ends_in_the_same_bytes(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    settings = ["--method", "finetune", "--set", "epochs=9", "--device", "cpu", "--precision", "fp32", "--no-evaluate"]
    command = ["unlearn", original, "-m", manifest, *settings]
    assert invoke("unlearn", original, "-m", manifest, "-o", tmp_path / "whole", *settings).exit_code == 0
    stopped = stop_at_step(60, *command, "-o", tmp_path / "out")
    assert stopped.exit_code == 75, stopped.stderr
    assert "stopped by a signal after step 60 of finetune" in stopped.stderr
    assert "the same command continues" in stopped.stderr
    assert not (tmp_path / "out").exists()
    result = invoke("unlearn", original, "-m", manifest, "-o", tmp_path / "out", *settings)
    assert "continues after step 60" in result.stderr
    outs = [(tmp_path / out / "model.safetensors").read_bytes() for out in ("whole", "out")]
    assert outs[0] == outs[1]
    assert not (tmp_path / "out.partial").exists()


def test_state_of_a_run_on_other_data_is_not_gone_on_from(original: Path, tmp_path: Path) -> None:
    """A file of ids may have grown since the run was interrupted: those records must be forgotten, too."""
    manifest = write_manifest(tmp_path, MANIFEST.replace("{classes: [3]}", "{ids_file: {path: ids.csv}}"))
    (tmp_path / "ids.csv").write_text("id\n6\n7\n")
    settings = ["--method", "finetune", "--set", "epochs=1", "--device", "cpu", "--no-evaluate"]
    arguments = ["unlearn", str(original), "-m", str(manifest), *settings, "-o", str(tmp_path / "out")]
    assert stop_at_step(5, *arguments).exit_code == 75
    (tmp_path / "out.partial" / "mine").mkdir()
    (tmp_path / "ids.csv").write_text("id\n6\n7\n101\n102\n")
    result = invoke(*arguments)
    assert "continues" not in result.stderr
    assert report_of(tmp_path / "out")["manifest"]["splits"]["forget"]["n"] == 4
    assert (tmp_path / "out.partial" / "mine").is_dir()


def test_state_of_another_selection_is_discarded_and_names_nobody(original: Path, tmp_path: Path) -> None:
    """The folder, the file and its metadata are the same whoever is to be forgotten, but for a salted digest."""
    settings = ["--method", "finetune", "--set", "epochs=1", "--device", "cpu", "--no-evaluate"]
    arguments = ["unlearn", str(original), "-m", str(tmp_path / "manifest.yaml"), *settings]
    states = []
    for number, ids in enumerate(([6, 7], [6, 7], [7, 8])):
        write_manifest(tmp_path, MANIFEST.replace("{classes: [3]}", f"{{ids: {ids}}}"))
        assert stop_at_step(5, *arguments, "-o", tmp_path / f"out{number}").exit_code == 75
        states += (tmp_path / f"out{number}.partial").glob("*/*")
    assert len({(state.parent.name, state.name) for state in states}) == 1
    assert {stat.S_IMODE(state.stat().st_mode) for state in states} == {0o600}
    facts = [json.loads(safe_open(state, framework="pt").metadata()["facts"]) for state in states]
    assert len({one["identity"] for one in facts}) == len({one["salt"] for one in facts}) == 3
    result = invoke(*arguments, "-o", tmp_path / "out0")  # the manifest asks for 7 and 8 now
    assert result.exit_code == 0
    assert "belongs to other records or another selection; it is removed, and finetune starts again" in result.stderr


def test_no_digest_of_the_manifest_reveals_by_trial_who_is_forgotten(original: Path, tmp_path: Path) -> None:
    for number, ids in enumerate(([6], [7])):
        manifest = write_manifest(tmp_path, MANIFEST.replace("{classes: [3]}", f"{{ids: {ids}}}"), f"{number}.yaml")
        assert invoke("unlearn", original, "-m", manifest, "-o", tmp_path / str(number), *FAST).exit_code == 0
    reports = [report_of(tmp_path / name) for name in ("0", "1")]
    digests = {report["manifest"]["manifest_digest"] for report in reports}
    assert len(digests) == 1
    assert [report["manifest"]["selection_digest"] for report in reports] == [None, None]
    for report in reports:
        assert report["subject"]["lineage"]["manifest_digest"] in digests
        assert not {"manifest", "selection_digest"} & report["subject"]["lineage"].keys()


def test_what_is_measured_is_what_is_delivered_in_half_precision_too(original: Path, tmp_path: Path) -> None:
    halves = {name: t.bfloat16() if t.is_floating_point() else t for name, t in load_file(original).items()}
    save_file(halves, tmp_path / "half.safetensors")
    manifest, out = write_manifest(tmp_path), tmp_path / "out"
    assert invoke("unlearn", tmp_path / "half.safetensors", "-m", manifest, "-o", out, *FAST).exit_code == 0
    told = report_of(out)["metrics"]["subject"]
    flags = ["--original", tmp_path / "half.safetensors", "--device", "cpu", "--json"]
    measured = invoke("evaluate", out / "model.safetensors", "-m", manifest, *flags)
    assert json.loads(measured.stdout)["metrics"]["subject"] == told


def test_a_forgotten_record_that_test_holds_too_is_told(original: Path, tmp_path: Path) -> None:
    text = MANIFEST.replace("part: test", "part: all").replace("{classes: [3]}", "{ids: [1, 2]}")
    manifest, warning = write_manifest(tmp_path, text), "2 records of test equal a forgotten one byte for byte"
    unlearned = invoke("unlearn", original, "-m", manifest, "-o", tmp_path / "out", *FAST)
    assert f"warning: {warning}" in unlearned.stderr
    report = report_of(tmp_path / "out")
    assert any(caveat.startswith(warning) for caveat in report["caveats"])
    assert not report["manifest"]["checks"]["test_has_no_forgotten_sample"]
    evaluated = invoke("evaluate", original, "-m", manifest, "--json")
    assert warning in evaluated.stderr
    assert any(caveat.startswith(warning) for caveat in json.loads(evaluated.stdout)["caveats"])


@pytest.mark.parametrize("flag", [[], ["--forget-duplicates"]])
def test_copies_of_forgotten_records_are_counted_and_can_be_taken_along(
    flag: list[str], original: Path, tmp_path: Path
) -> None:
    import numpy as np
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    x, y = digits.images.astype(np.uint8), digits.target
    np.savez(tmp_path / "train.npz", x=np.concatenate([x, x[:3]]), y=np.concatenate([y, y[:3]]))
    text = MANIFEST.replace("{sklearn: {name: digits, part: train}}", "{npz: train.npz}").replace(
        "{classes: [3]}", "{ids: [0, 1]}"
    )
    manifest = write_manifest(tmp_path, text)
    result = invoke("unlearn", original, "-m", manifest, "-o", tmp_path / "out", *FAST, *flag)
    assert result.exit_code == 0, result.stderr
    report = report_of(tmp_path / "out")
    assert report["manifest"]["splits"]["forget"]["n"] == (4 if flag else 2)
    assert ("2 records of retain equal a forgotten one" in result.stderr) is not bool(flag)


def test_batch_norm_of_a_single_record_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The method ascends on one record only, in batches of this record."""
    layers = "nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10)"
    network = f"from torch import nn\ndef net(): return nn.Sequential({layers})"
    (tmp_path / "own_norm.py").write_text(network, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    text = MANIFEST.replace("{architecture: allcnn, arguments: {width: 8}}", "{architecture: 'own_norm:net'}")
    text = text.replace("{classes: [3]}", "{ids: [1]}")
    manifest, allowed = write_manifest(tmp_path, text), ("--allow-code", "--device", "cpu")
    trained = invoke("train", "-m", manifest, "-o", tmp_path / "norm", "--set", "epochs=2", *allowed)
    assert trained.exit_code == 0, trained.stderr
    words = ["--method", "neggrad", "--set", "retain_weight=0", "--set", "batch_norm=batch", "--set", "rewind=last"]
    result = invoke("unlearn", tmp_path / "norm", "-m", manifest, "-o", tmp_path / "out", *words, *allowed)
    assert (result.exit_code, "error: a batch has one record, of which batch norm" in result.stderr) == (2, True)
    assert not (tmp_path / "out").exists()
