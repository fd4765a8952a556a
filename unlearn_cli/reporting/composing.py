"""Compose a report from the results of a command: run, environment, manifest, checkpoints, gates and caveats."""

import platform
import resource
import uuid
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from unlearn_cli import console, ranks
from unlearn_cli.checkpoints.checkpoint import Checkpoint
from unlearn_cli.console import pluralize
from unlearn_cli.data.dataset import describe
from unlearn_cli.data.held_out import SELECTION_HALF
from unlearn_cli.data.notices import describe_notices
from unlearn_cli.evaluation.run_inputs import Copies, RunInputs, constant_network, records_equal, selection_digest
from unlearn_cli.evaluation.session import Session
from unlearn_cli.evaluation.split_checks import check_splits
from unlearn_cli.plugins.names import parse_gate
from unlearn_cli.plugins.plugin import Plugin
from unlearn_cli.reporting import report
from unlearn_cli.reporting.report import Report
from unlearn_cli.reporting.timestamps import format_now
from unlearn_cli.runtime import processes
from unlearn_cli.schema.literals import Role
from unlearn_cli.storage.version import VERSION
from unlearn_cli.verdict import metric_gates
from unlearn_cli.verdict.over_forgetting_checks import describe_over_forgetting, make_over_forgetting_gate

OVER_FORGETTING_HALF = "Only the check for over-forgetting uses the original's outputs on the selection half of test."
READ_BY_ORIGINAL = (
    "The check for over-forgetting compares with the original on the selection half of test, which a method that made "
    "the original has read: the limit may be too strict."
)


def compose_report(
    session: Session, command: str, started: str, *, command_line: str | None = None, **fields: Any
) -> Report:
    """Return the report of a command: the fields of every report, and `fields` of this command."""
    run = session.run
    document = Report(
        tool_version=VERSION,
        command=command,
        seed=run.seed,
        environment=describe_environment(session),
        run=report.Run(
            id=str(uuid.uuid4()),
            command_line=command_line,
            started=started,
            finished=format_now(),
            seconds=run.seconds,
            resumed=run.resumed,
            peak_memory_bytes=measure_peak_memory(session),
            shares=run.clock.shares() if run.clock else {},
        ),
        manifest=describe_manifest(session.opened),
        curves=run.curves,
        cost=run.cost,
        **fields,
    )
    document.caveats += [
        f"Code outside of unlearn_cli was run: {function.source} (sha256 {function.sha256[:12]})."
        for function in document.code
    ]
    return document


def describe_environment(session: Session) -> dict[str, Any]:
    """Return versions, device, precision and other properties of the machine and of this run."""
    device, run = session.run.device, session.run
    on_gpu = device.type == "cuda"
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "device": device.type,
        "threads": torch.get_num_threads(),
        "batch_size": run.batch_size,
        "device_name": torch.cuda.get_device_name(device) if on_gpu else torch.backends.cpu.get_cpu_capability(),
        "precision": str(run.precision).removeprefix("torch."),
        "channels_last": run.memory_format == torch.channels_last,
        "compiled": run.compiled,
        "predictions": str(run.predicted_in).removeprefix("torch."),
        "samples": session.samples_are,
        "processes": ranks.size(),
        "weights_divided": processes.is_sharded(),
    }


def measure_peak_memory(session: Session) -> int:
    """Return the largest number of bytes in use so far: of GPU memory on CUDA, otherwise of the process."""
    if session.run.device.type == "cuda":
        return torch.cuda.max_memory_allocated(session.run.device)
    unit = 1 if platform.system() == "Darwin" else 1024  # ru_maxrss: bytes on macOS, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def describe_manifest(opened: RunInputs) -> report.Manifest:
    """Return digests, task, classes and splits of a manifest, and the checks of its splits."""
    dataset = opened.dataset
    numbers = dataset.forget_classes
    names = [dataset.classes[number] for number in numbers] if dataset.classes and numbers else None
    return report.Manifest(
        manifest_digest=opened.digests.content,
        selection_digest=selection_digest(opened),
        text=opened.manifest_text,
        task=dataset.task,
        architecture=opened.network.model.public_name,
        classes=dataset.classes,
        forget_classes=names,
        splits={name: report.Split(**split) for name, split in describe(dataset).items()},
        half=opened.reported.half,
        checks=check_splits(dataset),
        forgotten_unresolved=dataset.unresolved,
        notices=[report.Notice(**notice) for notice in describe_notices(dataset.notices)],
    )


