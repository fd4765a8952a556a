"""The page as a reader meets it: answers, gates, pictures, tables; one vocabulary; nothing empty; light and dark."""

import re

import pytest
from markupsafe import escape

from tests.reporting.test_page import attack, balanced, bare_report, checkpoint, full_report, share
from unlearn_cli.plugins import discovery
from unlearn_cli.reporting.html import render
from unlearn_cli.reporting.html.charts import MAX_CLASSES, draw_confusion
from unlearn_cli.reporting.html.roles import average_estimates
from unlearn_cli.reporting.html.words import split_sentences
from unlearn_cli.reporting.report import Checkpoint, Report
from unlearn_cli.reporting.sentences import list_sentences
from unlearn_cli.stats.results import Comparison, Confusion, Curve, Estimate
from unlearn_cli.verdict.judgement import Gate, Judgement

LINEAGE = {"method": "train", "split": "retain", "seed": "7", "settings": "5e77" * 16, "manifest_digest": "ab" * 32}


def with_references(count: int) -> Report:
    """Build a report with several references, whose accuracies differ."""
    report = full_report()
    names = ["reference", *(f"reference_{number}" for number in range(2, count + 1))]
    accuracies = {name: {"forget": {"accuracy": share(0.01 * number, 250)}} for number, name in enumerate(names)}
    confusions = [
        Confusion(split="forget", role=name, n=4, counts={"airplane": 1, "cat": 3}, largest_share=share(0.75, 4))
        for name in ("original", *names)
    ]
    return report.model_copy(
        update={
            "metrics": {**{role: report.metrics[role] for role in ("original", "subject")}, **accuracies},
            "references": [checkpoint("reference")] * count,
            "confusions": confusions,
        }
    )


@pytest.fixture(scope="module")
def page() -> str:
    return render(full_report())


def test_the_answers_come_first_then_gates_then_pictures_then_tables(page: str) -> None:
    report = full_report()
    sentences = [
        part
        for sentence in list_sentences(report)
        for part in (sentence.question, escape(split_sentences(sentence.text)[0]))
    ]
    marks = [*sentences, 'id="gates"', 'id="pictures"', "<svg", 'id="metrics"', 'id="attacks"', 'id="origin"']
    positions = [page.index(mark) for mark in marks]
    assert positions == sorted(positions)


def test_every_entry_of_the_contents_leads_to_a_section(page: str) -> None:
    targets = re.findall(r'href="#([^"]+)"', page)
    assert len(targets) > 8
    assert set(targets) <= set(re.findall(r' id="([^"]+)"', page))


def test_every_colour_of_a_drawing_has_a_light_and_a_dark_value(page: str) -> None:
    drawings = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert not re.search(r"#[0-9a-f]{6}\b", drawings)
    for name in set(re.findall(r"var\(--(\w+)\)", drawings)):
        assert page.count(f"--{name}: #") >= 2, name


def test_every_metric_and_attack_has_its_definition() -> None:
    names = discovery.list_metrics_of("classification")
    metrics = {"subject": {"test": {name: Estimate(value=0.5, n=9) for name in names}}}
    page = render(bare_report(metrics=metrics, attacks=[attack().model_copy(update={"name": "population"})]))
    summaries = [discovery.summaries("metrics")[name] for name in names] + [
        discovery.summaries("attacks")["population"]
    ]
    assert [text for text in summaries if text.replace("'", "&#39;") not in page] == []
    assert page.index("<details><summary>") < page.index("closeness of three accuracies")


def test_several_references_share_a_column_and_a_bar() -> None:
    page = render(with_references(3))
    assert '<th scope="col">3 references</th>' in page
    assert "1.0\u00a0%<small>n 250 · SD 1.0\u00a0% over 3</small>" in page
    assert page.count("3 references, n = 4") == 1
    assert '<th scope="col">Reference 2</th>' in page[page.index("Each reference") :]


def test_a_gate_that_an_edited_row_passes_is_marked() -> None:
    gates = [
        Gate(condition=condition, verdict="passed", value=share(0.1, 9), limit=0.2, passed_by_mask=True, required=False)
        for condition in ("forget accuracy at most 0.2", "test_retain accuracy at least 0")
    ]
    judgement = Judgement(tier="standard", calibration={"original": "failed", "mask": "passed_screen"})
    page = render(bare_report(gates=gates, judgement=judgement, verdict="passed_screen"))
    assert page.count("also passed by editing one row") == 1  # not on a gate about the cost
    assert page.count("not needed to pass") == 2
    assert '<th scope="row">Original, edited row</th><td>fail</td>' in page


