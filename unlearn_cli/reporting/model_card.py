"""The model card of a result folder: README.md with the metadata of Hugging Face cards as YAML.

A card may be published with the weights. It says what was forgotten only in numbers: no id, no class name, no path.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from unlearn_cli.console import pluralize
from unlearn_cli.reporting.answers.certainty import VERDICTS
from unlearn_cli.reporting.answers.numbers import count_records, format_count
from unlearn_cli.reporting.markdown import escape_markdown, format_section
from unlearn_cli.reporting.report import Report
from unlearn_cli.reporting.tables import Table, collect_gates, collect_metrics
from unlearn_cli.stats.results import Estimate

TAGS = {  # of the metadata, by the kind of a sample and the task
    ("image", "classification"): "image-classification",
    ("image", "multilabel"): "image-classification",
    ("text", "classification"): "text-classification",
    ("text", "multilabel"): "text-classification",
    ("text", "regression"): "text-classification",  # as Hugging Face names networks that score text
    ("table", "classification"): "tabular-classification",
    ("table", "multilabel"): "tabular-classification",
    ("table", "regression"): "tabular-regression",
}
TYPES = {"accuracy": "accuracy", "mae": "mae", "r2": "r_squared"}  # names of Hugging Face's metrics
PUBLISHED = ("test_retain", "test", "test_forget")  # splits that the network was not trained on
LINEAGE = {
    "method": "method",
    "parent": "tensor digest of the network before",
    "tensor_digest": "tensor digest",
    "manifest_digest": "digest of the manifest without its selection",
    "trained_on": "digest of the training records",
    "settings": "digest of the settings",
    "seed": "seed",
    "version": "version of unlearn-cli",
}
LOADING = {
    "transformers": "`from_pretrained` of transformers loads this folder.",
    "timm": '`timm.create_model("local-dir:FOLDER", pretrained=True)` loads this folder.',
}


@dataclass(frozen=True)
class Network:
    """What the card says of the network itself; `kind` is image, text or table."""

    architecture: str
    kind: str

    @property
    def library(self) -> str | None:
        library = self.architecture.partition("/")[0]
        return library if library in LOADING else None


def format_card(document: Report, network: Network) -> str:
    """Return the text of README.md for a report of `train` or `unlearn`."""
    metadata = yaml.safe_dump(describe_metadata(document, network), sort_keys=False, allow_unicode=True)
    return f"---\n{metadata}---\n\n" + "\n\n".join(_list_parts(document, network)) + "\n"


def describe_metadata(document: Report, network: Network) -> dict[str, Any]:
    """Return the metadata of the card: library, task, tags, and the metrics on new records."""
    tag = TAGS.get((network.kind, document.manifest.task))
    results = list(_list_results(document, tag))
    unlearned = document.command == "unlearn"
    return {
        **({"library_name": network.library} if network.library else {}),
        **({"pipeline_tag": tag} if tag else {}),
        "tags": [
            *(["machine-unlearning"] if unlearned else []),
            "unlearn-cli",
            *([] if network.library else ["pytorch"]),
        ],
        **({"model-index": [{"name": _title(document, network), "results": results}]} if results else {}),
    }


def _list_results(document: Report, tag: str | None) -> Iterator[dict[str, Any]]:
    for split in PUBLISHED:
        estimates = _find_estimates(document).get(split, {})
        metrics = [
            {"type": TYPES[name], "name": name, "value": estimate.value}
            for name, estimate in estimates.items()
            if name in TYPES and estimate.value is not None
        ]
        if metrics and tag:
            dataset = {"name": f"{split} (private)", "type": "private", "split": split}
            yield {"task": {"type": tag}, "dataset": dataset, "metrics": metrics}


def _find_estimates(document: Report) -> dict[str, dict[str, Estimate]]:
    return document.metrics.get("subject") or document.metrics.get("trained") or {}


def _title(document: Report, network: Network) -> str:
    return f"{'Unlearned' if document.command == 'unlearn' else 'Trained'} {network.architecture}"


def _list_parts(document: Report, network: Network) -> Iterator[str]:
    yield f"# {escape_markdown(_title(document, network))}"
    yield escape_markdown(_describe_origin(document))
    if network.library:
        yield LOADING[network.library]
    if document.command == "unlearn":
        yield escape_markdown(f"Verdict of the gates: {_describe_verdict(document)}.")
    yield from format_section("Gates", collect_gates(document, with_limits=True))
    yield from format_section("Metrics", collect_metrics(document))
    yield from format_section("Lineage", Table(["fact", "value"], list(_list_lineage(document)), labels=2))
    if limits := list(_list_limits(document)):
        yield "### Limits"
        yield "\n".join(f"- {escape_markdown(limit)}" for limit in limits)


def _describe_origin(document: Report) -> str:
    """Return what was done to the network, with numbers of records and classes only."""
    if document.command != "unlearn":
        split = document.inputs[0] if document.inputs else "train"
        return f"Trained on {format_count(count_records(document, split), 'record')}."
    forget, train = count_records(document, "forget"), count_records(document, "train")
    forgotten, classes = document.manifest.forget_classes, document.manifest.classes or []
    whole = f"{len(forgotten)} of {pluralize(len(classes), 'class', 'classes')}" if forgotten else ""
    records = f"{forget:,} of {train:,} training records" if train else ""
    text = f"{whole} ({records})" if whole and records else whole or records or "records"
    return f"This network was made to forget {text} with the method {document.method} of unlearn-cli."


def _describe_verdict(document: Report) -> str:
    return VERDICTS[document.verdict] if document.verdict else "none were asked"


def _list_lineage(document: Report) -> Iterator[list[str]]:
    lineage = document.subject.lineage if document.subject else {}
    if document.original is not None:
        lineage = {"parent": document.original.tensor_digest, **lineage}
    yield from ([title, lineage[key]] for key, title in LINEAGE.items() if key in lineage)


def _list_limits(document: Report) -> Iterator[str]:
    """Yield the caveats that name no class."""
    names = [f"'{name}'" for name in document.manifest.classes or []]
    yield from (caveat for caveat in document.caveats if not any(name in caveat for name in names))
    yield "The numbers are those of the data of the run; report.json has all of them."
