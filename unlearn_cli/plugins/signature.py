"""Reads a plug-in's inputs and settings from its source text.

Importing a method would import torch, and a wrong setting must be reported before that. All mistakes in a signature are
reported in one message, with file and line.
"""

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, PydanticUserError, ValidationError, create_model
from pydantic_core import SchemaError

from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.plugins import types
from unlearn_cli.plugins.requirements import OPTIONAL_INPUTS
from unlearn_cli.schema.literals import Task
from unlearn_cli.storage import regular_files

MOST_SOURCE = 2**22  # bytes of a plug-in's file
UNREADABLE = (ValidationError, PydanticUserError, SchemaError, TypeError, AttributeError, NameError)
CONFIG = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, validate_default=True, protected_namespaces=())


@dataclass(frozen=True)
class Signature:
    """The inputs and settings of a function."""

    inputs: tuple[str, ...]
    optional: tuple[str, ...]
    settings: type[BaseModel]


@dataclass(frozen=True)
class Mistake:
    """A mistake in a signature, and its line in the file."""

    line: int
    text: str


def parse_file(path: Path) -> ast.Module:
    """Parse a Python file.

    Raises:
        UserError: the file does not exist or is not valid Python; the message has the line.
    """
    source = regular_files.read_regular(path, MOST_SOURCE)
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise UserError(f"{path}:{error.lineno or 1}: is not valid Python: {error.msg}") from None
    except ValueError as error:  # a null byte
        raise UserError(f"{path}: is not valid Python: {error}") from None


def read_signature(path: Path, tree: ast.Module, name: str, known_inputs: Sequence[str] | None) -> Signature:
    """Return the signature of the function `name` in a parsed file; `known_inputs` are allowed (None: any).

    Raises:
        UserError: the function does not exist, or its signature has mistakes; the message has their lines.
    """
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if name not in functions:
        hint = did_you_mean(name, functions) if functions else "the file defines no function"
        raise UserError(f"{path}: no function '{name}' at the top level; {hint}")
    parameters = functions[name].args
    settings = [
        (parameter, default)
        for parameter, default in zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True)
        if parameter.arg not in OPTIONAL_INPUTS
    ]
    mistakes = [
        *_check_form(parameters, known_inputs),
        *_check_task(tree),
        *_check_settings(settings),
    ]
    _refuse(path, name, mistakes)
    fields = {item.arg: _make_field(item, default) for item, default in settings}
    try:
        model = _make_model(name, fields)
        model()
    except UNREADABLE:
        _refuse(path, name, [mistake for item, _ in settings for mistake in _check_type(item, fields[item.arg])])
        raise  # no single setting is wrong
    optional = tuple(item.arg for item in parameters.kwonlyargs if item.arg in OPTIONAL_INPUTS)
    return Signature(tuple(item.arg for item in parameters.args), optional, model)


def _refuse(path: Path, name: str, mistakes: Iterable[Mistake]) -> None:
    ordered = sorted(mistakes, key=lambda mistake: mistake.line)
    if ordered:
        raise UserError("; ".join(f"{path}:{mistake.line}: {name}: {mistake.text}" for mistake in ordered))


def _check_form(parameters: ast.arguments, known_inputs: Sequence[str] | None) -> Iterator[Mistake]:
    """Yield mistakes in the parameters that are not keyword-only."""
    for parameter in parameters.posonlyargs:
        yield Mistake(parameter.lineno, f"'{parameter.arg}' is positional-only; remove the '/'")
    for star, parameter in (("*", parameters.vararg), ("**", parameters.kwarg)):
        if parameter:
            yield Mistake(parameter.lineno, f"'{star}{parameter.arg}' is not allowed; name every input and setting")
    without_default = len(parameters.args) - len(parameters.defaults)
    for parameter in parameters.args[:without_default]:
        if known_inputs is not None and parameter.arg not in known_inputs:
            hint = did_you_mean(parameter.arg, known_inputs)
            yield Mistake(parameter.lineno, f"unknown input '{parameter.arg}'; {hint}; a setting needs a default")
    for parameter in parameters.args[max(0, without_default) :]:
        yield Mistake(parameter.lineno, f"'{parameter.arg}' has a default but is not keyword-only; put '*' before it")


def _check_task(tree: ast.Module) -> Iterator[Mistake]:
    tasks = get_args(Task)
    for node in tree.body:
        if not isinstance(node, ast.Assign) or [ast.unparse(target) for target in node.targets] != ["TASK"]:
            continue
        stated = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        if not (stated and all(isinstance(item, ast.Constant) and item.value in tasks for item in stated)):
            expected = f"one of {', '.join(tasks)}, or a tuple of them"
            yield Mistake(node.lineno, f"TASK is {ast.unparse(node.value)}; expected {expected}")


def _check_settings(settings: Iterable[tuple[ast.arg, ast.expr | None]]) -> Iterator[Mistake]:
    for parameter, default in settings:
        name, line = parameter.arg, parameter.lineno
        if default is None:
            hint = "add one, or move it before '*' if it is an input"
            yield Mistake(line, f"the setting '{name}' has no default; {hint}")
        elif parameter.annotation is None:
            yield Mistake(line, f"the setting '{name}' has no type; annotate it, for example with PositiveFloat")
        else:
            try:
                ast.literal_eval(default)
            except (ValueError, TypeError):
                text = f"the default of '{name}' is computed: {ast.unparse(default)}; write a literal"
                yield Mistake(line, text)


def _check_type(parameter: ast.arg, field: tuple[str, Any]) -> Iterator[Mistake]:
    """Yield mistakes in the type of a setting, or in its default for this type."""
    annotation, default = field
    try:
        _make_model("setting", {parameter.arg: field})()
    except ValidationError as error:
        reason = error.errors()[0]["msg"].replace("Input should be", "expected")
        text = f"the default {default!r} of '{parameter.arg}' does not fit its type {annotation}: {reason}"
        yield Mistake(parameter.lineno, text)
    except UNREADABLE:
        names = ", ".join(types.__all__)
        yield Mistake(
            parameter.lineno,
            f"the type {annotation} of '{parameter.arg}' cannot be read; use Python's built-in types and the names in "
            f"unlearn_cli.plugins.types ({names}); other aliases are not resolved",
        )


def _make_field(parameter: ast.arg, default: ast.expr | None) -> tuple[str, Any]:
    assert parameter.annotation is not None and default is not None
    return ast.unparse(parameter.annotation), ast.literal_eval(default)


def _make_model(name: str, fields: dict[str, Any]) -> type[BaseModel]:
    """Return the model that validates settings; the names in annotations are resolved in `types`."""
    return create_model(f"{name}_settings", __config__=CONFIG, __module__=types.__name__, **fields)
