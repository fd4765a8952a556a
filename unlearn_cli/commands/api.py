"""The Python API: the programs of the command line as plain functions.

`import unlearn_cli` makes these functions available and loads this module, and torch, on first use.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor, nn

from unlearn_cli import console
from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.commands import attack as attack_command
from unlearn_cli.commands import evaluate as evaluate_command
from unlearn_cli.commands import noise as noise_command
from unlearn_cli.commands import train as train_command
from unlearn_cli.commands import unlearn as unlearn_command
from unlearn_cli.commands.attack import AttackOptions
from unlearn_cli.commands.evaluate import EvaluateOptions
from unlearn_cli.commands.noise import NoiseOptions
from unlearn_cli.commands.result import Result
from unlearn_cli.commands.train import TrainOptions
from unlearn_cli.commands.unlearn import UnlearnOptions
from unlearn_cli.errors import CliError, UserError, did_you_mean
from unlearn_cli.plugins.run_options import RunOptions, SettingSources
from unlearn_cli.reporting.report import Report
from unlearn_cli.schema.literals import Half
from unlearn_cli.storage import regular_files

Model = str | Path | nn.Module | Mapping[str, Tensor]
"""A checkpoint: its path, a network, or a state dict. The manifest says which architecture the weights belong to."""
ManifestSource = str | Path | Mapping[str, Any]
"""A manifest: its path, or its content; relative paths in a mapping start from the working folder."""
Settings = str | Path | Mapping[str, Any]
"""Settings of a plug-in: the path of a YAML file, or a mapping."""


class Options(TypedDict, total=False):
    """The keyword arguments that all functions share: the fields of `RunOptions`, as on the command line."""

    half: Half
    force: bool
    forget_duplicates: bool
    device: str
    precision: str
    seed: int
    batch_size: int
    memory_budget: int
    allow_code: bool
    compiled: bool
    profile: bool
    overwrite: bool
    pages: bool
    verbose: bool


@dataclass(frozen=True)
class ModelResult:
    """A new checkpoint with its report."""

    report: Report
    state_dict: dict[str, Tensor]
    exit_code: int  # as of the command: 0, or 3 where a gate failed, 4 where a verdict is not decided
    folder: Path | None  # with model.safetensors and report.json; None: no `out` was given


@dataclass(frozen=True)
class ReportResult:
    """What was measured of a checkpoint."""

    report: Report
    exit_code: int  # as of the command: 0, or 3 where a gate failed, 4 where a verdict is not decided
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

    Nothing is printed unless `verbose=True`. Without `out` nothing is left on disk.

    Raises:
        UserError: bad input; the message says where, what is wrong, and what to do.
        CliError: any other end that the command line has an exit code for.
    """
    with _Workspace(options) as workspace:
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
    settings: Settings | None = None,
    out: str | Path | None = None,
    **options: Unpack[Options],
) -> ModelResult:
    """Train the manifest's network: on `train` an original, on `retain` a retrained reference.

    Raises:
        UserError, CliError: as `unlearn`.
    """
    if split not in ("train", "retain"):
        raise UserError(f"split '{split}': expected 'train' or 'retain'")
    with _Workspace(options) as workspace:
        folder = workspace.output(out)
        first = workspace.checkpoint(start) if start is not None else None
        command = TrainOptions(workspace.manifest(manifest), folder, split, first, _sources(settings))
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
    """Measure a model on every split and judge the gates of the manifest and of `require`.

    Raises:
        UserError, CliError: as `unlearn`.
    """
    with _Workspace(options) as workspace:
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
    settings: Settings | None = None,
    out: str | Path | None = None,
    **options: Unpack[Options],
) -> ReportResult:
    """Try to tell forgotten records from never-seen ones; with a tier, judge.

    The verdict half of the test split is used unless `half` says otherwise.

    Raises:
        UserError, CliError: as `unlearn`.
    """
    half: Options = {"half": "verdict"}
    with _Workspace({**half, **options}) as workspace:
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
    with _Workspace(options) as workspace:
        path = _path(out) or workspace.folder / "noise.safetensors"
        command = NoiseOptions(
            workspace.checkpoint(model), workspace.manifest(manifest), path, tuple(classes), _sources(settings)
        )
        facts: dict[str, Any] = noise_command.run(command, workspace.options).document
        return NoiseResult(load_file(path)["samples"].clone(), facts["classes"], facts["curve"], _path(out))


