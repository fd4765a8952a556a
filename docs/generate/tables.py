"""Markdown tables of fields and settings, from JSON Schema."""

import json
import re
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
TYPES = {
    "integer": "integer",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
    "object": "mapping",
}


def fields_table(schema: Schema, definitions: Schema) -> str:
    """Return a table with a row per property: name, type and range, default, description.

    A property without a description has that of the section that it refers to, if it is in `definitions`.
    """
    required = schema.get("required", [])
    rows = ["| key | type | default | description |", "|---|---|---|---|"]
    for name, field in schema["properties"].items():
        default = "required" if name in required else _default(field)
        cells = [
            f"`{name}`",
            describe_type(field),
            default,
            field.get("description") or describe_section(field, definitions),
        ]
        rows.append("| " + " | ".join(escape(cell) for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def escape(cell: str) -> str:
    """Escape what tables and HTML would take as their own; in code, `<` stays as it is."""
    parts = " ".join(cell.split()).replace("|", "\\|").split("`")
    return "`".join(part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts))


def describe_section(field: Schema, definitions: Schema) -> str:
    """Return the first sentence about the only section that a field refers to; '' if there is none."""
    names = set(find_references(field))
    text = find_mapping(definitions.get(names.pop(), {})).get("description", "") if len(names) == 1 else ""
    sentence = re.split(r"(?<=\w)\. (?=[A-Z])", " ".join(text.partition("\n\n")[0].split()))[0].removesuffix(".")
    return sentence[:1].lower() + sentence[1:] if sentence[1:2].islower() or sentence[1:2] == " " else sentence


def find_references(value: Any) -> Iterator[str]:
    """Yield the names of the definitions to which a schema refers, in order."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].rpartition("/")[2]
        value = list(value.values())
    for part in value if isinstance(value, list) else ():
        yield from find_references(part)


def find_mapping(schema: Schema) -> Schema:
    """Return the schema of a section without its short form."""
    return next((part for part in schema.get("anyOf", []) if "properties" in part), schema)


def describe_type(schema: Schema) -> str:
    """Return the type of a value in words, with its range."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "allOf" in schema:
        return ", ".join(describe_type(part) for part in schema["allOf"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(describe_type(part) for part in schema["anyOf"]))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {describe_type(schema['items'])}" if schema.get("items") else "list"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"mapping of names to {describe_type(schema['additionalProperties'])}"
    bounds = [f"{sign} {schema[key]}" for key, sign in BOUNDS.items() if key in schema]
    name = {"path": "path", "date-time": "time"}.get(
        schema.get("format", ""), TYPES.get(schema.get("type", ""), "any value")
    )
    return " ".join([name, ", ".join(bounds)]).strip()


def _default(field: Schema) -> str:
    return f"`{json.dumps(field['default'], ensure_ascii=False)}`" if "default" in field else ""
