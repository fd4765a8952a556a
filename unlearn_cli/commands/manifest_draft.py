"""The text of a drafted manifest: one section after the other, with comments on where a value comes from."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from unlearn_cli.data.layouts.layout import DataLayout

GUESSED = "guessed: check"
ANCHOR, ALIAS = "&columns", "*columns"  # the name of a table in YAML
LINE_ENDS = ("\n", "\r", "\x85", "\u2028", "\u2029")
WIDTH = 100  # a longer section is written with one key per line

FORGET = """\
# What to forget: remove the '#' from 'forget:' and from at least one entry. 'unlearn-cli unlearn ... --dry-run' shows
# the selected records.
# forget:
{examples}"""


@dataclass(frozen=True)
class Value:
    """A value of the manifest with the reason for it, which becomes a comment; `guessed`: nothing states the value."""

    value: Any
    reason: str = ""
    guessed: bool = False

    @property
    def comment(self) -> str:
        if not self.guessed:
            return self.reason
        return f"{GUESSED} ({self.reason})" if self.reason else GUESSED


@dataclass(frozen=True)
class ManifestDraft:
    """The sections of a manifest: `data` is the layout of the data, the others are values by their keys."""

    title: str
    layout: DataLayout
    model: Mapping[str, Value]
    input: Mapping[str, Value]
    classes: Value | None = None
    transform: Sequence[Mapping[str, Any]] = ()
    others: Mapping[str, Value] = field(default_factory=dict)  # keys of the top level, such as outputs

    def format(self, folder: Path) -> str:
        """Return the text; paths are relative to `folder`, where the manifest will be."""
        parts = [
            f"# {self.title}",
            f"# Values that are marked '{GUESSED}' are guesses.",
            *(f"# Data: {remark}." for remark in self.layout.remarks),
            "version: 1",
            *format_value("task", self._task),
            *self._format_section("model", self.model),
            *self._format_section("input", self.input),
            *[line for key, value in self.others.items() for line in format_value(key, value)],
            *(format_value("classes", self.classes) if self.classes else ()),
            *self._format_data(folder),
            FORGET.format(examples="\n".join(f"#   {example}" for example in self._list_examples())),
        ]
        return "\n".join(parts) + "\n"

    def list_guesses(self) -> list[str]:
        """Return the keys of the guessed values, such as `input.mean`."""
        sections = {"model.": self.model, "input.": self.input, "": {"classes": self.classes, **self.others}}
        values = [(f"{prefix}{key}", value) for prefix, part in sections.items() for key, value in part.items()]
        return [*self.layout.guesses, *(key for key, value in values if value and value.guessed)]

    @property
    def _task(self) -> Value:
        label, kind = self.layout.guesses.get("label"), self.layout.guesses.get("task")
        reasons = [f"the label was chosen by {label}"] if label else []
        return Value(self.layout.task, "; ".join([*reasons, *([kind] if kind else [])]), bool(label or kind))

    def _format_section(self, name: str, values: Mapping[str, Value]) -> Iterator[str]:
        yield f"{name}:"
        yield from (f"  {line}" for key, value in values.items() for line in format_value(key, value))

    def _format_data(self, folder: Path) -> Iterator[str]:
        yield "data:"
        sources = {split: make_relative(source, folder) for split, source in self.layout.sources.items()}
        reasons = {split: self.layout.guesses.get(f"data.{split}", "") for split in sources}
        yield from (f"  {line}" for line in format_sources(sources, reasons))
        if self.layout.group:
            reason = "from its name: the records of a person or recording belong together"
            yield from (f"  {line}" for line in format_value("group", Value(self.layout.group, reason, True)))
        if self.transform:
            yield from (f"  {line}" for line in format_value("transform", Value(list(self.transform))))

    def _list_examples(self) -> Iterator[str]:
        if self.layout.classes:
            yield f"classes: [{dump(self.layout.classes[0])}]"
        yield "ids_file: ids.csv  # a table with a column id"
        if self.layout.group:
            yield f"groups: {{column: {dump(self.layout.group)}, values: [...]}}"
        yield "fraction: {share: 0.01}  # random records"


def format_sources(sources: Mapping[str, Any], reasons: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of the sources; a long table that several splits read is written once, under a name."""
    table = sources["train"].get("table")
    others = [split for split, source in sources.items() if split != "train" and table and source.get("table") == table]
    is_named = bool(others) and len(dump(table)) > WIDTH
    for split, source in sources.items():
        shown = {**source, "table": ALIAS} if is_named and split in others else source
        for line in format_value(split, Value(shown, reasons[split], bool(reasons[split]))):
            named = f"{line} {ANCHOR}" if is_named and split == "train" and line.strip() == "table:" else line
            yield named.replace(f"'{ALIAS}'", ALIAS)


def format_value(key: str, value: Value) -> Iterator[str]:
    """Yield the lines of a key: its value in one line, or its keys one below the other if the line is too long."""
    comment = f"  # {value.comment}" if value.comment else ""
    line = f"{key}: {dump(value.value)}"
    if len(line) <= WIDTH or not isinstance(value.value, dict):
        yield line + comment
        return
    yield f"{key}:{comment}"
    for inner, part in value.value.items():
        yield from (f"  {line}" for line in format_value(inner, Value(part)))


class OneLineDumper(yaml.SafeDumper):
    """Writes texts with line breaks in double quotes, in which they are escaped; other styles write several lines."""

    def represent_str(self, data: str) -> yaml.ScalarNode:  # type: ignore[override]
        style = '"' if len(data.splitlines()) > 1 or data.endswith(LINE_ENDS) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


OneLineDumper.add_representer(str, OneLineDumper.represent_str)


def dump(value: Any) -> str:
    """Return a value as YAML in one line."""
    text = yaml.dump(
        value, Dumper=OneLineDumper, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("\n").removesuffix("\n...")


def make_relative(section: Any, folder: Path) -> Any:
    """Return a section of the manifest as plain values, with its paths relative to a folder."""
    if isinstance(section, Path):
        return Path(os.path.relpath(section, folder)).as_posix()
    if isinstance(section, Mapping):
        return {key: make_relative(value, folder) for key, value in section.items()}
    return [make_relative(item, folder) for item in section] if isinstance(section, list) else section
