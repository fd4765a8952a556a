"""Formats pydantic's errors of a manifest with file, line, column, field and the nearest known key."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.schema import strict_yaml
from unlearn_cli.schema.strict_yaml import Document, Location

Schema = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)


def read_model(path: Path, model: type[Model], context: object = None) -> Model:
    """Read a YAML file as a model; its validators receive the context.

    Raises:
        UserError: with all mistakes.
    """
    document = strict_yaml.read(path)
    if not isinstance(document.value, dict):
        raise UserError(f"{path}: expected a mapping that begins with 'version: 1'")
    try:
        return model.model_validate(document.raw, context=context)
    except ValidationError as error:
        raise UserError("; ".join(format_errors(error, document, model.model_json_schema()))) from None


def format_errors(error: ValidationError, document: Document, schema: Schema) -> list[str]:
    """Return one line per mistake with position, field and reason; of several mistakes at one position, the first."""
    sentences: dict[Location, str] = {}
    for item in error.errors(include_url=False):
        location = _drop_form_names(item["loc"], document)
        if item["type"] == "missing":
            location = (*location, item["loc"][-1])
        sentences.setdefault(location, _format_message(item["type"], item["msg"], location, schema))
    # Pydantic reports errors for every form that a value may have. The form with the deepest location was intended.
    deepest = [key for key in sentences if not any(other[: len(key)] == key for other in sentences if other != key)]
    deepest.sort(key=lambda key: document.positions.get(key, (0, 0)))
    return [f"{document.where(key)}: {_format_location(key)}{sentences[key]}" for key in deepest]


def _drop_form_names(location: Location, document: Document) -> Location:
    """Drop the names of forms, which pydantic adds to a location for values with several forms."""
    keys: Location = ()
    for part in location:
        if (*keys, part) in document.positions:
            keys = (*keys, part)
    return keys


def _format_message(kind: str, message: str, location: Location, schema: Schema) -> str:
    if kind == "extra_forbidden":
        return f"unknown key; {did_you_mean(str(location[-1]), _list_keys(location[:-1], schema))}"
    if kind == "missing":
        return "is missing"
    if kind == "model_type":
        return f"expected a mapping with the keys {', '.join(_list_keys(location, schema))}"
    if kind == "dict_type":
        return "expected a mapping, such as {name: value}"
    return message.removeprefix("Value error, ").replace("Input should be", "expected")


def _format_location(location: Location) -> str:
    return f"{'.'.join(str(part) for part in location)}: " if location else ""


def _list_keys(location: Location, schema: Schema) -> list[str]:
    """Return the keys that the JSON Schema allows at a location."""
    node = schema
    for part in location:
        candidates = _list_forms(node, schema)
        inner = [item["properties"][part] for item in candidates if part in item.get("properties", {})]
        items = [item["items"] for item in candidates if isinstance(part, int) and "items" in item]
        node = (inner or items or [{}])[0]
    return sorted({key for form in _list_forms(node, schema) for key in form.get("properties", {})})


def _list_forms(node: Schema, schema: Schema) -> list[Schema]:
    """Return the forms that a value may have; references to definitions are resolved."""
    if reference := node.get("$ref", "").rpartition("/")[2]:
        return _list_forms(schema["$defs"][reference], schema)
    return [node, *(form for item in node.get("anyOf", []) for form in _list_forms(item, schema))]
