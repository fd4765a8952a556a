"""`unlearn-cli schema`: the JSON Schema of the manifest or of the report."""

import json
from typing import Any

from unlearn_cli import manifest, report
from unlearn_cli.commands import Result

SCHEMAS = {"manifest": manifest.json_schema, "report": report.json_schema}


def run(name: str) -> Result:
    """Return the schema as a JSON document."""
    schema: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", **SCHEMAS[name]()}
    return Result(json.dumps(schema, indent=2), schema)
