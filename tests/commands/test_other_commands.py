import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tests.tiny import MANIFEST, invoke, same, write_manifest


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
    manifest = Path(__file__).parents[2] / "sample_configs" / "regression.yaml"
    original = tmp_path / "original" / "model.safetensors"
    assert invoke("train", "-m", manifest, "-o", tmp_path / "original", "--set", "epochs=40").exit_code == 0
    result = invoke("unlearn", original, "-m", manifest, "--method", "finetune", "-o", tmp_path / "out")
    assert result.exit_code in (0, 3), result.stderr
    unlearned = tmp_path / "out" / "model.safetensors"
    document = json.loads(invoke("evaluate", unlearned, "-m", manifest, "--original", original, "--json").stdout)
    measured = document["metrics"]["subject"]["test"]
    assert measured.keys() == {"mae", "rmse", "r2", "loss"}
    assert 20 < measured["mae"]["value"] < 80
    attack = json.loads(invoke("attack", unlearned, "-m", manifest, "--json").stdout)["attacks"][0]
    assert (attack["num_members"], attack["num_non_members"]) == (50, 15)


def test_evaluate_judges_gates_beside_original_and_reference(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    gates = ["--require", "test.accuracy >= original - 0.01", "--require", "forget.accuracy <= reference"]
    result = invoke("evaluate", original, "-m", manifest, "--original", original, "--reference", original, *gates)
    assert result.exit_code == 0
    assert "reference" in result.stdout.splitlines()[0]
    failed = invoke(
        "evaluate", original, "-m", manifest, "--require", "forget.accuracy <= 0.02", "-o", tmp_path / "out"
    )
    assert failed.exit_code == 3
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_gate_on_a_model_that_was_not_given_fails_with_the_reason(original: Path, tmp_path: Path) -> None:
    result = invoke("evaluate", original, "-m", write_manifest(tmp_path), "--require", "test.accuracy >= original")
    assert result.exit_code == 3
    assert "original" in result.stdout


def test_chosen_metrics_are_the_only_ones(original: Path, tmp_path: Path) -> None:
    result = invoke("evaluate", original, "-m", write_manifest(tmp_path), "--metric", "accuracy", "--json")
    assert json.loads(result.stdout)["metrics"]["subject"]["test"].keys() == {"accuracy"}


def test_the_attack_compares_with_never_seen_records_of_the_same_classes(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    result = invoke("attack", original, "-m", manifest, "--original", original, "-o", tmp_path / "out", "--json")
    blocks = json.loads(result.stdout)["attacks"]
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


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_convert_finds_the_state_dict_and_strips_prefixes(
    wrapper: str | None, prefix: str, original: Path, tmp_path: Path
) -> None:
    weights = load_file(original)
    content = {f"{prefix}{name}": tensor for name, tensor in weights.items()}
    torch.save({wrapper: content, "epoch": 3} if wrapper else content, tmp_path / "model.pth")
    result = invoke("convert", tmp_path / "model.pth", tmp_path / "model.safetensors")
    assert result.exit_code == 0, result.stderr
    assert same(weights, load_file(tmp_path / "model.safetensors"))


def test_schema_prints_the_manifests_schema() -> None:
    assert "architecture" in json.loads(invoke("schema").stdout)["$defs"]["Model"]["properties"]


def test_a_sharded_checkpoint_is_unlearned_into_shards(original: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

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
