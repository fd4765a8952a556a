"""The manifest of one run: that of the batch, with what to forget, what was forgotten, and the gates that apply.

Its paths are relative to the run's folder, so that neither it nor its digest tells where the batch lies.
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
from unlearn_cli.storage.remote import parse_url

# JSON is YAML but for these: YAML does not join \\uD83D\\uDE00 to one letter, and takes none of the others as they are.
UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def run_manifest(
    manifest: Manifest, folder: Path, *, selection: str, classes: Sequence[str], forgotten: bool
) -> tuple[str, list[str]]:
    """Return the text of a run's manifest, to be written into `folder`, and the gates that have no meaning in this run.

    `selection`: the folder below it with forget.csv and forgotten.csv; `classes`: those that requests name, which the
    test split can be divided by; `forgotten`: whether any record of the source was forgotten before.
    """
    gates, left_out = applicable(manifest.gates, bool(classes), forgotten)
    assert manifest.data is not None
    parts = {
        part: _relocated(source, manifest.folder, folder)
        for part in ("train", "test")
        if (source := getattr(manifest.data, part))
    }
    moved = manifest.model_copy(update={"data": manifest.data.model_copy(update=parts)})
    mark = secrets.token_hex()
    said = moved.model_dump(mode="json", exclude_unset=True, context={SPELLING: mark})
    said["forget"] = {"ids_file": {"path": f"{selection}/forget.csv"}, **_listed(classes)}
    if forgotten:
        said["forgotten"] = {"ids_file": {"path": f"{selection}/forgotten.csv"}}
    said["gates"] = gates
    # What was not quoted must not be quoted now: 1e3 is a number to a column of numbers, and its text to one of text.
    text = re.sub(f'"{mark}(.*?){mark}"', r"\1", json.dumps(said, indent=2, ensure_ascii=False))
    return UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n", left_out


def _listed(classes: Sequence[str]) -> dict[str, list[str]]:
    return {"classes": list(classes)} if classes else {}


def applicable(gates: Iterable[str], classes: bool, forgotten: bool) -> tuple[list[str], list[str]]:
    """Return the gates that a run can be judged by, and those that it cannot.

    Where no class is to be forgotten, test is not divided: all of it is to be kept, so `test_retain` is `test`.
    """
    kept, left_out = [], []
    for gate in gates:
        split = gate.strip().partition(".")[0]
        if (split == "test_forget" and not classes) or (split == "forgotten" and not forgotten):
            left_out.append(gate)
        elif split == "test_retain" and not classes:
            kept.append(gate.replace("test_retain", "test", 1))
        else:
            kept.append(gate)
    return list(dict.fromkeys(kept)), left_out


def _relocated(source: Source, old: Path, new: Path) -> Source:
    """Return a source with its relative paths starting from another folder."""
    assert source.spec is not None
    places = {key: value for key, value in source.spec if isinstance(value, Path)}
    paths = {key: _from(old / path, new) for key, path in places.items() if not (path.is_absolute() or parse_url(path))}
    return source.model_copy(update={source.format: source.spec.model_copy(update=paths)})


def _from(path: Path, folder: Path) -> Path:
    """Return the way to a path; links are followed first, since `..` leads out of where a link leads to."""
    return Path(os.path.relpath(path.resolve(), folder.resolve()))
