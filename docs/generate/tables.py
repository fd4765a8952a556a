"""Markdown tables of fields and settings, from JSON Schema."""

import json
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


def fields_table(schema: Schema) -> str:
    """Return a table with a row per property: name, type and range, default, description."""
    required = schema.get("required", [])
    rows = ["| key | type | default | description |", "|---|---|---|---|"]
    for name, field in schema["properties"].items():
        default = "required" if name in required else _default(field)
        cells = [f"`{name}`", describe_type(field), default, field.get("description", "")]
        rows.append("| " + " | ".join(escape(cell) for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def escape(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|").replace("<", "&lt;")


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
