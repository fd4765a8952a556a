"""Model cards are read by huggingface_hub."""

from pathlib import Path

import pytest

from tests.tiny import invoke, write_manifest

hub = pytest.importorskip("huggingface_hub")


def test_the_metadata_of_a_card_is_valid(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    out = tmp_path / "out"
    result = invoke("unlearn", original, "-m", manifest, "--method", "finetune", "-o", out, "--set", "epochs=1")
    assert result.exit_code == 0, result.stderr
    card = hub.ModelCard.load(out / "README.md")
    assert card.data.tags == ["machine-unlearning", "unlearn-cli", "pytorch"]
    assert {part.dataset_split for part in card.data.eval_results} == {"test", "test_retain", "test_forget"}
    assert all(0 <= part.metric_value <= 1 for part in card.data.eval_results)
