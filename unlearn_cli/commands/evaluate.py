"""`unlearn-cli evaluate`: measure a checkpoint on every split, compare it with original and references, check gates."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unlearn_cli import console, ranks
from unlearn_cli.commands.claiming import claim_output
from unlearn_cli.commands.command_text import format_command_line
from unlearn_cli.commands.gated_splits import check_gated_splits
from unlearn_cli.commands.manifest_inputs import open_manifest
from unlearn_cli.commands.plan import split_counts
from unlearn_cli.commands.report_result import (
    append_summary,
    check_destinations,
    check_summary,
    export_report,
    to_result,
)
from unlearn_cli.commands.result import Result
from unlearn_cli.data.notices import describe_notices
from unlearn_cli.errors import UserError, did_you_mean, prefix_field
from unlearn_cli.evaluation.lineage import check_references, name_reference
from unlearn_cli.evaluation.run_inputs import Copies, RunInputs, find_copies
from unlearn_cli.plugins import discovery, plugin
from unlearn_cli.plugins.names import parse_gate, read_manifest
from unlearn_cli.plugins.outside import is_outside
from unlearn_cli.plugins.plugin import Plugin
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.reporting.timestamps import format_now
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.storage import atomic_files

if TYPE_CHECKING:
    from unlearn_cli.checkpoints.checkpoint import Checkpoint
    from unlearn_cli.evaluation.session import Session
    from unlearn_cli.reporting.report import Report


@dataclass(frozen=True)
class EvaluateOptions:
    """The arguments of `evaluate`, in addition to the `RunOptions`."""

    checkpoint: Path
    manifest: Path
    original: Path | None = None
    references: tuple[Path, ...] = ()
    metrics: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    out: Path | None = None
    junit: Path | None = None
    summary: Path | None = None
    log_to: tuple[str, ...] = ()
    dry_run: bool = False

    @property
    def available_inputs(self) -> set[str]:
        """The inputs of metrics that the command line provides."""
        costs = {"cost"} if has_cost_report(self.checkpoint) else set()
        return costs | ({"original"} if self.original else set()) | ({"reference"} if self.references else set())


def run(options: EvaluateOptions, run_options: RunOptions) -> Result:
    """Measure the checkpoint, check the gates, and write the report to `out`."""
    outputs = () if options.dry_run else (options.out, options.junit)
    with claim_output(run_options.overwrite, *outputs):
        return run_with_claim(options, run_options)


def run_with_claim(options: EvaluateOptions, run_options: RunOptions) -> Result:
    """Run `evaluate` while this process holds the claim on its outputs."""
    if options.junit:
        atomic_files.check_output(options.junit, run_options.overwrite, "file")
    check_summary(options.summary)
    check_destinations(options.log_to)
    checkpoints = (options.checkpoint, options.original, *options.references)
    own_metrics = load_own_metrics(options.metrics, allow_code=run_options.allow_code)
    manifest = read_manifest(options.manifest, run_options.manifest_folder, own_metrics)
    if not manifest.data:
        raise UserError(f"{options.manifest}: has no 'data' section; there is nothing to evaluate on")
    conditions = [*manifest.gates, *options.require]
    with prefix_field("--require"):  # gates of the manifest were checked when it was read
        judged = [parse_gate(condition, manifest.task, own_metrics).metric for condition in conditions]
    check_gated_splits(manifest, manifest.gates, f"{options.manifest}: gates")
    check_gated_splits(manifest, options.require, "--require")
    opened = open_manifest(manifest, options.manifest, run_options, checkpoints, options.out, decode=options.dry_run)
    judged = [own_metrics.get(name, name) for name in judged]
    names = choose_metrics(options, manifest, judged, allow_code=run_options.allow_code)
    references = check_references(options.references, opened)
    copies = find_copies(opened)
    console.say(f"evaluate: {options.checkpoint.name}; loading torch")
    for name in own_metrics.values():
        plugin.load("metrics", name, allow_code=run_options.allow_code).function()  # refused if it cannot be imported
    if options.dry_run:
        return describe_dry_run(options, opened, names, conditions, copies)
    return carry_out(options, opened, names, conditions, copies, references)


def describe_dry_run(
    options: EvaluateOptions, opened: RunInputs, names: list[str], conditions: list[str], copies: Copies
) -> Result:
    """Check the checkpoints against the network, and describe the run."""
    from unlearn_cli.commands.network_check import start_checked

    with start_checked(opened, load_by_role(options, opened)):
        pass
    text, document = split_counts(opened)
    return Result(
        text,
        {
            "splits": document,
            "metrics": names,
            "gates": conditions,
            "duplicates_in_retain": copies.in_retain,
            "forgotten_unresolved": opened.dataset.unresolved or 0,
            "notices": describe_notices(opened.dataset.notices),
            "images_decoded": opened.dataset.images_decoded,
        },
    )


def load_own_metrics(names: Sequence[str], *, allow_code: bool) -> dict[str, str]:
    """Return the metrics outside of the package: for the name that gates use, the name on the command line."""
    own = {}
    for name in filter(is_outside, names):
        metric = plugin.load("metrics", name, allow_code=allow_code)
        if metric.name in own:
            raise UserError(f"--metric {name}: {own[metric.name]} has the same function name; rename one of them")
        own[metric.name] = name
    return own


def has_cost_report(checkpoint: Path) -> bool:
    """Return whether a report with the training cost lies next to a checkpoint."""
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    return (folder / "report.json").is_file()


def choose_metrics(
    options: EvaluateOptions, manifest: Manifest, judged: Sequence[str], *, allow_code: bool
) -> list[str]:
    """Return the requested metrics (default: those of the task whose inputs are available) and those of the gates.

    Raises:
        UserError: a metric is unknown or not defined for the task, an input of it is missing, or a setting is wrong.
    """
    task, present = manifest.task, manifest.sections | options.available_inputs
    for name in options.metrics:
        with prefix_field("--metric"):
            metric = plugin.load("metrics", name, allow_code=allow_code)
        if task not in metric.tasks:
            defined = ", ".join(discovery.list_metrics_of(task))
            raise UserError(f"--metric: '{name}' is not defined for {task}; choose from {defined}")
    candidates = dict.fromkeys([*(options.metrics or discovery.list_default_metrics(task)), *judged])
    names = select_computable(list(candidates), present, options.metrics, allow_code=allow_code)
    check_settings(options.settings, [plugin.load("metrics", name, allow_code=allow_code) for name in names])
    return names


def select_computable(
    names: Sequence[str], present: set[str], requested: Sequence[str], *, allow_code: bool = False
) -> list[str]:
    """Return the metrics whose inputs are available.

    Raises:
        UserError: a requested metric lacks an input.
    """
    computable = []
    for name in names:
        lacking = sorted(plugin.load("metrics", name, allow_code=allow_code).sections - present)
        if lacking and name in requested:
            raise UserError(f"--metric {name}: needs {' and '.join(_describe_input(section) for section in lacking)}")
        if not lacking:
            computable.append(name)
    return computable


def _describe_input(section: str) -> str:
    """Return the name of an input and the option or section that provides it."""
    sources = {
        "original": "the original (--original)",
        "reference": "a reference (--reference)",
        "cost": "the reports that 'unlearn' and 'train' wrote next to the checkpoints",
    }
    return sources.get(section, f"the manifest's '{section}'")


def check_settings(assignments: Sequence[str], metrics: Sequence[Plugin]) -> None:
    """Check that at least one of the metrics has each setting and accepts its value.

    Raises:
        UserError: with the nearest name, or the expected values.
    """
    list_settings = sorted({field for metric in metrics for field in metric.settings.model_fields})
    for assignment in assignments:
        field = assignment.partition("=")[0].strip()
        if field not in list_settings:
            hint = did_you_mean(field, list_settings) if list_settings else "they have none"
            raise UserError(
                f"--set {assignment}: none of the computed metrics has a setting '{field}'; {hint}; "
                "'unlearn-cli show METRIC' lists the settings of a metric"
            )
        for metric in metrics:
            if field in metric.settings.model_fields:
                plugin.complete_settings(metric, None, [assignment])


def load_by_role(options: EvaluateOptions, opened: RunInputs) -> "dict[str, Checkpoint]":
    """Load the checkpoints by role; each must fit the manifest's network."""
    from unlearn_cli.commands.network_check import load_checkpoints  # imports torch: seconds

    original = {"original": options.original} if options.original else {}
    references = {name_reference(number): path for number, path in enumerate(options.references)}
    return load_checkpoints(opened, {**original, "subject": options.checkpoint, **references})


