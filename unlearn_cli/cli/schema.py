"""`unlearn-cli schema`: print the JSON Schema of the manifest, deletion.yaml, a request or the report."""

import json
from typing import Any

from unlearn_cli.batch.requests import deletion_request
from unlearn_cli.batch.settings import deletion
from unlearn_cli.commands.result import Result
from unlearn_cli.reporting import report
from unlearn_cli.schema import manifest

SCHEMAS = {
    "manifest": manifest.json_schema,
    "report": report.json_schema,
    "deletion": deletion.json_schema,
    "request": deletion_request.json_schema,
}


def run(name: str) -> Result:
    """Return the schema as a JSON document."""
    schema: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", **SCHEMAS[name]()}
    return Result(json.dumps(schema, indent=2), schema)
