"""The Python API: the commands as plain functions.

`import unlearn_cli` makes these functions available; this module and torch are loaded on first use.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Unpack

from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor

from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.commands import attack as attack_command
from unlearn_cli.commands import evaluate as evaluate_command
from unlearn_cli.commands import inspect as inspect_command
from unlearn_cli.commands import noise as noise_command
from unlearn_cli.commands import train as train_command
from unlearn_cli.commands import unlearn as unlearn_command
from unlearn_cli.commands.api_workspace import ManifestSource, Model, Options, StateDict, Workspace
from unlearn_cli.commands.attack import AttackOptions
from unlearn_cli.commands.evaluate import EvaluateOptions
from unlearn_cli.commands.inspect_options import InspectOptions
from unlearn_cli.commands.noise import NoiseOptions
from unlearn_cli.commands.result import Result
from unlearn_cli.commands.train import TrainOptions
from unlearn_cli.commands.unlearn import UnlearnOptions
from unlearn_cli.errors import UserError
from unlearn_cli.plugins.run_options import SettingSources
from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.margins import AUC_MARGIN
from unlearn_cli.storage import regular_files

Settings = str | Path | Mapping[str, Any]
"""Settings of a plug-in: the path of a YAML file, or a mapping."""


@dataclass(frozen=True)
class ModelResult:
    """A new checkpoint with its report."""

    report: Report
    state_dict: dict[str, Tensor]
    exit_code: int  # of the command: 0; 3: a gate failed; 4: a verdict is not decided
    folder: Path | None  # holds model.safetensors and report.json; None without `out`


@dataclass(frozen=True)
class ReportResult:
    """The report on a checkpoint."""

    report: Report
    exit_code: int  # of the command: 0; 3: a gate failed; 4: a verdict is not decided
    folder: Path | None


@dataclass(frozen=True)
class NoiseResult:
    """Learned noise."""

    samples: Tensor  # (classes, samples per class, *input), in normalised space
    classes: list[int]  # their numbers
    curve: list[float]  # the loss over the steps
    path: Path | None


def unlearn(
    model: Model,
    manifest: ManifestSource,
    *,
    method: str = "unsir",
    settings: Settings | None = None,
    out: str | Path | None = None,
    noise: str | Path | None = None,
    references: Sequence[Model] = (),
    evaluate: bool = True,
    **options: Unpack[Options],
) -> ModelResult:
    """Make a model forget what the manifest selects, and measure it before and after.

    Nothing is printed unless `verbose=True`. Without `out`, no files remain on disk.

    Raises:
        UserError: bad input; the message names the location, the problem and the fix.
        CliError: any other error for which the command line has an exit code.
    """
    with Workspace(options) as workspace:
        folder = workspace.output(out)
        command = UnlearnOptions(
            workspace.checkpoint(model),
            workspace.manifest(manifest),
            method,
            folder,
            settings=_sources(settings),
            noise=_path(noise),
            references=tuple(workspace.checkpoint(reference) for reference in references),
            evaluate=evaluate,
        )
        return _model_result(unlearn_command.run(command, workspace.options), folder, out)


def train(
    manifest: ManifestSource,
    *,
    split: str = "train",
    start: Model | None = None,
    like: Model | None = None,
    settings: Settings | None = None,
    out: str | Path | None = None,
    **options: Unpack[Options],
) -> ModelResult:
    """Train the manifest's network: an original on `train`, or a retrained reference on `retain`.

    The recorded settings of `like` are the defaults; the epochs of an unlearned model include those of its method.

    Raises:
        UserError, CliError: as `unlearn`.
    """
    if split not in ("train", "retain"):
        raise UserError(f"split '{split}': expected 'train' or 'retain'")
    with Workspace(options) as workspace:
        folder = workspace.output(out)
        first = workspace.checkpoint(start) if start is not None else None
        model = workspace.checkpoint(like) if like is not None else None
        command = TrainOptions(workspace.manifest(manifest), folder, split, first, model, _sources(settings))
        return _model_result(train_command.run(command, workspace.options), folder, out)


def evaluate(
    model: Model,
    manifest: ManifestSource,
    *,
    original: Model | None = None,
    references: Sequence[Model] = (),
    metrics: Sequence[str] = (),
    require: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    **options: Unpack[Options],
) -> ReportResult:
    """Measure a model on every split and check the gates of the manifest and of `require`.

    `half` chooses the half of the test split; default: all, or verdict if the model's lineage shows that a method read
    the other half. A `nn.Module` has no lineage.

    Raises:
        UserError, CliError: as `unlearn`.
    """
    with Workspace(options) as workspace:
        command = EvaluateOptions(
            workspace.checkpoint(model),
            workspace.manifest(manifest),
            original=workspace.checkpoint(original) if original is not None else None,
            references=tuple(workspace.checkpoint(reference) for reference in references),
            metrics=tuple(metrics),
            settings=_sources(settings).assignments,
            require=tuple(require),
            out=_path(out),
        )
        return _report_result(evaluate_command.run(command, workspace.options), out)


def attack(
    model: Model,
    manifest: ManifestSource,
    *,
    tier: str | None = None,
    attacks: Sequence[str] = (),
    original: Model | None = None,
    references: Sequence[Model] = (),
    shadows: str | Path | None = None,
    attempts: int = 1,
    margin: float = AUC_MARGIN,
    settings: Settings | None = None,
    out: str | Path | None = None,
    **options: Unpack[Options],
) -> ReportResult:
    """Try to distinguish forgotten records from never-seen ones; with a tier, return a verdict.

    `half` chooses the half of the test split; default: the verdict half. `margin` is the largest distance of an AUC
    from 1/2 that counts as equal, from 0.01 to 0.25.

    Raises:
        UserError, CliError: as `unlearn`.
    """
    with Workspace(options) as workspace:
        command = AttackOptions(
            workspace.checkpoint(model),
            workspace.manifest(manifest),
            tier=tier,
            attacks=tuple(attacks),
            settings=_sources(settings),
            original=workspace.checkpoint(original) if original is not None else None,
            references=tuple(workspace.checkpoint(reference) for reference in references),
            shadows=_path(shadows),
            attempts=attempts,
            margin=margin,
            out=_path(out),
        )
        return _report_result(attack_command.run(command, workspace.options), out)


def noise(
    model: Model,
    manifest: ManifestSource,
    *,
    classes: Sequence[str] = (),
    settings: Settings | None = None,
    out: str | Path | None = None,
    **options: Unpack[Options],
) -> NoiseResult:
    """Learn noise that maximizes, or with `settings={"kind": "minimize"}` minimizes, the error of classes.

    Raises:
        UserError, CliError: as `unlearn`.
    """
    with Workspace(options) as workspace:
        path = _path(out) or workspace.folder / "noise.safetensors"
        command = NoiseOptions(
            workspace.checkpoint(model), workspace.manifest(manifest), path, tuple(classes), _sources(settings)
        )
        facts: dict[str, Any] = noise_command.run(command, workspace.options).document
        return NoiseResult(load_file(path)["samples"].clone(), facts["classes"], facts["curve"], _path(out))


def inspect(
    path: str | Path,
    *,
    label: str | Sequence[str] | None = None,
    libraries: Sequence[Literal["timm"]] = (),
    allow_code: bool = False,
) -> dict[str, Any]:
    """Describe a checkpoint, a manifest or data: what `unlearn-cli inspect --json` prints.

    No code of a checkpoint is executed; `allow_code`: that of a manifest may be. `label` is the column or array of
    labels of data, or a list with one column per label; by default, it is guessed. `libraries`: a
    checkpoint is also compared with their networks.

    Raises:
        UserError: it does not exist, is broken, or is not recognised.
    """
    labels = (label,) if isinstance(label, str) else tuple(label or ())
    return inspect_command.run(
        InspectOptions(Path(path), labels=labels, libraries=libraries, allow_code=allow_code)
    ).document


def read_report(path: str | Path) -> Report:
    """Read a `report.json`, given its path or its folder.

    Raises:
        UserError: it is not a report of this schema.
    """
    file = Path(path) / "report.json" if Path(path).is_dir() else Path(path)
    content = regular_files.read_regular(file, regular_files.MOST_REPORT)
    try:
        return Report.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{file}: is not a report of this version: {field}: {first['msg']}") from None


def _sources(settings: Settings | None) -> SettingSources:
    if settings is None:
        return SettingSources()
    if isinstance(settings, (str, Path)):
        return SettingSources(Path(settings))
    return SettingSources(None, tuple(f"{name}={json.dumps(value)}" for name, value in settings.items()))


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def _model_result(result: Result, folder: Path, out: str | Path | None) -> ModelResult:
    """Load the new weights and copy them, because a temporary folder is removed afterwards."""
    loaded = checkpoint.load(folder)
    weights = StateDict({name: tensor.clone() for name, tensor in loaded.tensors.items()}, loaded.metadata)
    return ModelResult(Report.model_validate(result.document), weights, result.exit_code, _path(out))


def _report_result(result: Result, out: str | Path | None) -> ReportResult:
    return ReportResult(Report.model_validate(result.document), result.exit_code, _path(out))
