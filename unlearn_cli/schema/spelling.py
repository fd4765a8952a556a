"""Converts an unquoted scalar to its text or its value, depending on the field: `02` is a name for some, 2 for others.

A name is an int only if the int has the same text (3, not 03), so that `str` always returns the text as written.
"""

import math
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidatorFunctionWrapHandler,
    WrapSerializer,
    WrapValidator,
)

from unlearn_cli.schema.strict_yaml import PlainScalar, to_python

EMPTY = "is empty; quote it if '~', 'null' or the empty text is the name"
SPELLING = "spelling"  # the key of a serializer's context with the mark around text that must not be quoted


def _keep_name(value: Any) -> Any:
    """Return the text of a scalar as written, or the int with this text."""
    if value is None:
        raise ValueError(EMPTY)
    if not isinstance(value, PlainScalar):
        return value
    return value.value if type(value.value) is int and str(value.value) == value else str(value)


NAMED = BeforeValidator(_keep_name, json_schema_input_type=str | int | float | bool)
Name = Annotated[str | int, NAMED]


def _keep_text(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Keep the text of a scalar with its value if Python would write the value differently."""
    if value is None:
        raise ValueError(EMPTY)
    if not isinstance(value, PlainScalar):
        return handler(value)
    return handler(value.value) if text_of(value.value) == value else value


def _write(value: Any, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> Any:
    """Write the text; for a reader that distinguishes quoted from unquoted text, between the marks of the context."""
    if not isinstance(value, PlainScalar):
        return handler(value)
    if info.mode == "python":
        return value
    mark = (info.context or {}).get(SPELLING, "")
    return f"{mark}{value}{mark}"


COMPARED = WrapValidator(_keep_text)
Scalar = Annotated[str | int | float | bool, COMPARED, WrapSerializer(_write)]


def text_of(value: str | int | float | bool) -> str:
    """Return a scalar as written, for comparisons with text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def number_of(value: str | int | float | bool) -> int | float | bool | None:
    """Return the value of an unquoted scalar; None for text and for values that are not finite."""
    number = value.value if isinstance(value, PlainScalar) else value
    return number if isinstance(number, int | float) and math.isfinite(number) else None


def _list_types(annotation: Any) -> frozenset[Any]:
    """Return the types in an annotation, and its validators that keep the text."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        validators = {item for item in annotation.__metadata__ if item in (NAMED, COMPARED)}
        return frozenset(validators) | _list_types(arguments[0])
    if origin is Union or isinstance(origin, type):  # int | str, or list, dict and similar types
        return frozenset().union(*map(_list_types, arguments))
    return frozenset([annotation])


@cache
def _list_fields(model: type[BaseModel]) -> dict[str, frozenset[Any]]:
    return {
        name: _list_types(field.annotation) | {item for item in field.metadata if item in (NAMED, COMPARED)}
        for name, field in model.model_fields.items()
    }


def fit_scalars(model: type[BaseModel], values: dict[str, Any]) -> dict[str, Any]:
    """Convert each unquoted scalar as its field needs it; nested sections convert their own values."""
    leaves = _list_fields(model)
    return {name: _fit(value, leaves.get(name, frozenset())) for name, value in values.items()}


def _fit(value: Any, leaves: frozenset[Any]) -> Any:
    if isinstance(value, bool):  # from JSON, which has only one spelling of booleans
        value = PlainScalar(text_of(value), value)
    if isinstance(value, PlainScalar):
        return _as_taken(value, leaves)
    if isinstance(value, list):
        return [_fit(item, leaves) for item in value]
    if isinstance(value, dict) and not _has_section(leaves):
        return {key: _fit(item, leaves) for key, item in value.items()}
    return value


def _as_taken(value: PlainScalar, leaves: frozenset[Any]) -> Any:
    if leaves & {NAMED, COMPARED}:
        return value
    if leaves & {int, float, bool, Any}:
        return to_python(value)
    return str(value) if leaves & {str, Path} or _has_section(leaves) else to_python(value)  # a section's short form


def _has_section(leaves: frozenset[Any]) -> bool:
    return any(isinstance(leaf, type) and issubclass(leaf, BaseModel) for leaf in leaves)
