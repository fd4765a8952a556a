"""The numbers and texts of a report that trackers receive; like the report, they have no ids and no paths."""

import json
from collections.abc import Iterator

from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.results import Estimate


def list_metrics(report: Report) -> dict[str, float]:
    """Return the numbers by their names, such as `subject/test_forget/accuracy`; those that are null are left out."""
    return dict(sorted([*_list_measured(report), *_list_attacks(report), *_list_costs(report)]))


def _list_measured(report: Report) -> Iterator[tuple[str, float]]:
    for role, splits in report.metrics.items():
        for split, metrics in splits.items():
            for name, estimate in metrics.items():
                yield from _list_estimate(f"{role}/{split}/{name}", estimate)


def _list_attacks(report: Report) -> Iterator[tuple[str, float]]:
    for attack in report.attacks:
        yield from _list_estimate(f"attacks/{attack.role}/{attack.name}/auc", attack.auc)


def _list_estimate(name: str, estimate: Estimate) -> Iterator[tuple[str, float]]:
    """Yield a value with its interval and the number of its records."""
    parts = {"": estimate.value, "_low": estimate.low, "_high": estimate.high, "_n": estimate.n}
    if estimate.value is not None:
        yield from ((f"{name}{end}", float(value)) for end, value in parts.items() if value is not None)


def _list_costs(report: Report) -> Iterator[tuple[str, float]]:
    yield from ((f"seconds/{phase}", seconds) for phase, seconds in report.run.seconds.items())
    yield "cost/samples_forward", float(report.cost.samples_forward)
    yield "cost/samples_backward", float(report.cost.samples_backward)


def list_parameters(report: Report) -> dict[str, str]:
    """Return the settings of a run as text."""
    settings = {f"settings/{name}": _format(value) for name, value in report.settings.items()}
    method = {"method": report.method} if report.method else {}
    return {**method, "architecture": report.manifest.architecture, "seed": str(report.seed), **settings}


def list_tags(report: Report) -> dict[str, str]:
    """Return texts that identify the run and its conclusion."""
    digest = report.subject.tensor_digest if report.subject else None
    tags = {"command": report.command, "version": report.tool_version, "verdict": report.verdict, "checkpoint": digest}
    return {f"unlearn_cli.{name}": text for name, text in tags.items() if text}


def name_run(report: Report) -> str:
    """Return the name of the run: command, method and the report's identifier."""
    return "-".join(filter(None, (report.command, report.method, report.run.id)))


def _format(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