def read_report(path: str | Path) -> Report:
    """Read a `report.json`, or that of a folder.

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


class _Workspace:
    """A temporary folder for what is in memory, and the options of the run."""

    def __init__(self, options: Options) -> None:
        self.verbose = options.get("verbose", False)
        self.options = _run_options({name: value for name, value in options.items() if name != "verbose"})
        self.temporary = tempfile.TemporaryDirectory(prefix="unlearn-cli-")
        self.folder = Path(self.temporary.name)
        self.models = 0

    def __enter__(self) -> "_Workspace":
        self.console = _speaking(self.verbose)
        self.console.__enter__()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        self.console.__exit__(kind, error, traceback)
        self.temporary.cleanup()
        if isinstance(error, CliError) and error.args and str(self.folder) in str(error.args[0]):
            error.args = (str(error.args[0]).replace(f"{self.folder}/", ""), *error.args[1:])

    def checkpoint(self, model: Model) -> Path:
        """Return the path of a checkpoint; weights in memory are written to a file."""
        if isinstance(model, (str, Path)):
            return Path(model)
        weights = model.state_dict() if isinstance(model, nn.Module) else model
        self.models += 1
        folder = self.folder / f"model-{self.models}"
        folder.mkdir()
        return checkpoint.save(folder, {name: tensor.detach().cpu() for name, tensor in weights.items()}, {})

    def manifest(self, manifest: ManifestSource) -> Path:
        """Return the path of a manifest; a mapping is written to a file, as JSON, which is YAML."""
        if isinstance(manifest, (str, Path)):
            return Path(manifest)
        path = self.folder / "manifest.yaml"
        path.write_text(json.dumps(manifest, indent=1, default=str, ensure_ascii=False), encoding="utf-8")
        self.options = self.options.model_copy(update={"manifest_folder": Path()})
        return path

    def output(self, out: str | Path | None) -> Path:
        return self.folder / "out" if out is None else Path(out)


def _run_options(options: Mapping[str, Any]) -> RunOptions:
    unknown = sorted(options.keys() - RunOptions.model_fields.keys())
    if unknown:
        raise UserError(f"unknown argument '{unknown[0]}'; {did_you_mean(unknown[0], RunOptions.model_fields)}")
    try:
        return RunOptions(**options)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].replace("Input should be", "expected")
        raise UserError(f"{first['loc'][0]}={first['input']!r}: {message}") from None


@contextmanager
def _speaking(verbose: bool) -> Iterator[None]:
    """Print notes and warnings only if asked; they are in the report, too."""
    before = console.settings.speaks
    console.settings.speaks = verbose
    try:
        yield
    finally:
        console.settings.speaks = before


def _sources(settings: Settings | None) -> SettingSources:
    if settings is None:
        return SettingSources()
    if isinstance(settings, (str, Path)):
        return SettingSources(Path(settings))
    return SettingSources(None, tuple(f"{name}={json.dumps(value)}" for name, value in settings.items()))


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def _model_result(result: Result, folder: Path, out: str | Path | None) -> ModelResult:
    """Load the new weights; those of a temporary folder are copied before it is removed."""
    loaded = checkpoint.load(folder)
    weights = {name: tensor.clone() for name, tensor in loaded.tensors.items()}
    return ModelResult(Report.model_validate(result.document), weights, result.exit_code, _path(out))


def _report_result(result: Result, out: str | Path | None) -> ReportResult:
    return ReportResult(Report.model_validate(result.document), result.exit_code, _path(out))
