"""The text of a manifest and of paths for reports: no ids, no values that identify persons, no absolute paths.

Withheld are, wherever they are in the manifest:

    forget.ids, forget.groups.values        replaced by their number
    paths of ids_file and groups_file       replaced; a file of ids may be named after a person
    values of conditions (where)            with ==, !=, in and not in, and all values of a column of ids or persons;
                                            bounds (<, <=, >, >=) remain, unless two of them are equal
    absolute paths, ~, .., URLs             only the last name remains
    comments                                not part of the manifest's content

Class names, column names, bounds and relative paths remain.
"""

import re
from collections.abc import Iterable
from typing import Any

import yaml

from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.schema.sources import Table

WITHHELD = "<withheld>"
BOUNDS = {"<", "<=", ">", ">="}
# At the start or after a separator: /, ~, \\host or C:\; anywhere: a parent folder.
OUTSIDE = re.compile(r"""(^|[\s=:,;'"(\[])(/|~|\\\\|[A-Za-z]:[\\/])|(^|[\\/])\.\.([\\/]|$)""")
URL = re.compile(r"[A-Za-z][\w+.-]+:/+")  # as a path, a URL has only one slash
Section = dict[str, Any]


def format_without_ids(manifest: Manifest) -> str:
    """Return the manifest as YAML, without what the module's docstring lists."""
    content = manifest.model_dump(mode="json", exclude_unset=True)
    for name in ("forget", "forgotten"):
        if content.get(name):
            content[name] = _withhold_selection(content[name])
    library, slash, name = content["model"]["architecture"].partition("/")
    content["model"]["architecture"] = f"{library}{slash}{shorten_path(name)}"
    content = _withhold_values(content, _list_person_columns(manifest))
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None)


def shorten_path(text: str) -> str:
    """Return a relative path as it is, and of any other path or URL only the last name, after an ellipsis."""
    url = URL.match(text)
    if not url and not OUTSIDE.search(text):
        return text
    path = re.split(r"[?#]", text[url.end() :])[0] if url else text  # the rest of a URL may be a password
    names = [name for name in re.split(r"[\\/]", path) if name]
    is_name = len(names) > 1 if url else bool(names) and names[-1] not in ("..", "~")
    return f"…/{names[-1]}" if is_name else "…"


def _withhold_selection(section: Section) -> Section:
    """Replace ids, values of groups and the names of files of ids."""
    withheld = dict(section)
    if "ids" in section:
        withheld["ids"] = f"<{len(section['ids'])} ids withheld>"
    for name in ("ids_file", "groups_file"):
        if section.get(name):
            withheld[name] = {**section[name], "path": WITHHELD}
    if section.get("groups"):
        withheld["groups"] = {**section["groups"], "values": f"<{len(section['groups']['values'])} values withheld>"}
    return withheld


def _withhold_values(value: Any, columns: set[str]) -> Any:
    """Replace the values of conditions and shorten paths, in all nested sections."""
    if isinstance(value, str):
        return shorten_path(value)
    if isinstance(value, dict):
        return {key: _withhold_values(item, columns) for key, item in value.items()}
    if not isinstance(value, list):
        return value
    conditions = [item for item in value if isinstance(item, dict) and item.keys() == {"column", "op", "value"}]
    if conditions and len(conditions) == len(value):
        return _withhold_conditions(conditions, columns)
    return [_withhold_values(item, columns) for item in value]


def _withhold_conditions(conditions: list[Section], columns: set[str]) -> list[Section]:
    """Replace the values that may name a record or a person; two equal bounds of a column name one value."""
    bounds = [(condition["column"], str(condition["value"])) for condition in conditions]
    return [
        condition
        if condition["op"] in BOUNDS and condition["column"] not in columns and bounds.count(bound) == 1
        else {**condition, "value": WITHHELD}
        for condition, bound in zip(conditions, bounds, strict=True)
    ]


def _list_person_columns(manifest: Manifest) -> set[str]:
    """Return the columns of ids, of persons and of series."""
    columns: list[str | None] = ["id"]
    if manifest.forget:
        columns.append(manifest.forget.groups.column if manifest.forget.groups else None)
        columns.append(manifest.forget.groups_file.column if manifest.forget.groups_file else None)
        columns.append(manifest.forget.ids_file.column if manifest.forget.ids_file else None)
    if manifest.data:
        sources = manifest.data.sources.values()
        columns += [source.spec.id for source in sources if isinstance(source.spec, Table)]
        columns += [step.window.series for step in manifest.data.transform if step.window]
        columns.append(manifest.data.group)
    return _without_none(columns)


def _without_none(names: Iterable[str | None]) -> set[str]:
    return {name for name in names if name is not None}
