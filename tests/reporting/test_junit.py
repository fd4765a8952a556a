"""JUnit XML: what CI counts as failed, as an error, and as passed; odd characters; the controls."""

from xml.etree import ElementTree

import pytest

from tests.reporting.test_page import bare_report as made
from unlearn_cli.reporting.junit import format_junit
from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.results import Estimate
from unlearn_cli.verdict.judgement import Gate, Judgement


def gate(condition: str, verdict: str, role: str = "subject") -> Gate:
    value = Estimate(value=0.5, n=10)
    return Gate(condition=condition, verdict=verdict, value=value, limit=0.4, role=role)  # type: ignore[arg-type]


def judged(document: Report, verdict: str) -> Report:
    gates = [gate("a <= 1", "passed"), gate("b\x00 < 'x' & \"y\"", "failed"), gate("c", "inconclusive")]
    how = Judgement(tier="quick", reasons=["too <few> records"])
    return document.model_copy(
        update={"gates": [*gates, gate("a <= 1", "failed", "original")], "judgement": how, "verdict": verdict}
    )


@pytest.mark.parametrize(
    ("verdict", "failures", "errors"), [("passed_screen", 1, 1), ("failed", 2, 1), ("inconclusive", 1, 2)]
)
def test_counts_are_those_of_the_subject(verdict: str, failures: int, errors: int) -> None:
    suite = ElementTree.fromstring(format_junit(judged(made(), verdict)).split("\n", 1)[1])[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", str(failures), str(errors))
    assert len(list(suite.iter("failure"))) == failures
    told = suite.find("system-out")
    assert told is not None and told.text is not None and "original: a <= 1: failed" in told.text


def test_characters_that_xml_does_not_hold_are_replaced() -> None:
    root = ElementTree.fromstring(format_junit(judged(made(), "failed")).split("\n", 1)[1])
    names = [case.get("name") for case in root.iter("testcase")]
    assert "b\\x00 < 'x' & \"y\"" in names


def test_gates_of_a_manifest_alone_have_no_verdict_case() -> None:
    document = made().model_copy(update={"gates": [gate("a <= 1", "failed")], "judgement": None})
    names = [
        case.get("name") for case in ElementTree.fromstring(format_junit(document).split("\n", 1)[1]).iter("testcase")
    ]
    assert names == ["a <= 1"]
