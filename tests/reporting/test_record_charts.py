"""Charts of numbers per record: what they draw, in which colours, compared with what, and nothing without values."""

import re

import numpy as np
import pytest

from tests.reporting.test_page import balanced, full_report
from unlearn_cli.reporting.html import render
from unlearn_cli.reporting.html.record_charts import EXPOSURE_ROWS, list_record_charts
from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.quantiles import describe_distribution
from unlearn_cli.stats.results import Distribution, Estimate, Finding

TITLES = {"original": "Original", "subject": "Unlearned", "reference": "Reference 1", "references": "2 references"}
VALUES = np.linspace(-3, 5, 400)


def distributions(quantity: str, values: np.ndarray = VALUES) -> list[Distribution]:
    series = ("forget", "forget, left-out references", "never_seen", "never_seen, floor")
    return [part for name in series for part in describe_distribution(quantity, name, values)]


def finding(name: str, role: str = "subject", **fields: object) -> Finding:
    return Finding.model_validate({"name": name, "role": role, "tier": "standard", "quantities": {}} | fields)


def exposure(role: str, value: float | None) -> Finding:
    low, high = (None, None) if value is None else (value - 0.05, value + 0.05)
    estimate = Estimate(value=value, n=100, low=low, high=high, reason="few" if value is None else None)
    return finding("before_after", role, quantities=dict.fromkeys(EXPOSURE_ROWS, estimate))


def make_report(*findings: Finding) -> Report:
    return full_report().model_copy(update={"findings": list(findings)})


@pytest.mark.parametrize("quantity", ["completeness", "distance", "KLoM", "a new one"])
def test_a_distribution_has_one_line_per_series_and_dashed_floors(quantity: str) -> None:
    values = np.abs(VALUES) if quantity == "KLoM" else VALUES
    report = make_report(finding("any", distributions=distributions(quantity, values)))
    ((title, caption, svg),) = list_record_charts(report, TITLES)
    assert title == f"{quantity[0].upper()}{quantity[1:]} of each record"
    assert bool(caption) == (quantity != "a new one")
    lines = re.findall(r"<path d=[^>]*style=\"fill: none; stroke-dasharray[^\"]*stroke: var\(--(blue|orange)\)", svg)
    assert {"blue", "orange"} == set(lines)
    assert "never seen, floor" in svg and "#0072b2" not in svg  # colours follow the style sheet, so dark mode too


def test_references_share_a_marker_and_the_attack_on_them_is_beside_that_on_the_network() -> None:
    findings = [exposure("subject", 0.7), exposure("reference", 0.55), exposure("reference_2", 0.65)]
    ((title, _, svg),) = list_record_charts(make_report(*findings), TITLES)
    assert title == "Records recognised from both versions"
    assert "Unlearned" in svg and "2 references" in svg and "Reference 1" not in svg
    assert all(text in svg for text in (*EXPOSURE_ROWS.values(), "chance"))


def test_without_values_there_is_no_chart() -> None:
    assert list_record_charts(make_report(exposure("subject", None)), TITLES) == []
    assert list_record_charts(make_report(finding("completeness")), TITLES) == []
    of_original = finding("klom", "original", distributions=distributions("KLoM", np.abs(VALUES)))
    assert list_record_charts(make_report(of_original), TITLES) == []


def test_the_page_contains_them_with_their_captions() -> None:
    findings = [finding("completeness", distributions=distributions("completeness")), exposure("subject", 0.7)]
    text = render(make_report(*findings))
    assert balanced(text) == []
    assert "Completeness of each record" in text and "0 is as the original, 1 as retrained" in text
    assert text.count("Records recognised from both versions</title>") == 1
