"""`unlearn-cli inspect`: describe what a path is. Each kind of input has a module of its own, imported on use."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Literal

from unlearn_cli.checkpoints import foreign_formats
from unlearn_cli.commands.inspect_options import InspectOptions
from unlearn_cli.commands.result import Result
from unlearn_cli.data.layouts.recognise import recognise_next_to_weights
from unlearn_cli.errors import UserError
from unlearn_cli.storage.remote import locate

Kind = Literal["checkpoint", "manifest", "data"]
MANIFESTS = (".yaml", ".yml")
MODULES: dict[Kind, str] = {  # with a function `run(options)`
    "checkpoint": "inspect_checkpoint",
    "manifest": "inspect_manifest",
    "data": "inspect_data",
}


def run(options: InspectOptions) -> Result:
    """Describe a checkpoint (without running code from it), a manifest, or data.

    Raises:
        UserError: it does not exist, is broken, or is not recognised.
    """
    path = locate(options.path)
    kind = recognise_kind(path)
    if kind == "checkpoint":  # before torch is imported
        foreign_formats.recognise(foreign_formats.find_checkpoint(path))
    describe: Callable[[InspectOptions], Result] = import_module(f"unlearn_cli.commands.{MODULES[kind]}").run
    result = describe(options)
    return add_data(result, options) if kind == "checkpoint" and path.is_dir() else result


def add_data(result: Result, options: InspectOptions) -> Result:
    """Add the description of the data in a folder with weights, if there are any.

    Raises:
        UserError: the data cannot be read.
    """
    layout = recognise_next_to_weights(options.path, options.labels)
    if layout is None:
        return result
    from unlearn_cli.commands import inspect_data

    data = inspect_data.describe(layout, show_all=options.all)
    return Result(f"{result.text}\n\nData next to the weights: {data.text}", {**result.document, "data": data.document})


def recognise_kind(path: Path) -> Kind:
    """Return whether a path is a manifest, a checkpoint (a file or a folder with one), or data.

    Raises:
        UserError: it does not exist.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; name a checkpoint, a manifest or data")
    if path.is_dir():
        return "checkpoint" if foreign_formats.has_checkpoint(path) else "data"
    if path.suffix in MANIFESTS:
        return "manifest"
    return "checkpoint" if foreign_formats.is_checkpoint_name(path.name) else "data"
