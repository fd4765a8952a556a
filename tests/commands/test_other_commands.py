import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits

from tests.tiny import MANIFEST, ROOT, invoke, same, write_manifest
from unlearn_cli.commands.manifest_inputs import open_inputs
from unlearn_cli.evaluation.holdout import choose_holdout
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.stats.outputs import Outputs


def test_train_says_where_the_weights_come_from(original: Path) -> None:
    with safe_open(original, framework="pt") as file:
        lineage = file.metadata()
    assert lineage["unlearn_cli.method"] == "train"
    assert lineage["unlearn_cli.split"] == "train"


def test_a_reference_trained_on_retain_never_recognises_the_class(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    result = invoke("train", "-m", manifest, "--split", "retain", "-o", tmp_path / "out", "--set", "epochs=3", "--json")
    metrics = json.loads(result.stdout)["metrics"]["subject"]
    assert metrics["test_forget"]["accuracy"]["value"] == 0
    assert metrics["test_retain"]["accuracy"]["value"] > 0.5


def test_training_goes_on_from_a_checkpoint(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    result = invoke(
        "train", "-m", manifest, "--from", original, "-o", tmp_path / "out", "--set", "epochs=1", "--set", "lr=1e-9"
    )
    assert result.exit_code == 0
    before, after = load_file(original), load_file(tmp_path / "out" / "model.safetensors")
    assert torch.allclose(before["classifier.weight"], after["classifier.weight"], atol=1e-6)


def test_a_regression_is_trained_unlearned_evaluated_and_attacked(tmp_path: Path) -> None:
    manifest = ROOT / "sample_configs" / "regression.yaml"
    original = tmp_path / "original" / "model.safetensors"
    assert invoke("train", "-m", manifest, "-o", tmp_path / "original", "--set", "epochs=40").exit_code == 0
    result = invoke("unlearn", original, "-m", manifest, "--method", "finetune", "-o", tmp_path / "out")
    assert result.exit_code in (0, 3), result.stderr
    unlearned = tmp_path / "out" / "model.safetensors"
    document = json.loads(invoke("evaluate", unlearned, "-m", manifest, "--original", original, "--json").stdout)
    measured = document["metrics"]["subject"]["test"]
    assert measured.keys() == {"mae", "rmse", "r2", "loss"}
    assert 20 < measured["mae"]["value"] < 80
    document = json.loads(invoke("attack", unlearned, "-m", manifest, "--half", "all", "--json").stdout)
    attack = document["attacks"][0]
    # the range has only 15 records of test, too few for a hold-out
    assert (attack["num_members"], attack["num_non_members"]) == (50, document["manifest"]["splits"]["test"]["n"])
    assert any("selects only 15 never-seen records of test" in caveat for caveat in document["caveats"])


def test_evaluate_judges_gates_beside_original_and_reference(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    gates = ["--require", "test.accuracy >= original - 0.01", "--require", "forget.accuracy <= reference + 1"]
    settings = ["--set", "epochs=1", "--split", "retain", "-o", tmp_path / "reference"]
    assert invoke("train", "-m", manifest, *settings).exit_code == 0
    reference = tmp_path / "reference" / "model.safetensors"
    result = invoke("evaluate", original, "-m", manifest, "--original", original, "--reference", reference, *gates)
    assert result.exit_code == 0
    assert "unlearned [95 %]  reference\n" in result.stdout
    failed = invoke(
        "evaluate", original, "-m", manifest, "--require", "forget.accuracy <= 0.02", "-o", tmp_path / "out"
    )
    assert failed.exit_code == 3
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_gate_on_a_model_that_was_not_given_fails_with_the_reason(original: Path, tmp_path: Path) -> None:
    result = invoke("evaluate", original, "-m", write_manifest(tmp_path), "--require", "test.accuracy >= original")
    assert result.exit_code == 3
    assert "original" in result.stdout


def test_a_summary_is_appended_also_if_a_gate_fails(original: Path, tmp_path: Path) -> None:
    manifest, summary = write_manifest(tmp_path), tmp_path / "summary.md"
    summary.write_text("# before\n", encoding="utf-8")
    flags = ["-m", manifest, "--metric", "accuracy", "--summary", summary]
    result = invoke("evaluate", original, *flags, "--require", "forget.accuracy <= 0.02", "--json")
    assert (result.exit_code, "summary" in json.loads(result.stdout)["run"]["command_line"]) == (3, False)
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("# before\n## unlearn-cli evaluate: failed\n")
    assert "| forget.accuracy \\<= 0.02 | 1 " in text and "| failed |" in text
    attacked = invoke("attack", original, "-m", manifest, "--attack", "population", "--summary", summary)
    assert attacked.exit_code == 0
    assert "\n## unlearn-cli attack: no verdict\n" in summary.read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["unlearn", "evaluate", "attack"])
def test_a_summary_that_cannot_be_written_is_refused_before_any_work(
    command: str, original: Path, tmp_path: Path
) -> None:
    out = ["-o", tmp_path / "out"] if command == "unlearn" else []
    result = invoke(command, original, "-m", tmp_path / "missing.yaml", *out, "--summary", tmp_path)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "--summary" in result.stderr and "is a folder; expected a regular file" in result.stderr


def test_chosen_metrics_are_the_only_ones(original: Path, tmp_path: Path) -> None:
    result = invoke("evaluate", original, "-m", write_manifest(tmp_path), "--metric", "accuracy", "--json")
    assert json.loads(result.stdout)["metrics"]["subject"]["test"].keys() == {"accuracy"}


def test_what_a_gate_is_about_is_computed_beside_the_chosen_metrics(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, MANIFEST + "gates: ['forget.loss >= 0']\n")
    result = invoke("evaluate", original, "-m", manifest, "--metric", "accuracy", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["metrics"]["subject"]["test"].keys() == {"accuracy", "loss"}
    result = invoke(
        "evaluate", original, "-m", write_manifest(tmp_path), "--metric", "loss", "--require", "test.accuracy >= 0"
    )
    assert result.exit_code == 0


def test_the_cost_of_evaluate_and_attack_is_every_forward_pass(original: Path, tmp_path: Path) -> None:
    flags = ["-m", write_manifest(tmp_path), "--original", original, "--half", "all", "--json"]
    for command, records in (("evaluate", 1437 + 360), ("attack", 135 + 1000 + 360)):  # quick looks at 1000 of retain
        cost = json.loads(invoke(command, original, *flags).stdout)["cost"]
        counts = {"samples_forward": 2 * records, "samples_backward": 0, "optimizer_steps": 0}
        epochs = {"epochs": None, "original_epochs": None, "epochs_reason": "only 'unlearn' counts epochs"}
        assert cost == counts | epochs


def test_a_network_that_forgot_a_class_is_judged_by_what_it_should_still_know(original: Path, tmp_path: Path) -> None:
    """Its outputs for 3 are never the largest: on a train of hardly anything but 3 it is worse than chance."""
    weights = load_file(original)
    weights["classifier.bias"][3] = -1e4
    save_file(weights, tmp_path / "forgot.safetensors")
    digits: Any = load_digits()
    numbers = np.arange(len(digits.target))
    # of the rows that are not for testing
    rows = np.flatnonzero((numbers % 5 != 0) & ((digits.target == 3) | (numbers % 100 == 1)))
    np.savez(tmp_path / "train.npz", x=digits.images[rows].astype(np.uint8), y=digits.target[rows])
    text = MANIFEST.replace("{sklearn: {name: digits, part: train}}", "{npz: train.npz}")
    manifest = write_manifest(tmp_path, text.replace("forget:", "classes: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\nforget:"))
    for command in ("evaluate", "attack"):
        forgot = tmp_path / "forgot.safetensors"
        result = invoke(command, forgot, "-m", manifest)
        assert result.exit_code in (0, 4), result.stderr
        refused = invoke(command, forgot, "-m", manifest, "--original", forgot)
        assert (refused.exit_code, "no better than chance" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("hits", "n", "num_classes", "better"),
    [(8, 8, 2, True), (5, 8, 2, True), (4, 8, 2, False), (10, 10, 2, True), (9, 10, 2, False), (0, 1, 10, False)],
)
def test_few_records_need_not_be_significant_but_more_often_right_than_by_chance(
    hits: int, n: int, num_classes: int, better: bool
) -> None:
    from unlearn_cli.stats.chance import is_better_than_chance

    values = np.zeros((n, num_classes))
    values[:hits, 0], values[hits:, 1] = 1, 1
    assert is_better_than_chance(Outputs(values, np.zeros(n, dtype=np.int64), "classification")) is better


HEADS = """\
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.main, self.AuxLogits = nn.Linear(64, 10), nn.Linear(64, 10)

    def forward(self, x):
        return self.main(x.flatten(1))
"""


def test_auxiliary_heads_that_no_gradient_reaches_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net_with_heads.py").write_text(HEADS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    text = MANIFEST.replace("{architecture: allcnn, arguments: {width: 8}}", "{architecture: 'net_with_heads:Net'}")
    manifest = write_manifest(tmp_path, text)
    flags = ["-m", manifest, "--allow-code", "--set", "epochs=2"]
    trained, unlearned = tmp_path / "trained", tmp_path / "unlearned"
    model = trained / "model.safetensors"
    train = invoke("train", *flags, "-o", trained)
    unlearn = invoke("unlearn", model, "--method", "finetune", *flags, "-o", unlearned)
    for result, out in ((train, trained), (unlearn, unlearned)):
        assert result.exit_code == 0, result.stderr
        assert result.stderr.count("warning: The auxiliary heads AuxLogits get no gradient") == 1
        assert "The auxiliary heads AuxLogits" in " ".join(json.loads((out / "report.json").read_text())["caveats"])
    assert torch.equal(
        load_file(model)["AuxLogits.weight"], load_file(unlearned / "model.safetensors")["AuxLogits.weight"]
    )


def test_the_attack_compares_with_never_seen_records_of_the_same_classes(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    flags = ["--original", original, "--half", "all", "-o", tmp_path / "out", "--json"]
    result = invoke("attack", original, "-m", manifest, *flags)
    blocks = [block for block in json.loads(result.stdout)["attacks"] if block["name"] == "population"]
    assert [block["role"] for block in blocks] == ["subject", "original"]
    assert (blocks[0]["num_members"], blocks[0]["num_non_members"]) == (135, 48)
    assert 0 < blocks[0]["auc"]["low"] < blocks[0]["auc"]["value"] < blocks[0]["auc"]["high"] <= 1
    assert (tmp_path / "out" / "report.json").is_file()
    assert "AUC" in invoke("attack", original, "-m", manifest).stdout


def test_the_holdout_has_the_class_mix_of_what_is_forgotten(original: Path, tmp_path: Path) -> None:
    text = MANIFEST.replace(
        "{classes: [3]}",
        "{where: [{column: label, op: in, value: [1, 2]}, {column: id, op: '<', value: 400}], ids: [1001]}",
    )
    result = invoke("attack", original, "-m", write_manifest(tmp_path, text), "--json")
    splits = json.loads(result.stdout)["manifest"]["splits"]
    block = json.loads(result.stdout)["attacks"][0]
    assert block["num_members"] == splits["forget"]["n"]
    assert 0 < block["num_non_members"] < 0.5 * splits["test"]["n"]


def test_the_holdout_leaves_out_what_was_trained_on(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, MANIFEST.replace("part: test", "part: all"))
    result = invoke("attack", original, "-m", manifest, "--half", "all", "--force", "--json")
    document = json.loads(result.stdout)
    assert document["attacks"][0]["num_non_members"] == 48
    assert "warning: 135 records of test equal a record of train" in result.stderr
    assert any(caveat.startswith("135 records of test equal a record of train") for caveat in document["caveats"])


def test_the_holdout_of_a_regression_leaves_out_what_was_trained_on(tmp_path: Path) -> None:
    text = (ROOT / "sample_configs" / "regression.yaml").read_text(encoding="utf-8")
    manifest = write_manifest(tmp_path, text.replace("rows: {every: 5}", "rows: {every: 2}"))
    opened = open_inputs(manifest, RunOptions())
    splits, holdout = opened.dataset.splits, choose_holdout(opened)
    rows = splits["test"].records.ids[holdout.positions]
    assert len(rows)
    assert set(rows.tolist()) <= set(range(0, 442, 10))  # train has no multiple of 5
    assert not holdout.is_matched  # too few records of the range are left
    assert len(rows) + holdout.num_trained_on == len(splits["test"])


def test_with_a_holdout_of_nothing_but_copies_the_attacks_that_need_one_are_left_out(
    original: Path, tmp_path: Path
) -> None:
    manifest = write_manifest(tmp_path, MANIFEST.replace("part: test", "part: train"))
    reason = "data.test has no records like the forgotten ones other than copies of training records"
    result = invoke("attack", original, "-m", manifest, "--force", "--json")
    document = json.loads(result.stdout)
    assert {one["name"].split()[0] for one in document["skipped"]} >= {"population", "learned_loss"}
    assert all(reason in one["reason"] for one in document["skipped"] if one["name"] == "population")
    assert [one["name"] for one in document["findings"]] == ["sanity"]
    named = invoke("attack", original, "-m", manifest, "--force", "--attack", "population")
    assert (named.exit_code, reason in named.stderr) == (2, True)


def test_noise_needs_no_data_and_draws_a_picture(original: Path, tmp_path: Path) -> None:
    start, end = MANIFEST.index("data:"), MANIFEST.index("forget:")
    text = MANIFEST[:start] + "classes: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']\n" + MANIFEST[end:]
    manifest = write_manifest(tmp_path, text)
    out = tmp_path / "noise.safetensors"
    arguments = ["--class", "1", "--class", "7", "--set", "steps=5", "--set", "size=4", "--kind", "minimize"]
    result = invoke("noise", original, "-m", manifest, "-o", out, *arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{out}\n"
    assert (tmp_path / "noise.png").read_bytes().startswith(b"\x89PNG")
    with safe_open(out, framework="pt") as file:
        assert file.get_tensor("samples").shape == (2, 4, 1, 8, 8)
        metadata = file.metadata()
    assert json.loads(metadata["classes"]) == [1, 7]
    assert len(json.loads(metadata["curve"])) == 5


def test_noise_takes_kind_and_init_from_its_file_unless_they_are_given(original: Path, tmp_path: Path) -> None:
    manifest, config, out = write_manifest(tmp_path), tmp_path / "noise.yaml", tmp_path / "noise.safetensors"
    config.write_text("{kind: minimize, init: uniform, steps: 1, size: 2}", encoding="utf-8")
    command = ["noise", original, "-m", manifest, "-o", out, "--config", config, "--json", "--overwrite"]
    settings = json.loads(invoke(*command).stdout)["settings"]
    assert (settings["kind"], settings["init"]) == ("minimize", "uniform")
    settings = json.loads(invoke(*command, "--kind", "maximize").stdout)["settings"]
    assert (settings["kind"], settings["init"]) == ("maximize", "uniform")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["3", "3"], "--class 3: the class is named twice"),
        (["x", "x"], "--class x: the class is named twice"),
        (["²"], "--class: no class '²'"),
        (["9" * 5000], "--class: no class '999"),
    ],
)
def test_a_class_of_noise_that_is_named_twice_or_is_none_is_refused(
    classes: list[str], message: str, original: Path, tmp_path: Path
) -> None:
    options = [word for name in classes for word in ("--class", name)]
    result = invoke("noise", original, "-m", write_manifest(tmp_path), "-o", tmp_path / "n.safetensors", *options)
    assert result.exit_code == 2
    assert f"error: {message}" in result.stderr


@pytest.mark.usefixtures("pages")
def test_noise_from_a_file_is_what_unsir_uses(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    noise = tmp_path / "noise.safetensors"
    invoke("noise", original, "-m", manifest, "-o", noise, "--set", "steps=5", "--set", "size=8")
    result = invoke(
        "unlearn", original, "-m", manifest, "-o", tmp_path / "out", "--noise", noise, "--set", "impair_lr=0.004"
    )
    assert result.exit_code == 0, result.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "noise" in report["inputs"]
    assert "noise" not in {curve["phase"] for curve in report["curves"]}
    assert "data:image/png" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module.", "module._orig_mod."])
def test_convert_finds_the_state_dict_and_strips_prefixes(
    wrapper: str | None, prefix: str, original: Path, tmp_path: Path
) -> None:
    weights = load_file(original)
    content: dict[str, Any] = {f"{prefix}{name}": tensor for name, tensor in weights.items()}
    for key in reversed((wrapper or "").split()):
        content = {key: content, "epoch": 3}
    torch.save(content, tmp_path / "model.pth")
    result = invoke("convert", tmp_path / "model.pth", tmp_path / "model.safetensors")
    assert result.exit_code == 0, result.stderr
    assert same(weights, load_file(tmp_path / "model.safetensors"))


def test_a_dictionary_that_holds_itself_is_no_endless_loop(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["model"] = content
    torch.save(content, tmp_path / "model.pth")
    result = invoke("convert", tmp_path / "model.pth", tmp_path / "model.safetensors")
    assert (result.exit_code, "no state dict" in result.stderr) == (2, True)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_damaged_file_is_converted_or_refused_but_never_a_traceback(zipped: bool, tmp_path: Path) -> None:
    source, out = tmp_path / "model.pth", tmp_path / "model.safetensors"
    weights = {f"{i}.weight": torch.ones(3, 4) for i in range(3)}
    torch.save(weights, source, _use_new_zipfile_serialization=zipped)
    whole, codes = source.read_bytes(), set()
    for seed in range(100):
        random = np.random.default_rng(seed)
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[random.integers(0, min(len(whole), 600), 4)] = random.integers(0, 256, 4)
        source.write_bytes(damaged.tobytes())
        codes.add(invoke("convert", source, out, "--overwrite").exit_code)
    assert codes <= {0, 2}
    assert 2 in codes


UNUSUAL = {
    "complex": lambda: torch.zeros(2, dtype=torch.complex128), "meta": lambda: torch.zeros(2, device="meta"),
    "sparse": lambda: torch.zeros(2, 2).to_sparse(),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNUSUAL)
def test_a_tensor_that_safetensors_does_not_hold_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    torch.save({"plain": torch.zeros(2), "odd": UNUSUAL[kind]()}, tmp_path / "model.pth")
    result = invoke("convert", tmp_path / "model.pth", tmp_path / "model.safetensors")
    assert result.exit_code == 2
    assert f"model.pth: odd is a {kind} tensor" in result.stderr


def test_schema_prints_the_manifests_schema() -> None:
    assert "architecture" in json.loads(invoke("schema").stdout)["$defs"]["Model"]["properties"]


def test_a_sharded_checkpoint_is_unlearned_into_shards(original: Path, tmp_path: Path) -> None:
    weights, source = load_file(original), tmp_path / "sharded"
    source.mkdir()
    layout = {name: f"model-0000{1 + (i % 2)}-of-00002.safetensors" for i, name in enumerate(weights)}
    for file in set(layout.values()):
        save_file({name: tensor for name, tensor in weights.items() if layout[name] == file}, source / file)
    (source / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": layout}))
    manifest = write_manifest(tmp_path)
    flags = ["--method", "finetune", "--set", "epochs=1"]
    assert invoke("unlearn", source, "-m", manifest, "-o", tmp_path / "out", *flags).exit_code == 0
    assert invoke("unlearn", original, "-m", manifest, "-o", tmp_path / "single", *flags).exit_code == 0
    shards = sorted((tmp_path / "out").glob("*.safetensors"))
    assert len(shards) == 2
    together = {name: tensor for shard in shards for name, tensor in load_file(shard).items()}
    assert same(together, load_file(tmp_path / "single" / "model.safetensors"))
