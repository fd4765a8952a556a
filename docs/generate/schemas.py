"""The references of the manifest, deletion.yaml, requests and the report, from their JSON Schemas."""

from typing import Any

from docs.generate.tables import describe_type, fields_table, find_mapping, find_references
from unlearn_cli.batch.requests import deletion_request
from unlearn_cli.batch.settings import deletion
from unlearn_cli.reporting import report
from unlearn_cli.schema import manifest

Schema = dict[str, Any]

MANIFEST = """\
# Manifest

The manifest is the YAML file that names the architecture, the data, and what must be forgotten. Unknown keys are refused. `unlearn-cli schema`
prints the JSON Schema, from which this page is generated; editors can validate a manifest against it. [Data and manifest](../guides/data.md)
explains the sections with examples. Paths are relative to the manifest's folder.
"""
DELETION = """\
# deletion.yaml and requests

`deletion.yaml` configures a [deletion batch](../guides/deletion-batches.md). This page is generated from `unlearn-cli schema deletion` and
`unlearn-cli schema request`. Paths are relative to the file's folder.
"""
REPORT = """\
# Report

Every command that measures writes `report.json`. Its schema is versioned (`schema_version`) and the same for all commands;
`unlearn-cli schema report` prints it. [Reading the report](../getting-started/report.md) explains how to read one. A report contains no NaN,
no absolute path and no record id. Everything that differs between two equal runs is in the section `run`.
"""


def write_manifest() -> str:
    return MANIFEST + _sections(manifest.json_schema(), "Top level")


def write_deletion() -> str:
    text = DELETION + _sections(deletion.json_schema(), "deletion.yaml")
    return text + _sections(deletion_request.json_schema(), "A deletion request")


def write_report() -> str:
    return REPORT + _sections(report.json_schema(), "Top level", complete=False)  # most would be those of Estimate


def _sections(schema: Schema, title: str, *, complete: bool = True) -> str:
    """Return a table of the schema's own fields, then one for each section that it refers to.

    `complete`: fields without a description have that of their section.
    """
    definitions: Schema = schema.get("$defs", {})
    describing = definitions if complete else {}
    text = _section(title, schema, describing)
    for name in _in_order_of_use(schema, definitions):
        text += _section(name, definitions[name], describing)
    return text


def _in_order_of_use(schema: Schema, definitions: Schema) -> list[str]:
    """Return the names of the definitions in the order in which they are first referred to."""
    names: list[str] = []
    waiting = list(find_references(schema.get("properties", {})))
    while waiting:
        name = waiting.pop(0)
        if name not in names:
            names.append(name)
            waiting += find_references(definitions[name])
    return names


def _section(title: str, schema: Schema, describing: Schema) -> str:
    """Return a heading and the table of a section; `describing` are the sections whose descriptions complete fields."""
    mapping = find_mapping(schema)
    lines = [f"\n## {title}\n"]
    if description := mapping.get("description"):
        lines.append(f"{_joined(description)}\n")
    if "anyOf" in schema and mapping is not schema:
        lines.append("The short form is the first field without its name.\n")
    if mapping.get("properties"):
        lines.append(fields_table(mapping, describing))
    elif "enum" in mapping:
        lines.append(f"{describe_type(mapping)}\n")
    return "\n".join(lines)


def _joined(text: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
