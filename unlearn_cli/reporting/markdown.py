"""The summary of a report in Markdown, for CI job summaries: the sentences, the gates, and the main metrics."""

import re
from collections.abc import Iterable

from unlearn_cli.console import escape_line
from unlearn_cli.reporting.answers.certainty import VERDICTS
from unlearn_cli.reporting.report import Report
from unlearn_cli.reporting.sentences import list_sentences
from unlearn_cli.reporting.tables import Table, collect_gates, collect_metrics, collect_results, explain_mark

# Each could begin markup, HTML, a mention, a formula, an emoji or a link in the dialects of GitHub and GitLab.
MARKUP = re.compile(r"[\\`*_{}\[\]<#|~$&@^]|:(?=[\w/+-])|(?<=www)\.", re.IGNORECASE)


def format_summary(document: Report) -> str:
    """Return the Markdown text, which ends with an empty line so that more text can follow."""
    parts = [
        f"## {_format_title(document)}",
        *(f"**{sentence.question}** {escape_markdown(sentence.text)}" for sentence in list_sentences(document)),
        *format_section("Gates", collect_gates(document, with_limits=True)),
        *filter(None, [escape_markdown(explain_mark(document))]),
        *format_section("Metrics", collect_metrics(document)),
        *_fold("Attacks", collect_results(document)),
    ]
    return "\n\n".join(parts) + "\n\n"


def escape_markdown(text: str) -> str:
    """Escape text for Markdown, so that names are shown as they are and cannot add markup, links or lines."""
    return MARKUP.sub(lambda match: f"\\{match[0]}", escape_line(text))


def _format_title(document: Report) -> str:
    verdict = VERDICTS[document.verdict] if document.verdict else "no verdict"
    tier = f" ({document.judgement.tier} tier)" if document.judgement else ""
    return escape_markdown(f"unlearn-cli {document.command}: {verdict}{tier}")


def format_section(title: str, table: Table) -> list[str]:
    """Return a title and a table; nothing for an empty table."""
    return [f"### {title}", _format_table(table)] if table.rows else []


def _fold(title: str, table: Table) -> list[str]:
    """Return a section that is closed at first: the tables of attacks are long."""
    if not table.rows:
        return []
    return [f"<details><summary>{title}</summary>", _format_table(table), "</details>"]


def _format_table(table: Table) -> str:
    alignment = ["---"] * table.labels + ["---:"] * (len(table.header) - table.labels)
    rows = [_format_row(map(escape_markdown, row)) for row in (table.header, *table.rows)]
    return "\n".join([rows[0], _format_row(alignment), *rows[1:]])


def _format_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
