"""A plug-in is a function, and its signature is its interface.

Parameters without a default name the inputs that it receives, and no others. Keyword parameters with a default are its
settings; the annotation defines the allowed values.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ValidationError, create_model
from typing_extensions import Doc

from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.plugins import discovery, outside
from unlearn_cli.plugins.outside import OutsideCode
from unlearn_cli.plugins.renamed_settings import RENAMED
from unlearn_cli.plugins.requirements import COMPANIONS, list_inputs, list_sections
from unlearn_cli.plugins.signature import parse_file, read_signature
from unlearn_cli.schema.literals import Task
from unlearn_cli.schema.spelling import fit_scalars
from unlearn_cli.schema.strict_yaml import parse_setting, read_mapping

COMMANDS = {"fit": "train", "learn_noise": "noise"}  # functions whose settings belong to a command
COMMON_SETTINGS = {  # of the steps that follow a method: annotation and default
    "level_step": (
        Annotated[
            Literal["refit", "none"],
            Doc("whole classes: refit: learn their rows of the last layer anew, which sets the level of their outputs"),
        ],
        "refit",
    ),
}
LARGEST = 10**9  # limit for numbers in settings: more steps, samples or records than any run has


@dataclass(frozen=True)
class Plugin:
    """A function as described by its source: its inputs and settings."""

    kind: str
    name: str
    module: str
    needs: tuple[str, ...]
    optional: tuple[str, ...]
    settings: type[BaseModel]
    tasks: tuple[Task, ...] = discovery.USUAL_TASKS
    whole: bool = False  # its networks are not divided among processes
    part_of_classes: bool = False  # a method that cannot forget whole classes
    is_distance: bool = False  # a metric that is a distance from a reference, which has a noise floor
    code: OutsideCode | None = None  # of a plug-in outside of the package
    level_step: bool = False  # a method after which the level of lost outputs is set
    like_original: bool = False  # a method that trains with batches of the size that the original was trained with

    @property
    def label(self) -> str:
        """How messages name it: its name, for code outside of the package with its file or module."""
        return self.code.label if self.code else self.name

    @property
    def full_name(self) -> str:
        """The name by which `load` gives it, from any folder."""
        return self.code.full_name if self.code else self.name

    @property
    def is_of_model(self) -> bool:
        """Whether a metric describes the whole network instead of each split."""
        return "outputs" not in self.needs

    @property
    def whole_classes(self) -> bool:
        """Whether it forgets only whole classes, whose numbers it then has as an input."""
        return "forget_classes" in self.needs

    @property
    def sections(self) -> set[str]:
        """The requirements of its inputs: sections of the manifest, and checkpoints that options name.

        A method always has the original; for metrics and attacks, an option must name it.
        """
        sections = {section for name in self.needs for section in list_sections(name)}
        return sections | {"original"} if self.kind != "methods" and "original" in self.needs else sections

    def list_inputs(self, settings: BaseModel) -> tuple[str, ...]:
        """Return the inputs that it receives with these settings, without `noise`, which an option gives.

        An optional input is given if the value of a setting is its name, such as `rewind=held_out`, or that of its
        companion.
        """
        values = {value for _, value in settings if isinstance(value, str)}
        return (*self.needs, *(name for name in self.optional if {name, COMPANIONS.get(name)} & values))

    def find_alternative(self, settings: BaseModel, name: str) -> str:
        """Return the setting with which an optional input is not given, such as `rewind=last`; '' if there is none."""
        if name in self.needs:
            return ""
        named = [field for field, value in settings if value == name]
        choices = {field: get_args(self.settings.model_fields[field].annotation) for field in named}
        others = [f"{field}={choice}" for field in choices for choice in choices[field] if choice != name]
        return others[0] if others else ""

    def function(self) -> Callable[..., Any]:
        """Import the module (and torch with it) and return the function.

        Raises:
            UserError: code outside of the package cannot be imported.
        """
        return self.code.load() if self.code else getattr(importlib.import_module(self.module), self.name)

    def import_companion(self, name: str) -> Any:
        """Import the module and return an object of the file by another name, or None.

        Raises:
            UserError: as `function`.
        """
        return self.function().__globals__.get(name)

    def call(self, inputs: Mapping[str, Any], settings: BaseModel, returns: tuple[type, ...] = (object,)) -> Any:
        """Call the function with its inputs and settings.

        Raises:
            UserError: code outside of the package did not return one of the types `returns`.
        """
        needed = {name: inputs[name] for name in self.needs}
        optional = {name: inputs[name] for name in self.optional if name in inputs}
        own_settings = settings.model_dump(exclude=set(COMMON_SETTINGS))
        result = self.function()(**needed, **optional, **own_settings)
        if self.code and not isinstance(result, returns):
            expected = " or ".join(f"{item.__module__}.{item.__name__}" for item in returns)
            raise UserError(f"{self.label}: returned a {type(result).__name__}; expected {expected}")
        return result


def load(kind: str, name: str, *, allow_code: bool = False, folder: Path = Path()) -> Plugin:
    """Return a method, metric or attack by name: built in, or `file.py:function` or `module:function`.

    The path of a file is relative to `folder`. Code outside of the package is parsed here, and imported when called.

    Raises:
        UserError: the name is unknown, or it is code outside of the package that has a mistake or is not allowed.
    """
    if outside.is_outside(name):
        return _load_outside(kind, outside.locate(name, allow_code=allow_code, folder=folder))
    if name not in discovery.entries(kind):
        hint = did_you_mean(name, discovery.entries(kind))
        raise UserError(f"unknown {kind.rstrip('s')} '{name}'; {hint}; or your own file.py:function")
    return inspect(kind, name, f"unlearn_cli.{kind}.{name}")


def _load_outside(kind: str, code: OutsideCode) -> Plugin:
    if code.function in discovery.entries(kind):
        raise UserError(
            f"{code.label}: a built-in {kind.rstrip('s')} has the name '{code.function}'; rename the function"
        )
    return read_source(kind, code.function, code.path, code.module or "", code)


@cache
def inspect(kind: str, name: str, module: str) -> Plugin:
    """Read the signature of the function `name` of a module of this package, without importing it."""
    path = Path(__file__).parents[2].joinpath(*module.split(".")).with_suffix(".py")
    return read_source(kind, name, path, module)


def read_source(kind: str, name: str, path: Path, module: str, code: OutsideCode | None = None) -> Plugin:
    """Read the signature of the function `name` from the file of `module`.

    Raises:
        UserError: the file or the signature has mistakes; the message has their lines.
    """
    tree = parse_file(path)
    signature = read_signature(path, tree, name, list_inputs(kind))
    entry = discovery.read_entry(kind, name, tree)
    assert entry is not None
    level_step = code is None and entry.constants.get("LEVEL_STEP", False)
    return Plugin(
        kind,
        name,
        module,
        signature.inputs,
        signature.optional,
        add_common_settings(signature.settings) if level_step else signature.settings,
        entry.tasks,
        entry.constants.get("WHOLE", False),
        entry.constants.get("PART_OF_CLASSES", False),
        entry.is_distance,
        code,
        level_step,
        entry.constants.get("LIKE_ORIGINAL", False),
    )


def add_common_settings(settings: type[BaseModel]) -> type[BaseModel]:
    """Return a model that has, in addition to a method's settings, those of the steps that follow it."""
    fields: dict[str, Any] = {name: (annotation, default) for name, (annotation, default) in COMMON_SETTINGS.items()}
    return create_model(settings.__name__, __base__=settings, __module__=settings.__module__, **fields)


