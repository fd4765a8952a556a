"""Building reports: what every command's report has, metrics of every split, gates, and pictures."""

import platform
import resource
import time
import uuid
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from unlearn_cli import console, metrics, ranks
from unlearn_cli.checkpoints.checkpoint import Checkpoint
from unlearn_cli.console import pluralize
from unlearn_cli.data.dataset import describe
from unlearn_cli.data.notices import as_data
from unlearn_cli.data.strings import as_strings
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.inputs import Copies, Opened, constant_network, records_equal, selection_digest
from unlearn_cli.evaluation.pictures import Picture
from unlearn_cli.evaluation.session import Session
from unlearn_cli.plugins import plugin
from unlearn_cli.plugins.names import parse_gate
from unlearn_cli.reporting import report
from unlearn_cli.reporting.report import Report
from unlearn_cli.runtime import processes
from unlearn_cli.schema.literals import Role
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate
from unlearn_cli.storage import files
from unlearn_cli.storage.version import VERSION
from unlearn_cli.verdict import gates
from unlearn_cli.verdict.over_forgetting import as_gate, sentence

Measured = dict[str, dict[str, Estimate]]  # split -> metric -> estimate


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def measure(outputs: dict[str, Outputs], task: str, names: Iterable[str] = ()) -> Measured:
    """Compute the metrics asked for (by default those of the task) on every split."""
    plain = [name for name in metrics.DEFAULTS[task] if plugin.load("metrics", name).needs == ("outputs",)]
    chosen = tuple(names) or plain  # the others compare with what only 'evaluate' has
    functions = {name: getattr(import_module(f"unlearn_cli.metrics.{name}"), name) for name in chosen}
    return {split: {name: function(found) for name, function in functions.items()} for split, found in outputs.items()}


def measure_model(session: Session, model: nn.Module, what: str, names: Iterable[str] = ()) -> Measured:
    """Run a network over all splits and compute the metrics on each."""
    with session.run.timed("evaluate"):
        console.say(f"evaluate: {what}")
        return measure(session.all_outputs(model), session.manifest.task, names)


def outputs_of(session: Session, model: nn.Module, what: str) -> dict[str, Outputs]:
    """Run a network over all splits."""
    with session.run.timed("evaluate"):
        console.say(f"evaluate: {what}")
        return session.all_outputs(model)


def caveats(opened: Opened, with_reference: bool, copies: Copies | None) -> list[str]:
    """Say what the numbers do not show."""
    found = [
        "The numbers describe these checkpoints on these records; they are evidence, no proof that nothing is left.",
        "An interval says how much a number could differ with other records of the same kind, not with other training.",
    ]
    if not opened.dataset.splits:
        found.append("The manifest names no data: no metric could be computed.")
    elif not with_reference:
        found.append(
            "No retrained reference was given (--reference): what never having learned looks like is not shown."
        )
    if constant := constant_network(opened):
        found.append(constant)
    if copies and copies.in_retain:
        found.append(
            f"{records_equal(copies.in_retain, 'retain')} a forgotten one byte for byte and may teach it again."
        )
    if copies and copies.of_forgotten:
        found.append(
            f"{records_equal(copies.of_forgotten, 'train')} one forgotten before byte for byte and may teach it again."
        )
    if opened.dataset.unresolved:
        found.append(
            pluralize(opened.dataset.unresolved, "id of 'forgotten' is", "ids of 'forgotten' are")
            + " not in train (any more): nothing is measured on such records."
        )
    if copies and copies.in_test:
        found.append(f"{records_equal(copies.in_test, 'test')} a forgotten one byte for byte: not never-seen.")
    return found


def new_report(session: Session, command: str, started: str, **fields: Any) -> Report:
    """Begin a report with what every command's report has."""
    run = session.run
    return Report(
        tool_version=VERSION,
        command=command,
        seed=run.seed,
        environment=environment(session),
        run=report.Run(
            id=str(uuid.uuid4()),
            started=started,
            finished=now(),
            seconds=run.seconds,
            resumed=run.resumed,
            peak_memory_bytes=peak_memory(session),
            shares=run.clock.shares() if run.clock else {},
        ),
        manifest=describe_manifest(session.opened),
        curves=run.curves,
        cost=run.cost,
        **fields,
    )


def environment(session: Session) -> dict[str, Any]:
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
        "weights_divided": processes.sharded(),
    }