def describe_checkpoint(checkpoint: Checkpoint, role: Role) -> report.Checkpoint:
    """Return the report's entry on one checkpoint."""
    return report.Checkpoint(role=role, **checkpoint.describe())


def describe_references(checkpoints: list[Checkpoint]) -> list[report.Checkpoint]:
    """Return the report's entries on the references."""
    return [describe_checkpoint(checkpoint, "reference") for checkpoint in checkpoints]


def list_caveats(opened: RunInputs, with_reference: bool, copies: Copies | None) -> list[str]:
    """Return one sentence for each limitation of the report."""
    caveats = [
        "The numbers describe these checkpoints on these records; they do not prove that nothing is left.",
        "An interval shows how much a number varies with other records of the same kind, not with another training.",
    ]
    if not opened.dataset.splits:
        caveats.append("The manifest names no data: no metric could be computed.")
    elif not with_reference:
        caveats.append(
            "No retrained reference was given (--reference): the numbers of a network that never saw the forgotten"
            " records are not shown."
        )
    caveats += opened.reported.describe()
    if constant := constant_network(opened):
        caveats.append(constant)
    if copies and copies.in_retain:
        caveats.append(
            f"{records_equal(copies.in_retain, 'retain')} a forgotten one byte for byte: training on retain may restore"
            " the knowledge."
        )
    if copies and copies.of_forgotten:
        caveats.append(
            f"{records_equal(copies.of_forgotten, 'train')} a previously forgotten one byte for byte: training on them"
            " may restore the knowledge."
        )
    if opened.dataset.unresolved:
        caveats.append(
            pluralize(opened.dataset.unresolved, "id of 'forgotten' is", "ids of 'forgotten' are")
            + " not in train (any more): they are not part of any metric."
        )
    if copies and copies.in_test:
        caveats.append(f"{records_equal(copies.in_test, 'test')} a forgotten one byte for byte: the original saw it.")
    return caveats


def describe_over_forgetting_half(document: Report) -> list[str]:
    """Describe which records the check for over-forgetting reads, if these are not reported or not unseen."""
    lineage = document.original.lineage if document.original else {}
    if SELECTION_HALF in lineage.get("held_out", ""):
        return [READ_BY_ORIGINAL]
    return [OVER_FORGETTING_HALF] if document.manifest.half == "verdict" else []


def describe_code(plugins: Iterable[Plugin]) -> list[report.OutsideFunction]:
    """Return the plug-ins that are outside of the package, with the digests of their files."""
    return [
        report.OutsideFunction(name=plugin.name, source=plugin.code.label, sha256=plugin.code.sha256)
        for plugin in plugins
        if plugin.code
    ]


def add_gates(document: Report, conditions: Iterable[str], *, force: bool) -> None:
    """Judge the gates and add them with their verdict; detected over-forgetting adds one failed gate.

    Over-forgetting is also added to the caveats. With `force` it adds no gate, but is printed as a warning.
    """
    task, own_metrics = document.manifest.task, [function.name for function in document.code]
    document.gates = metric_gates.judge([parse_gate(text, task, own_metrics) for text in conditions], document.metrics)
    result = document.over_forgetting
    if result is not None and result.half == "selection":
        document.caveats = [*document.caveats, *describe_over_forgetting_half(document)]
    if result is not None and result.detected:
        text = describe_over_forgetting(result)
        document.caveats = [*document.caveats, text]
        if force:
            console.warn(text)
        else:
            document.gates = [*document.gates, make_over_forgetting_gate(result)]
    document.verdict = metric_gates.combine_verdicts(document.gates)
