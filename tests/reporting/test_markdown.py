"""The summary in Markdown: sentences, gates, metrics; names cannot add markup, links, cells or lines."""

import re

import pytest

from tests.reporting.test_page import bare_report, full_report
from tests.reporting.test_sentences import ON_COST, ON_FORGETTING, attacked, gate
from unlearn_cli.reporting.markdown import escape_markdown, format_summary


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain 3.5 % (n 4)", "plain 3.5 % (n 4)"),
        ("a|b", r"a\|b"),
        ("<img src=x onerror=alert(1)>", r"\<img src=x onerror=alert(1)>"),
        ("[x](http://a.b)", r"\[x\](http\://a.b)"),
        ("www.a.b *bold* _it_ `code` ~~no~~ $x$ @me #1 :smile:", None),
        ("two\nlines\r# heading", r"two\\nlines\\r\# heading"),
        ("\u202eevil", r"\\u202eevil"),
    ],
)
def test_names_are_shown_as_they_are(name: str, text: str | None) -> None:
    escaped = escape_markdown(name)
    assert text is None or escaped == text
    assert not re.search(r"(?<!\\)[*_`\[\]<|~$@#]|www\.|(?<!\\):(?=\w)|\n", escaped)


def test_a_judged_report_has_sentences_gates_and_attacks() -> None:
    text = format_summary(attacked("inconclusive", gate(ON_FORGETTING, "inconclusive"), gate(ON_COST, "passed")))
    assert text.startswith("## unlearn-cli attack: not decided (quick tier)\n\n**What was asked?** Test whether")
    assert "| gate | value \\[95 %\\] | n | limit | verdict |\n| --- | ---: | ---: | ---: | ---: |\n" in text
    assert f"| {ON_FORGETTING} | 0.04 \\[0.03, 0.05\\] | 270 | 0.5 | not decided |" in text
    assert "<details><summary>Attacks</summary>\n\n| attack |" in text
    assert text.endswith("</details>\n\n")


def test_every_row_has_as_many_cells_as_the_header() -> None:
    lines = format_summary(full_report(name="a|b\n`c`")).splitlines()
    tables = [line for line in lines if line.startswith("|")]
    counts = [len(re.findall(r"(?<!\\)\|", line)) for line in tables]
    assert set(counts) == {4, 6, 7}  # attacks, gates, metrics
    assert "### Metrics" in lines and "### Gates" in lines


def test_a_report_without_numbers_has_sentences_only() -> None:
    text = format_summary(bare_report())
    assert text.startswith("## unlearn-cli unlearn: no verdict\n\n**What was asked?**") and "|" not in text
