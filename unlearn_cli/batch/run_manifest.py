"""The manifest of a run: that of the batch, with the records to forget, those forgotten before, and applicable gates.

Its paths are relative to the run's folder, so that neither the manifest nor its digest shows where the batch is.
"""

import json
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.schema.sources import Source
from unlearn_cli.schema.spelling import SPELLING
from unlearn_cli.schema.transform_steps import Step
from unlearn_cli.storage.path_variables import expand_path
from unlearn_cli.storage.remote import parse_url

# JSON is YAML except for these: YAML does not join \\uD83D\\uDE00 to one letter, and the others must be escaped.
UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def format_run_manifest(
    manifest: Manifest, folder: Path, *, selection: str, classes: Sequence[str], forgotten: bool
) -> tuple[str, list[str]]:
    """Return the text of a run's manifest, to be written into `folder`, and the gates that do not apply in this run.

    `selection` is the folder below it with forget.csv and forgotten.csv; `classes` are the classes that requests name,
    by which the test split can be divided; `forgotten`: whether records of the source were forgotten before.
    """
    gates, left_out = split_gates(manifest.gates, bool(classes), forgotten)
    assert manifest.data is not None
    sources = {part: _relocate(source, manifest.folder, folder) for part, source in manifest.data.sources.items()}
    steps = {"transform": [_relocate_step(step, manifest.folder, folder) for step in manifest.data.transform]}
    steps = steps if manifest.data.transform else {}
    relocated = manifest.model_copy(update={"data": manifest.data.model_copy(update={**sources, **steps})})
    mark = secrets.token_hex()
    content = relocated.model_dump(mode="json", exclude_unset=True, context={SPELLING: mark})
    named_classes = {"classes": list(classes)} if classes else {}
    content["forget"] = {"ids_file": {"path": f"{selection}/forget.csv"}, **named_classes}
    if forgotten:
        content["forgotten"] = {"ids_file": {"path": f"{selection}/forgotten.csv"}}
    content["gates"] = gates
    # A scalar without quotes stays so: 1e3 is a number to a column of numbers, and its text to a column of text.
    text = re.sub(f'"{mark}(.*?){mark}"', r"\1", json.dumps(content, indent=2, ensure_ascii=False))
    return UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n", left_out


def split_gates(gates: Iterable[str], classes: bool, forgotten: bool) -> tuple[list[str], list[str]]:
    """Return the gates that apply in a run, and those that do not.

    If no class is forgotten, the test split is not divided: all of it is retained, so `test_retain` is `test`.
    """
    applicable, left_out = [], []
    for gate in gates:
        split = gate.strip().partition(".")[0]
        if (split == "test_forget" and not classes) or (split == "forgotten" and not forgotten):
            left_out.append(gate)
        elif split == "test_retain" and not classes:
            applicable.append(gate.replace("test_retain", "test", 1))
        else:
            applicable.append(gate)
    return list(dict.fromkeys(applicable)), left_out


def _relocate(source: Source, old: Path, new: Path) -> Source:
    """Return a source whose relative paths start from another folder.

    Links are resolved first: `..` after a link leads to the parent of its target.
    """
    assert source.spec is not None
    paths = {key: _relocate_path(path, old, new) for key, path in source.spec if isinstance(path, Path)}
    return source.model_copy(update={source.format: source.spec.model_copy(update=paths)})


def _relocate_step(step: Step, old: Path, new: Path) -> Step:
    """Return a transform whose relative path starts from another folder."""
    if step.tokens is None or step.tokens.tokenizer is None:
        return step
    moved = {"tokenizer": _relocate_path(step.tokens.tokenizer, old, new)}
    return step.model_copy(update={"tokens": step.tokens.model_copy(update=moved)})


def _relocate_path(path: Path, old: Path, new: Path) -> Path:
    expanded = expand_path(path)
    if expanded.is_absolute() or parse_url(expanded):
        return path
    return Path(os.path.relpath((old / expanded).resolve(), new.resolve()))
