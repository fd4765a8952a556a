"""The model card next to the weights: valid metadata, numbers with intervals, and nothing that identifies anybody."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tiny import MANIFEST, invoke, write_manifest
from unlearn_cli.reporting.model_card import Network, describe_metadata, format_card
from unlearn_cli.reporting.report import Manifest, Report, Run, Split
from unlearn_cli.stats.results import Estimate


def split_card(text: str) -> tuple[dict[str, Any], str]:
    _, metadata, body = text.split("---\n", 2)
    return yaml.safe_load(metadata), body


def document(task: Any = "classification", **more: Any) -> Report:
    splits = {"train": Split(n=90, ids_digest=""), "forget": Split(n=9, ids_digest="")}
    manifest = Manifest(task=task, architecture="mlp", splits=splits, **more)
    run = Run(id="1", started="", finished="")
    metrics = {"subject": {"test_retain": {"accuracy": Estimate(value=0.5, n=4, low=0.1, high=0.9)}}}
    return Report(
        tool_version="1", command="unlearn", run=run, manifest=manifest, seed=0, environment={}, method="finetune",
        metrics=metrics, caveats=["Only class 'Ada' remains: a caveat.", "No attack was run."],
    )  # fmt: skip


def test_a_result_has_a_card(original: Path, tmp_path: Path) -> None:
    classes = "classes: [zero, one, two, three, four, five, six, seven, eight, nine]\n"
    manifest = write_manifest(tmp_path, MANIFEST.replace("[3]", "[three]") + classes)
    out = tmp_path / "out"
    result = invoke("unlearn", original, "-m", manifest, "--method", "finetune", "-o", out, "--set", "epochs=1")
    assert result.exit_code == 0, result.stderr
    metadata, body = split_card((out / "README.md").read_text())
    assert metadata["pipeline_tag"] == "image-classification"
    assert metadata["tags"] == ["machine-unlearning", "unlearn-cli", "pytorch"]
    (entry,) = metadata["model-index"]
    assert {part["dataset"]["split"] for part in entry["results"]} == {"test", "test_retain", "test_forget"}
    assert "was made to forget 1 of 10 classes (135 of" in body
    assert "### Metrics" in body
    assert "### Lineage" in body
    assert "three" not in body
    assert str(tmp_path) not in body


def test_the_forgotten_are_numbers_and_caveats_that_name_a_class_are_left_out() -> None:
    card = format_card(document(classes=["Ada", "Bob"], forget_classes=["Bob"]), Network("mlp", "table"))
    assert "1 of 2 classes (9 of 90 training records)" in card
    assert "Ada" not in card
    assert "Bob" not in card
    assert "No attack was run." in card
    assert "9 of 90 training records with the method finetune" in format_card(document(), Network("mlp", "table"))


@pytest.mark.parametrize(("architecture", "kind", "task", "library", "tag"), [
    ("transformers/vit", "image", "classification", "transformers", "image-classification"),
    ("transformers/bert", "text", "regression", "transformers", "text-classification"),
    ("timm/resnet18", "image", "classification", "timm", "image-classification"),
    ("mlp", "table", "regression", None, "tabular-regression"),
    ("torchvision/resnet18", "image", "regression", None, None),
])  # fmt: skip
def test_library_and_task_of_the_metadata(
    architecture: str, kind: str, task: str, library: str | None, tag: str | None
) -> None:
    metadata = describe_metadata(document(task), Network(architecture, kind))
    assert metadata.get("library_name") == library
    assert metadata.get("pipeline_tag") == tag
    assert ("model-index" in metadata) == (tag is not None)


def test_a_training_has_a_card_without_the_tag_of_unlearning(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    result = invoke("train", "-m", manifest, "-o", tmp_path / "o", "--set", "epochs=1")
    assert result.exit_code == 0, result.stderr
    metadata, body = split_card((tmp_path / "o" / "README.md").read_text())
    assert metadata["tags"] == ["unlearn-cli", "pytorch"]
    assert re.search(r"Trained on [\d,]+ records\.", body)
