"""A plug-in is a function, and its signature is its whole interface.

Parameters without a default name the inputs that it needs: it gets those and nothing else. Keyword parameters with a
default are its settings; the annotation says what is allowed. The signature is read from the source text, because
importing a method would import torch, and a wrong setting must be told before that.
"""

import ast
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.plugins import discovery, types
from unlearn_cli.plugins.renamed_settings import RENAMED
from unlearn_cli.schema.spelling import fit_scalars
from unlearn_cli.schema.strict_yaml import parse_setting, read_mapping

LARGEST = 10**9  # of a number among the settings: more steps, samples or records than any run has

# Every input a plug-in may ask for, and what a manifest must bring for it. '' is always there.
INPUTS: dict[str, str] = {
    "model": "",
    "original": "",
    "fresh": "",
    "incompetent_teacher": "",
    "random": "",
    "num_classes": "",
    "input_shape": "",
    "task_loss": "",
    "train": "data",
    "forget": "data forget",
    "retain": "data forget",
    "forget_classes": "forget",
    "forget_inputs": "data forget",
    "retain_inputs": "data forget",
    "label_statistics": "data",
    # metrics: called once a split, and once a reference if they compare with one
    "outputs": "data",
    "reference_outputs": "data reference",
    "random_outputs": "data",
    # metrics of the whole network: their split is called 'model'
    "split_outputs": "data forget test",
    "reference_split_outputs": "data forget test reference",
    "weights": "",
    "original_weights": "original",
    "cost": "cost",
    "reference_cost": "reference cost",
    # attacks
    "forget_outputs": "data forget",
    "holdout_outputs": "data forget test",
    "retain_outputs": "data forget",
    "original_forget_outputs": "data forget original",
    "original_holdout_outputs": "data forget test original",
    "reference_forget_outputs": "data forget reference",
    "reference_holdout_outputs": "data forget test reference",
    "split_features": "data forget test",
    "holdout": "data forget test",
    "test": "data test",
    "reference": "reference",
    "references": "reference",
    "class_names": "",
    "seed": "",
    "shadow_runs": "data forget shadows",
    "all_shadow_runs": "data forget shadows",
    "retained_shadow_runs": "data forget shadows",
}
OPTIONAL_INPUTS = ("noise",)


@dataclass(frozen=True)
class Plugin:
    """A function seen from outside: the inputs it needs, the settings it has."""

    kind: str
    name: str
    module: str
    needs: tuple[str, ...]
    optional: tuple[str, ...]
    settings: type[BaseModel]
    task: str | None = None  # the one that it is for; None: for both
    whole: bool = False  # its networks are not divided among processes

    @property
    def is_of_model(self) -> bool:
        """Whether a metric describes the whole network rather than each split."""
        return "outputs" not in self.needs

    @property
    def whole_classes(self) -> bool:
        """Whether it forgets whole classes alone: there is no other use for their numbers."""
        return "forget_classes" in self.needs

    @property
    def sections(self) -> set[str]:
        """What must be there for its inputs: sections of the manifest, and checkpoints that an option names.

        A method has the original by itself; metrics and attacks must be given it.
        """
        found = {section for name in self.needs for section in INPUTS[name].split()}
        return found | {"original"} if self.kind != "methods" and "original" in self.needs else found

    def function(self) -> Callable[..., Any]:
        """Import the module (torch comes with it) and return the function."""
        return getattr(importlib.import_module(self.module), self.name)

    def call(self, inputs: Mapping[str, Any], settings: BaseModel) -> Any:
        """Call the function with the inputs that it asks for, and with its settings."""
        wanted = {name: inputs[name] for name in self.needs}
        offered = {name: inputs[name] for name in self.optional if name in inputs}
        return self.function()(**wanted, **offered, **settings.model_dump())


def load(kind: str, name: str) -> Plugin:
    """Find a plug-in by name among the methods or attacks.

    Raises:
        UserError: there is none of that name; the nearest is named.
    """
    if name not in discovery.entries(kind):
        raise UserError(f"unknown {kind.rstrip('s')} '{name}'; {did_you_mean(name, discovery.entries(kind))}")
    return inspect(kind, name, f"unlearn_cli.{kind}.{name}")


def inspect(kind: str, name: str, module: str) -> Plugin:
    """Read the signature of the function `name` from the source text of `module`, without importing it."""
    return read_source(kind, name, Path(__file__).parents[2].joinpath(*module.split(".")).with_suffix(".py"), module)


def read_source(kind: str, name: str, path: Path, module: str) -> Plugin:
    """Read the signature of the function `name` from a file, which is that of `module`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    arguments = function.args
    needs = tuple(argument.arg for argument in arguments.args[: len(arguments.args) - len(arguments.defaults)])
    fields: dict[str, Any] = {}
    optional: list[str] = []
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        assert default is not None and argument.annotation is not None, f"{module}: {argument.arg} is no setting"
        if argument.arg in OPTIONAL_INPUTS:
            optional.append(argument.arg)
        else:
            fields[argument.arg] = (ast.unparse(argument.annotation), ast.literal_eval(default))
    config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, validate_default=True, protected_namespaces=()
    )
    settings = create_model(f"{name}_settings", __config__=config, __module__=types.__name__, **fields)
    entry = discovery.read_entry(kind, name, tree)
    assert entry is not None
    return Plugin(kind, name, module, needs, tuple(optional), settings, entry.task, entry.constants.get("WHOLE", False))


def settings(plugin: Plugin, config: Path | None = None, assignments: Iterable[str] = ()) -> BaseModel:
    """Return the completed settings: defaults, then the file, then each `name=value`.

    Raises:
        UserError: an unknown setting or a value that is not allowed, each with the nearest name or what is expected.
    """
    values = read_mapping(config) if config else {}
    places = dict.fromkeys(values, str(config))
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--set {assignment}: expected name=value; {_settings_of(plugin)}")
        values[name.strip()] = parse_setting(text)
        places[name.strip()] = "--set"
    fields = plugin.settings.model_fields
    mistakes = [_unknown(plugin, name, places[name]) for name in sorted(values.keys() - fields.keys())]
    completed = None
    try:
        known = {name: value for name, value in values.items() if name in fields}
        completed = plugin.settings.model_validate(fit_scalars(plugin.settings, known))
    except ValidationError as error:
        mistakes += [_message(plugin, dict(item), places) for item in error.errors()]
    if completed is None or mistakes:
        raise UserError("; ".join(mistakes))
    for name, value in completed:
        if isinstance(value, (int, float)) and value > LARGEST:
            raise UserError(f"{places[name]}: {plugin.name}: {name}={value}: expected at most {LARGEST}")
    return completed


def _unknown(plugin: Plugin, name: str, place: str) -> str:
    known = plugin.settings.model_fields
    new_name = RENAMED.get(plugin.name, {}).get(name)
    if new_name:
        return f"{place}: {plugin.name}: the setting '{name}' is now named '{new_name}'"
    return f"{place}: {plugin.name} has no setting '{name}'; {did_you_mean(name, known) if known else 'it has none'}"


def _message(plugin: Plugin, item: dict[str, Any], places: dict[str, str]) -> str:
    name = str(item["loc"][0])
    told = item["msg"].replace("Input should be", "expected")
    return f"{places[name]}: {plugin.name}: {name}={item['input']}: {told}"


def _settings_of(plugin: Plugin) -> str:
    fields = plugin.settings.model_fields
    return "settings: " + ", ".join(f"{name}={field.default}" for name, field in fields.items())
