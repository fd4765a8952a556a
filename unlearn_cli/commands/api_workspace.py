"""What the Python API works in: a temporary folder for what is in memory, and the options of the run."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from pydantic import ValidationError
from torch import Tensor, nn

from unlearn_cli import console
from unlearn_cli.checkpoints import checkpoint
from unlearn_cli.errors import CliError, UserError, did_you_mean
from unlearn_cli.evaluation import budgets
from unlearn_cli.evaluation.reported_half import as_lineage
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.schema.literals import Half

Model = str | Path | nn.Module | Mapping[str, Tensor]
"""A checkpoint: its path, a network, or a state dict. The manifest names the architecture of the weights."""
ManifestSource = str | Path | Mapping[str, Any]
"""A manifest: its path, or its content; relative paths in a mapping are relative to the working directory."""


class StateDict(dict[str, Tensor]):
    """The weights of a new checkpoint, with the part of its lineage that later runs read.

    It decides which half of test is reported, and has the recipe of the training.
    """

    def __init__(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
        super().__init__(tensors)
        self.lineage = {**as_lineage(metadata), **budgets.inherit(metadata)}


class Options(TypedDict, total=False):
    """The keyword arguments that all functions accept: the fields of `RunOptions`, as on the command line."""

    half: Half | None
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
    cache: bool
    overwrite: bool
    pages: bool
    verbose: bool


class Workspace:
    """A temporary folder for models and manifests that are passed in memory, and the options of the run."""

    def __init__(self, options: Options) -> None:
        self.verbose = options.get("verbose", False)
        self.options = read_run_options({name: value for name, value in options.items() if name != "verbose"})
        self.temporary = tempfile.TemporaryDirectory(prefix="unlearn-cli-")
        self.folder = Path(self.temporary.name)
        self.models = 0

    def __enter__(self) -> "Workspace":
        self.console = print_if_asked(self.verbose)
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
        lineage = model.lineage if isinstance(model, StateDict) else {}
        self.models += 1
        folder = self.folder / f"model-{self.models}"
        folder.mkdir()
        return checkpoint.save(folder, {name: tensor.detach().cpu() for name, tensor in weights.items()}, lineage)

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


def read_run_options(options: Mapping[str, Any]) -> RunOptions:
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
def print_if_asked(verbose: bool) -> Iterator[None]:
    """Print notes and warnings only if `verbose`; the report has them, too."""
    before = console.settings.speaks
    console.settings.speaks = verbose
    try:
        yield
    finally:
        console.settings.speaks = before