def peak_memory(session: Session) -> int:
    if session.run.device.type == "cuda":
        return torch.cuda.max_memory_allocated(session.run.device)
    unit = 1 if platform.system() == "Darwin" else 1024  # ru_maxrss: bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def describe_manifest(opened: Opened) -> report.Manifest:
    dataset, described = opened.dataset, opened.manifest
    forgotten = dataset.forget_classes
    names = [dataset.classes[number] for number in forgotten] if dataset.classes and forgotten else None
    return report.Manifest(
        manifest_digest=described.digest,
        selection_digest=selection_digest(opened),
        task=described.task,
        architecture=described.model.architecture,
        classes=dataset.classes,
        forget_classes=names,
        splits={name: report.Split(**split) for name, split in describe(dataset).items()},
        checks=checks(opened),
        forgotten_unresolved=dataset.unresolved if described.forgotten else None,
        notices=[report.Notice(**notice) for notice in as_data(dataset.notices)],
    )


def checks(opened: Opened) -> dict[str, bool]:
    """Verify of the splits what every number below rests on."""
    splits, found = opened.dataset.splits, {}
    if "forgotten" in splits:
        trained = as_strings(splits["train"].records.ids)
        found["train_has_no_forgotten_record"] = not trained.are_among(splits["forgotten"].ids).any()
    if "forget" not in splits:
        return found
    rows = np.concatenate([splits["forget"].rows, splits["retain"].rows])
    times = np.bincount(rows, minlength=len(splits["train"]))  # how often each training record is in one of the two
    found["forget_and_retain_are_disjoint"] = bool((times <= 1).all())
    found["forget_and_retain_make_train"] = bool((times >= 1).all())
    if "test" in splits:
        found["test_has_no_forgotten_sample"] = not splits["test"].copies_of(splits["forget"]).any()
    return found


def judge(document: Report, conditions: Iterable[str], *, force: bool) -> None:
    """Add the verdict on each gate, that over-forgetting is among them, and the verdict on all of them."""
    task = document.manifest.task
    document.gates = gates.judge([parse_gate(text, task) for text in conditions], document.metrics)
    document.verdict = gates.verdict(document.gates)
    add_over_forgetting(document, force)


def add_over_forgetting(document: Report, force: bool) -> None:
    """Warn of over-forgetting in terminal and report; unless it is forced, it is a gate that failed."""
    result = document.over_forgetting
    if result is None or not result.detected:
        return
    text = sentence(result)
    document.caveats = [*document.caveats, text]
    console.warn(text if force else f"{text} --force accepts it")
    if not force:
        document.gates = [*document.gates, as_gate(result)]
        document.verdict = gates.verdict(document.gates)


def describe_checkpoint(weights: Checkpoint, role: Role) -> report.Checkpoint:
    return report.Checkpoint(role=role, **weights.describe())


def references(weights: list[Checkpoint]) -> list[report.Checkpoint]:
    return [describe_checkpoint(checkpoint, "reference") for checkpoint in weights]


def role(number: int) -> str:
    """Return the name under which the metrics of the n-th reference stand: reference, reference_2, ..."""
    return "reference" if number == 0 else f"reference_{number + 1}"


def write(document: Report, folder: Path, noise: Picture | None = None) -> None:
    """Write report.json and report.html into a folder that is being built."""
    if not ranks.is_first():
        return
    from unlearn_cli.reporting import html as page  # Matplotlib and Jinja2: half a second, only where a page is written

    report.write(document, folder)
    (folder / "report.html").write_text(page.render(document, draw_samples(noise) if noise else None), encoding="utf-8")


def refuse_same_weights(weights: dict[str, Checkpoint]) -> None:
    """Refuse a reference that is the checkpoint under test, or another reference: it cannot be a yardstick of its own.

    Raises:
        UserError: names the two.
    """
    seen = {weights["subject"].tensor_digest: weights["subject"]}
    for role, made in weights.items():
        if role.startswith("reference"):
            other = seen.setdefault(made.tensor_digest, made)
            if other is not made:
                raise UserError(f"--reference {made.path}: has the same weights as {other.path}; train it by itself")


def draw_samples(picture: Picture) -> bytes:
    """Draw samples as a PNG, a row for each class."""
    from unlearn_cli.reporting.html.noise_grid import noise_grid  # Matplotlib, as above

    return noise_grid(picture.samples, picture.classes)


def write_pictures(document: Report, folder: Path, pictures: dict[str, Picture]) -> None:
    """Write the reconstructions into a page of their own: they are evidence about people."""
    from unlearn_cli.reporting.html.pictures import render_pictures

    (folder / "pictures.html").write_text(
        render_pictures(document, {role: draw_samples(picture) for role, picture in pictures.items()}), encoding="utf-8"
    )


def save_report(document: Report, out: Path | None, overwrite: bool) -> None:
    """Write a report that comes without a checkpoint into its own folder, if one is asked for."""
    if out is not None and ranks.is_first():
        with files.output_folder(out, overwrite=overwrite) as folder:
            write(document, folder)
