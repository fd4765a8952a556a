"""Plain sentences from the numbers of a report: what was asked, was it forgotten, what did it cost, how sure is that.

The terminal, the Markdown summary and the page show the same sentences. They contain only numbers of the report, each
with its n, and claim nothing beyond its gates. The texts are plain: names in them must be escaped for HTML or Markdown.
"""

from collections.abc import Callable
from dataclasses import dataclass

from unlearn_cli.reporting.answers.certainty import describe_certainty, describe_certainty_of_training
from unlearn_cli.reporting.answers.forgetting import describe_forgetting
from unlearn_cli.reporting.answers.request import describe_request
from unlearn_cli.reporting.answers.utility import describe_cost, describe_quality
from unlearn_cli.reporting.report import Report

REQUEST, FORGETTING, COST, CERTAINTY = (
    "What was asked?",
    "Was it forgotten?",
    "What did it cost?",
    "How sure is that?",
)
QUALITY = "How good is the network?"


@dataclass(frozen=True)
class Sentence:
    """The answer to one question, in one or more sentences of plain text."""

    question: str
    text: str


def list_sentences(document: Report) -> list[Sentence]:
    """Return one answer per question. A training, and a manifest that selects nothing, has none on forgetting."""
    answers: dict[str, Callable[[Report], str]] = {
        REQUEST: describe_request,
        FORGETTING: describe_forgetting,
        COST: describe_cost,
        CERTAINTY: describe_certainty,
    }
    if document.command == "train" or "forget" not in document.manifest.splits:
        answers = {REQUEST: describe_request, QUALITY: describe_quality, CERTAINTY: describe_certainty_of_training}
    return [Sentence(question, describe(document)) for question, describe in answers.items()]
