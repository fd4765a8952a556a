"""What pydantic finds wrong with a manifest, told with file, line, column, field and the nearest known key."""

from typing import Any

from pydantic import ValidationError

from unlearn_cli.errors import did_you_mean
from unlearn_cli.strict_yaml import Document, Location

Schema = dict[str, Any]


def messages(error: ValidationError, document: Document, schema: Schema) -> list[str]:
    """Return one line a mistake: where it is, which field, what is wrong; of several at one place, the first."""
    found: dict[Location, str] = {}
    for item in error.errors(include_url=False):
        location = _in_document(item["loc"], document)
        found.setdefault(location, _sentence(item["type"], item["msg"], location, schema))
    return [f"{document.where(location)}: {_dotted(location)}{text}" for location, text in sorted(
        found.items(), key=lambda pair: document.positions.get(pair[0], (0, 0)))]  # fmt: skip


def _in_document(location: Location, document: Document) -> Location:
    """Drop what pydantic puts into a location beside keys (the tags of unions); keep a missing key at the end."""
    kept: Location = ()
    for i, part in enumerate(location):
        if (*kept, part) in document.positions or (i == len(location) - 1 and isinstance(part, str) and part.islower()):
            kept = (*kept, part)
    return kept


def _sentence(kind: str, message: str, location: Location, schema: Schema) -> str:
    if kind == "extra_forbidden":
        return f"unknown key; {did_you_mean(str(location[-1]), _known_keys(location[:-1], schema))}"
    if kind == "missing":
        return "is missing"
    return message.removeprefix("Value error, ").replace("Input should be", "expected")


def _dotted(location: Location) -> str:
    return f"{'.'.join(str(part) for part in location)}: " if location else ""


def _known_keys(location: Location, schema: Schema) -> list[str]:
    """Return the keys that the schema knows at a location: walk the JSON Schema along it."""
    node = schema
    for part in location:
        candidates = [_resolve(item, schema) for item in [*node.get("anyOf", []), node]]
        inner = [item["properties"][part] for item in candidates if part in item.get("properties", {})]
        items = [item["items"] for item in candidates if isinstance(part, int) and "items" in item]
        node = _resolve((inner or items or [{}])[0], schema)
    branches = [_resolve(item, schema) for item in [*node.get("anyOf", []), node]]
    return sorted({key for branch in branches for key in branch.get("properties", {})})


def _resolve(node: Schema, schema: Schema) -> Schema:
    reference = node.get("$ref", "").rpartition("/")[2]
    return schema["$defs"][reference] if reference else node