def complete_settings(
    plugin: Plugin, config: Path | None = None, assignments: Iterable[str] = (), defaults: Mapping[str, Any] = {}
) -> BaseModel:
    """Return the complete settings: the plug-in's defaults, then `defaults`, the file, and each `name=value`.

    Raises:
        UserError: unknown settings with the nearest name, or wrong values with the expected ones.
    """
    given = read_mapping(config) if config else {}
    values, sources = {**defaults, **given}, dict.fromkeys(given, str(config))
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--set {assignment}: expected name=value; {_list_settings(plugin)}")
        if not text.strip():  # as of an unset variable of the shell: not the same as null
            raise UserError(f"--set {assignment}: no value; write a value, or null for the default where null is one")
        values[name.strip()] = parse_setting(text)
        sources[name.strip()] = "--set"
    fields = plugin.settings.model_fields
    mistakes = [_describe_unknown(plugin, name, sources[name]) for name in sorted(values.keys() - fields.keys())]
    completed = None
    try:
        known_values = {name: value for name, value in values.items() if name in fields}
        completed = plugin.settings.model_validate(fit_scalars(plugin.settings, known_values))
    except ValidationError as error:
        mistakes += [_describe_mistake(plugin, dict(item), sources) for item in error.errors()]
    if completed is None or mistakes:
        raise UserError("; ".join(mistakes))
    for name, value in completed:
        if isinstance(value, (int, float)) and value > LARGEST:
            raise UserError(f"{sources[name]}: {plugin.name}: {name}={value}: expected at most {LARGEST}")
    return completed


def _describe_unknown(plugin: Plugin, name: str, source: str) -> str:
    fields = plugin.settings.model_fields
    new_name = RENAMED.get(plugin.name, {}).get(name)
    if new_name:
        return f"{source}: {plugin.name}: the setting '{name}' is now named '{new_name}'"
    hint = did_you_mean(name, fields) if fields else "it has none"
    shown = COMMANDS.get(plugin.label, plugin.label)
    return f"{source}: {shown} has no setting '{name}'; {hint}; 'unlearn-cli show {shown}' lists its settings"


def _describe_mistake(plugin: Plugin, item: dict[str, Any], sources: dict[str, str]) -> str:
    name, reason = str(item["loc"][0]), item["msg"].replace("Input should be", "expected")
    return f"{sources[name]}: {plugin.name}: {name}={item['input']}: {reason}"


def _list_settings(plugin: Plugin) -> str:
    fields = plugin.settings.model_fields
    return "settings: " + ", ".join(f"{name}={field.default}" for name, field in fields.items())
