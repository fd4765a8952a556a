"""The page of an attack: verdict, controls, probes, confusions, comparisons, what was skipped."""

import json
from pathlib import Path

import pytest

from tests.references import given
from tests.tiny import invoke, write_manifest
from unlearn_cli.reporting import html as page
from unlearn_cli.reporting.html.reconstructions import render_pictures
from unlearn_cli.reporting.report import Report

pytestmark = pytest.mark.usefixtures("pages")


@pytest.fixture(scope="module")
def attacked(judged: Path) -> Report:
    return Report.model_validate_json((judged / "out" / "report.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def text(judged: Path) -> str:
    """The page of the attack."""
    return (judged / "out" / "report.html").read_text(encoding="utf-8")


def test_the_verdict_its_controls_and_its_gates_are_told(text: str) -> None:
    assert "Failed: forgotten records are not treated as after retraining (standard tier)" in text
    assert "The controls are judged by the same gates" in text
    assert "the verdict half of the hold-out" in text
    assert text.count("population AUC within 0.05 of 1/2") == 1  # the controls' gates are not repeated


def test_probes_stand_beside_each_other_and_curves_are_in_one_chart(text: str) -> None:
    assert "<h2>Probes</h2>" in text
    assert "recall of the head" in text
    assert text.count("<title>Curves of relearn: accuracy</title>") == 1
    assert "4 references" in text
    for chart in ("Distance of each record", "Records recognised from both versions"):
        assert text.count(f"{chart}</title>") == 1
    assert "A skipped attack is not a passed one." in text
    assert "Predicted classes of test forget" in text
    assert text.count("ROC curve of the attack population</title>") == 1  # details of the checkpoint under test alone


def test_comparisons_and_layers_are_told(original: Path, references: list[Path], tmp_path: Path) -> None:
    flags = ["-m", write_manifest(tmp_path), "--original", original, *given(references[:2]), "--json"]
    evaluated = Report.model_validate_json(invoke("evaluate", references[4], *flags).stdout)
    text = page.render(evaluated)
    assert "<h2>Compared with the references</h2>" in text
    assert "JS divergence" in text
    assert "Distance of each tensor from the original" in text


@pytest.mark.parametrize("verdict", ["passed", "passed_screen", "inconclusive", "nothing_to_forget", "error"])
def test_every_verdict_has_words_that_promise_nothing(verdict: str, attacked: Report) -> None:
    without_drawings = {"attacks": [], "findings": [], "confusions": []}
    text = page.render(attacked.model_copy(update={"verdict": verdict, **without_drawings}))
    banner = text[text.index('<p class="verdict') :].split("</p>")[0]
    assert verdict in banner
    for word in ("private", "guaranteed", "certified"):
        assert word not in text.lower()


def test_the_page_of_pictures_says_what_they_are(attacked: Report) -> None:
    text = render_pictures(attacked, {"subject": b"png", "reference": b"other"})
    assert text.count("data:image/png;base64,") == 2
    assert "<figcaption>Unlearned</figcaption>" in text or "<figcaption>Network</figcaption>" in text
    assert "may resemble a person" in " ".join(text.split())
    assert json.dumps(attacked.manifest.forget_classes)[2:-2] in text