def test_a_mean_of_scores_that_cancel_is_zero() -> None:
    scores = [Estimate(value=value, n=5) for value in (0.1, 0.2, -0.30000000000000004)]
    assert average_estimates(scores).value == 0.0


def test_one_reference_has_no_table_of_dashes() -> None:
    comparison = Comparison(split="forget", metric="accuracy", n_references=1, reference=0.0, reason="one reference")
    page = render(full_report().model_copy(update={"comparisons": [comparison]}))
    assert "Compared with the references" not in page
    assert '<th scope="col">Reference</th>' in page


def test_a_column_without_any_value_is_left_out() -> None:
    rows = [
        Comparison(split="forget", metric="accuracy", n_references=2, reference=0.0, reference_sd=0.01, units_of_sd=1.2)
    ]
    page = render(full_report().model_copy(update={"comparisons": rows}))
    assert "Compared with the references" in page
    assert '<th scope="col">Off by</th>' in page
    assert "From 0 to 1" not in page
    empty = {"forget": {"accuracy": Estimate(value=None, n=0, reason="no records")}}
    page = render(bare_report(metrics={"subject": {"forget": {"accuracy": share(0.5, 10)}}, "original": empty}))
    assert '<th scope="col">Original</th>' not in page


def test_the_page_of_a_training_does_not_speak_of_forgetting() -> None:
    report = full_report()
    metrics = {"subject": report.metrics["original"]}
    curves = [Curve(phase="train", name="loss", values=[2.0, 1.0])]
    fields = {"command": "train", "metrics": metrics, "gates": [], "attacks": [], "verdict": None, "curves": curves}
    page = render(
        report.model_copy(update={**fields, "subject": checkpoint("trained"), "original": None, "method": None})
    )
    assert "<h1>Training report</h1>" in page
    assert '<th scope="col">Trained</th>' in page
    for text in ("forgotten", "unlearned", "Terms on this page", "Unlearned", "No gates", "Before", "After"):
        assert text not in page, text
    assert balanced(page) == []


def test_the_commands_come_from_the_metadata_and_from_the_run() -> None:
    report = bare_report()
    original, subject = checkpoint("original"), checkpoint("subject")
    reference = Checkpoint.model_validate({**checkpoint("reference").model_dump(), "lineage": LINEAGE})
    unlearned = {"method": "unsir", "parent": original.tensor_digest, "seed": "0", "manifest_digest": "other"}
    run = report.run.model_copy(update={"command_line": "unlearn-cli attack …/model.safetensors --manifest d.yaml"})
    fields = {"run": run, "references": [reference], "subject": subject.model_copy(update={"lineage": unlearned})}
    page = render(report.model_copy(update={**fields, "command": "attack", "original": original}))
    assert "unlearn-cli train --manifest MANIFEST --split retain --seed 7 --out REFERENCE" in page
    assert "unlearn-cli unlearn ORIGINAL --manifest MANIFEST --method unsir --out UNLEARNED" in page
    assert "settings: digest 5e775e775e77" in page
    assert "with another manifest" in page
    assert "<pre>unlearn-cli attack …/model.safetensors --manifest d.yaml</pre>" in page


def test_the_manifest_is_on_the_page_and_a_report_before_2_2_has_none() -> None:
    report = bare_report()
    assert "The manifest as YAML" not in render(report)
    manifest = report.manifest.model_copy(update={"text": "version: 1\nforget: {ids: <2 ids withheld>}\n"})
    assert "forget: {ids: &lt;2 ids withheld&gt;}" in render(report.model_copy(update={"manifest": manifest}))


@pytest.mark.parametrize("classes", [3, 100])
def test_many_predicted_classes_are_summed_up(classes: int) -> None:
    counts = {f"class {number}": number for number in range(classes)}
    row = Confusion(split="forget", role="subject", n=sum(counts.values()), counts=counts, largest_share=share(0.5, 9))
    svg = draw_confusion("forget", [row], {"subject": "Unlearned"})
    assert (f"{classes - MAX_CLASSES} others" in svg) == (classes > MAX_CLASSES)
    assert f"class {classes - 1}<" in svg