def carry_out(
    options: EvaluateOptions,
    opened: RunInputs,
    names: list[str],
    conditions: list[str],
    copies: Copies,
    unverified: list[str],
) -> Result:
    """Check the checkpoint on a few records, measure it, and write the report."""
    from unlearn_cli.commands.network_check import start_checked

    started = format_now()
    weights = load_by_role(options, opened)
    with start_checked(opened, weights, options.out) as current:
        document = measure(options, current, weights, names, copies, unverified, started)
    return write_result(document, options, opened.common, conditions)


def measure(
    options: EvaluateOptions,
    current: "Session",
    weights: "dict[str, Checkpoint]",
    names: list[str],
    copies: Copies,
    unverified: list[str],
    started: str,
) -> "Report":
    """Return the report on all checkpoints, without gates."""
    from unlearn_cli.evaluation import budgets, measuring, over_forgetting  # import SciPy: a second, after all checks
    from unlearn_cli.evaluation.checkpoint_outputs import CheckpointOutputs
    from unlearn_cli.reporting import composing

    opened = current.opened
    others = [weights[name_reference(number)] for number in range(len(options.references))]
    checkpoints = CheckpointOutputs(current, weights, holdout=measuring.select_holdout(opened))
    metrics = measuring.load_metrics(names, options.settings, allow_code=opened.common.allow_code)
    measured = measuring.measure_all(checkpoints, metrics)
    return composing.compose_report(
        current,
        "evaluate",
        started,
        command_line=format_command_line("evaluate", options, opened.common),
        metrics=measured,
        code=composing.describe_code(metric for metric, _ in metrics),
        subject=composing.describe_checkpoint(weights["subject"], "subject"),
        original=composing.describe_checkpoint(weights["original"], "original") if options.original else None,
        references=composing.describe_references(others),
        comparisons=measuring.compare_with_references(measured, metrics),
        confusions=measuring.count_confusions(checkpoints),
        labels=measuring.score_labels(checkpoints, checkpoints.weights),
        layers=measuring.measure_layers(checkpoints),
        over_forgetting=over_forgetting.detect(checkpoints),
        caveats=[
            *composing.list_caveats(opened, bool(others), copies),
            *unverified,
            *budgets.describe_excess(weights["subject"].metadata, [other.metadata for other in others]),
        ],
    )


def write_result(document: "Report", options: EvaluateOptions, common: RunOptions, conditions: list[str]) -> Result:
    """Judge the gates, and write the report wherever the options name a destination."""
    from unlearn_cli.reporting import composing, junit, writing
    from unlearn_cli.reporting.terminal import format_report

    composing.add_gates(document, conditions, force=common.force)
    writing.save_report(document, options.out, overwrite=common.overwrite, pages=common.pages)
    if options.junit and ranks.is_first():
        with atomic_files.output_file(options.junit, replace=common.overwrite) as file:
            file.write_text(junit.format_junit(document), encoding="utf-8")
    append_summary(document, options.summary)
    export_report(document, options.log_to)
    text = format_report(document, options.out, metrics=options.metrics, pages=common.pages)
    return to_result(document, text, options.out)
