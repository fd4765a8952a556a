"""Checks of YAML blocks: each is a manifest, a deletion.yaml, a request, or a part of one of them."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from tests.docs.blocks import Block
from unlearn_cli.batch.requests import deletion_request
from unlearn_cli.batch.settings import deletion
from unlearn_cli.plugins.names import read_manifest
from unlearn_cli.schema.manifest import Manifest

BASE: dict[str, Any] = {
    "version": 1,
    "task": "classification",
    "model": {"architecture": "allcnn"},
    "input": {"shape": [1, 8, 8]},
    "data": {"train": {"imagefolder": "data/train"}, "test": {"imagefolder": "data/test"}},
}
DELETION: dict[str, Any] = {
    "version": 1,
    "manifest": "data.yaml",
    "initial": "model.safetensors",
    "methods": ["retrain"],
}


def check(block: Block, content: Any) -> None:
    """Validate a YAML block; a part of a file is first completed by what is missing.

    The kind follows from the directive `schema`, else from the keys.
    """
    kind = block.directives.get("schema") or guess(content)
    match kind:
        case "manifest":
            validate_manifest({**BASE, **content})
        case "deletion":
            with_file({**DELETION, **content}, deletion.read)
        case "request":
            deletion_request.Request.model_validate(content)
        case "settings" | "workflow":
            assert isinstance(content, dict)
        case _:
            raise AssertionError(f"{block.place}: keys of no known file; say which with <!-- schema: ... -->")


def guess(content: dict[str, Any]) -> str | None:
    if "request" in content:
        return "request"
    if content.keys() <= Manifest.model_fields.keys():
        return "manifest"
    if content.keys() <= deletion.DeletionSettings.model_fields.keys():
        return "deletion"
    return "workflow" if "jobs" in content else None


def validate_manifest(content: dict[str, Any]) -> None:
    with_file(content, read_manifest)


def with_file(content: dict[str, Any], read: Any) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "file.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        read(path)
