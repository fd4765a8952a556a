"""Describes a plug-in's settings: type, range, default and one line of help, for `show`, help pages and docs."""

import json
from dataclasses import dataclass
from typing import Any

from typing_extensions import Doc

from unlearn_cli.plugins.plugin import Plugin

TYPES = {"integer": "integer", "number": "number", "boolean": "true or false", "string": "text", "null": "null"}


@dataclass(frozen=True)
class Setting:
    """One setting of a plug-in."""

    name: str
    type: str  # integer, number, text, 'one of adam, sgd', list of text, integer or null
    range: str  # 'above 0', '0 to 1', or '' if every value of the type is allowed
    default: str  # in YAML
    help: str  # from Doc; '' if the signature has none
    choices: tuple[str, ...] = ()  # the values of a Literal


def describe_settings(plugin: Plugin) -> list[Setting]:
    """Describe the settings of a plug-in, in the order of its signature."""
    properties = plugin.settings.model_json_schema()["properties"] if plugin.settings.model_fields else {}
    return [
        Setting(
            name,
            _describe_type(properties[name]),
            _describe_range(properties[name]),
            json.dumps(field.default) if not isinstance(field.default, str) else field.default,
            next((item.documentation for item in field.metadata if isinstance(item, Doc)), ""),
            tuple(_list_choices(properties[name])),
        )
        for name, field in plugin.settings.model_fields.items()
    ]


def _describe_type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_describe_type(part) for part in schema["anyOf"]))
    if _list_choices(schema):
        return f"one of {', '.join(_list_choices(schema))}"
    if schema.get("type") == "array":
        return f"list of {_describe_type(schema['items'])}" if "items" in schema else "list"
    return TYPES.get(schema.get("type", ""), "any value")


def _list_choices(schema: dict[str, Any]) -> list[str]:
    if "anyOf" in schema:
        return [choice for part in schema["anyOf"] for choice in _list_choices(part)]
    return [str(value) for value in schema.get("enum", [schema["const"]] if "const" in schema else [])]


def _describe_range(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return next(filter(None, map(_describe_range, schema["anyOf"])), "")
    if schema.get("type") == "array":
        return _describe_range(schema.get("items", {}))
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if above is not None and schema["type"] == "integer":
        low, above = above + 1, None
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    bounds = {"at least": low, "above": above, "at most": high, "below": below}
    return ", ".join(f"{words} {bound:g}" for words, bound in bounds.items() if bound is not None)
