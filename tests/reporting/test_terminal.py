"""The text of a report on the terminal: sentences and one table, at most as wide as the terminal; warnings once."""

from typing import Any

import pytest

from tests.reporting.test_page import bare_report, full_report, share
from tests.reporting.test_sentences import ON_COST, ON_FORGETTING, accuracies, attacked, gate, manifest
from unlearn_cli.reporting import tables
from unlearn_cli.reporting.fitted_table import format_fitted_table
from unlearn_cli.reporting.markdown import format_summary
from unlearn_cli.reporting.report import Report
from unlearn_cli.reporting.terminal import format_report, wrap_text
from unlearn_cli.stats.results import Estimate, Finding
from unlearn_cli.verdict.judgement import OverForgetting
from unlearn_cli.verdict.over_forgetting_checks import make_over_forgetting_gate

LONG = (
    "forgotten against never-seen records, relative to the references: AUC of the distance from the median within 0.05"
)
BROKEN = OverForgetting(
    measure="accuracy", compared_with="test", forget=share(0.1, 99), never_seen=share(0.9, 99), limit=0.7, detected=True
)


@pytest.fixture(params=[60, 80, 120])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param


def lines_of(document: Report, **options: Any) -> list[str]:
    return format_report(document, **options).splitlines()


def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    judged = attacked("failed", gate(LONG, "failed"), gate(ON_COST, "passed"))
    for document in (full_report(), judged, full_report().model_copy(update={"command": "attack", "gates": []})):
        assert max(map(len, lines_of(document))) <= width


def test_the_label_is_wrapped_and_the_numbers_are_in_its_first_line() -> None:
    text = format_fitted_table(["gate", "n"], [["one two three four", "123"], ["five", "4"]], width=18)
    assert text.splitlines() == [
        "gate             n", "-" * 18, "one two three  123", "four", "five             4",
    ]  # fmt: skip


def test_a_table_that_cannot_be_wrapped_is_divided() -> None:
    text = format_fitted_table(["gate", "a", "b"], [["one two", "x" * 20, "y" * 20]], width=30)
    assert "one two  " + "x" * 20 in text and "one two  " + "y" * 20 in text


def test_names_cannot_imitate_rows() -> None:
    assert "a\\nb" in format_fitted_table(["class"], [["a\nb"]], width=30)


def test_the_metrics_that_matter_are_shown_and_references_are_averaged() -> None:
    metrics = {role: accuracies(test=(value, 360)) for role, value in (("original", 0.99), ("subject", 0.98))}
    metrics |= {role: accuracies(test=(value, 360)) for role, value in (("reference", 0.9), ("reference_2", 0.8))}
    metrics["subject"]["test"]["js_divergence"] = Estimate(value=0.25, n=360, low=0.2, high=0.3)
    metrics["subject"]["test"]["loss"] = Estimate(value=None, n=0, reason="not finite")
    document = bare_report(manifest=manifest(), metrics=metrics)
    text = "\n".join(lines_of(document))
    assert "split  metric      n  original     unlearned [95 %]  2 references" in text
    assert "test   accuracy  360    99.0 %  98.0 % [96.5, 99.5]        85.0 %" in text
    assert "test   loss        0         -                    -             -" in text
    assert "js divergence" not in text
    assert "js divergence" in "\n".join(lines_of(document, metrics=["js_divergence"]))
    judged = document.model_copy(update={"gates": [gate("test.js_divergence <= 0.3", "passed")]})
    assert "js divergence" in "\n".join(lines_of(judged))


def test_an_attack_shows_its_gates_and_without_a_tier_its_results() -> None:
    judged = "\n".join(lines_of(attacked("inconclusive", gate(ON_FORGETTING, "inconclusive"))))
    assert f"{ON_FORGETTING}  0.04 [0.03, 0.05]  270  not decided" in judged
    found = Finding(name="linear_probe", tier="standard", quantities={"recall_forgotten": share(0.9, 27)})
    document = attacked("passed").model_copy(update={"judgement": None, "verdict": None, "findings": [found]})
    text = "\n".join(lines_of(document))
    assert "linear_probe recall forgotten" in text and "population AUC" in text
    assert "Attacks by name give no verdict" in " ".join(text.split())


def test_gates_that_the_mask_passes_are_marked() -> None:
    marked = gate(ON_FORGETTING, "passed").model_copy(update={"passed_by_mask": True})
    document = attacked("passed_screen", marked, gate(ON_COST, "passed"))
    text = "\n".join(lines_of(document))
    assert text.count("passed *") == 1 and "\n* also passed by the mask" in text
    assert "| passed \\* |" in format_summary(document) and "\\* also passed by the mask" in format_summary(document)
    assert "mask" not in format_summary(attacked("passed_screen", gate(ON_COST, "passed")))


def test_every_line_says_where_the_other_numbers_are(tmp_path: Any) -> None:
    assert lines_of(bare_report())[-1] == "All numbers: --json; with --out DIR also as report.html."
    assert lines_of(bare_report(), out=tmp_path)[-1] == f"All numbers: {tmp_path}/report.html"


@pytest.mark.parametrize(
    ("verdict", "gates", "lines"),
    [
        ("failed", ["failed", "passed"], [f"gate failed: {ON_FORGETTING}: value 0.04, n 270, limit 0.5"]),
        ("inconclusive", ["passed", "inconclusive"], [f"gate not decided: {ON_COST}: value 0.04, n 270, limit 0.5"]),
        ("passed_screen", ["passed", "passed"], ["verdict passed_screen: only a screen"]),
        (
            "error",
            ["inconclusive", "passed"],
            [
                f"gate not decided: {ON_FORGETTING}: value 0.04, n 270, limit 0.5",
                "verdict error: only a screen",
            ],
        ),
    ],
)
def test_the_reason_of_the_exit_code_is_one_line_per_gate(
    verdict: str, gates: list[str], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    tables.warn_about_gates(attacked(verdict, gate(ON_FORGETTING, gates[0]), gate(ON_COST, gates[1])))
    printed = capsys.readouterr()
    assert (printed.out, printed.err.splitlines()) == ("", [f"warning: {line}" for line in lines])


def test_over_forgetting_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    document = bare_report(over_forgetting=BROKEN, gates=[make_over_forgetting_gate(BROKEN)], verdict="failed")
    tables.warn_about_gates(document)
    printed = capsys.readouterr().err
    assert printed.startswith("warning: Over-forgetting: accuracy on forget is 0.1 [") and printed.count("\n") == 1
    assert printed.endswith("--force accepts it\n")


def test_an_interval_and_a_percentage_stay_on_one_line() -> None:
    for width in range(30, 60):
        text = wrap_text("The network recognises 3: 97.9 % → 0.0 % [0.0, 7.0] of 51 test records, n 51.", width)
        assert "[0.0, 7.0]" in text and "97.9 %" in text and max(map(len, text.split("\n"))) <= width
