"""`unlearn-cli list` and `unlearn-cli show`: the methods, metrics, attacks and networks, and a description of each."""

import textwrap
from dataclasses import asdict, dataclass
from typing import Any, get_args

from unlearn_cli import console
from unlearn_cli.commands.result import Result
from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.plugins import discovery, outside, plugin, suitability
from unlearn_cli.plugins.plugin import Plugin
from unlearn_cli.plugins.setting_docs import Setting, describe_settings
from unlearn_cli.plugins.signature import parse_file
from unlearn_cli.schema.literals import Task

KINDS = {"methods": "method", "metrics": "metric", "attacks": "attack", "models": "model"}

OTHER_MODELS = "\nAlso: torchvision/NAME, timm/NAME, transformers/FOLDER, package.module:function"


@dataclass(frozen=True)
class Recipe:
    """A function with settings that belongs to a command instead of a folder of plug-ins."""

    function: str
    module: str
    summary: str


RECIPES = {
    "train": Recipe("fit", "unlearn_cli.learning.training", "settings of 'unlearn-cli train'"),
    "noise": Recipe("learn_noise", "unlearn_cli.learning.noise", "settings of 'unlearn-cli noise'"),
}


def list_names(kind: str) -> Result:
    """List the names of a kind with their summaries; for methods, also with the data they need and what they suit."""
    documents = [_describe_entry(entry) for entry in discovery.entries(kind).values()]
    rows = [(document["name"], _format_line(document)) for document in documents]
    hint = f"'unlearn-cli show NAME' describes one {KINDS[kind]}.{OTHER_MODELS if kind == 'models' else ''}"
    text = "\n".join([*console.format_two_columns(rows), "", hint])
    return Result(text, {kind: documents})


def show(name: str, *, allow_code: bool = False) -> Result:
    """Describe a method, metric, attack or bundled network, or the settings of a command, by name.

    A plug-in outside of the package is `file.py:function` or `module:function`.

    Raises:
        UserError: the name is unknown; the message suggests the nearest one.
    """
    if outside.is_outside(name):
        return _show_outside(name, allow_code)
    entries = [entries[name] for entries in map(discovery.entries, KINDS) if name in entries]
    documents = [_describe_entry(entry) for entry in entries]
    settings = [describe_settings(plugin.load(entry.kind, name)) for entry in entries]
    if name in RECIPES:
        recipe = RECIPES[name]
        documents.append({"name": name, "kind": "command", "summary": recipe.summary, "description": ""})
        settings.append(describe_settings(plugin.inspect(name, recipe.function, recipe.module)))
    if not documents:
        names = [*(entry for kind in KINDS for entry in discovery.entries(kind)), *RECIPES]
        raise UserError(f"unknown name '{name}'; {did_you_mean(name, names)}; 'unlearn-cli list methods' lists them")
    texts = [_describe_in_text(*pair) for pair in zip(documents, settings, strict=True)]
    described = [
        {**document, "settings": [asdict(setting) for setting in own]}
        for document, own in zip(documents, settings, strict=True)
    ]
    return Result("\n\n".join(texts), {"name": name, "entries": described})


def _show_outside(name: str, allow_code: bool) -> Result:
    """Describe a function outside of the package as the first kind of plug-in that has all its inputs."""
    mistakes = []
    for kind in ("methods", "metrics", "attacks"):
        try:
            loaded = plugin.load(kind, name, allow_code=allow_code)
        except UserError as error:
            mistakes.append(error)
            continue
        assert loaded.code is not None
        entry = discovery.read_entry(kind, loaded.name, parse_file(loaded.code.path))
        assert entry is not None
        document, settings = _describe_entry(entry, loaded), describe_settings(loaded)
        described = {**document, "settings": [asdict(setting) for setting in settings]}
        return Result(_describe_in_text(document, settings), {"name": name, "entries": [described]})
    raise mistakes[0]


def _describe_entry(entry: discovery.Entry, loaded: Plugin | None = None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": entry.name,
        "kind": KINDS[entry.kind],
        "summary": entry.summary,
        "description": entry.docstring,
        "inputs": list(entry.inputs),
    }
    if entry.kind != "models":
        document["tasks"] = list(entry.tasks)
    if entry.kind == "methods":
        method = loaded or plugin.load("methods", entry.name)
        document["optional_inputs"] = list(method.optional)
        document |= {"needs": suitability.describe_needs(method), "suits": suitability.describe_suited(method)}
    if entry.kind == "attacks":
        document["tier"] = entry.constants.get("TIER")
    if entry.kind == "metrics":
        document["computed_by_default"] = entry.is_default
    return document


def _format_line(document: dict[str, Any]) -> str:
    """Return the summary and the requirements of an entry in one line."""
    if "needs" in document:
        return f"{document['summary']}. Needs {document['needs']}; for {document['suits']}."
    tasks = _describe_limited_tasks(document)
    facts = [tasks] if tasks else []
    facts += [f"tier {document['tier']}"] if document.get("tier") else []
    facts += ["only with --metric"] if document.get("computed_by_default") is False else []
    return f"{document['summary']} ({'; '.join(facts)})" if facts else document["summary"]


def _describe_limited_tasks(document: dict[str, Any]) -> str | None:
    """Return the tasks of an entry; None if it is for all tasks, or is not a plug-in."""
    tasks = document.get("tasks", get_args(Task))
    return suitability.describe_tasks(tasks) if len(tasks) < len(get_args(Task)) else None


def _describe_in_text(document: dict[str, Any], settings: list[Setting]) -> str:
    """Format an entry as text: summary, docstring, inputs and settings."""
    optional = [f"{name} (optional)" for name in document.get("optional_inputs", [])]
    facts = {"Inputs": ", ".join([*document.get("inputs", []), *optional]), "Needs": document.get("needs")}
    tasks = None if "suits" in document else _describe_limited_tasks(document)
    facts |= {"Suits": document.get("suits"), "Tasks": tasks, "Tier": document.get("tier")}
    lines = [f"{document['name']} ({document['kind']}): {document['summary']}"]
    if document["description"]:
        lines += ["", _wrap(document["description"])]
    if given := [(name, text) for name, text in facts.items() if text]:
        lines += ["", *console.format_two_columns(given)]
    if settings and document["kind"] == "model":
        lines += ["", "Arguments (model.arguments in the manifest):"]
    elif settings:
        lines += ["", "Settings (--set NAME=VALUE, or the file of --config):"]
    if settings:
        lines += console.format_two_columns([(setting.name, _describe_setting(setting)) for setting in settings])
    return "\n".join(lines)


def _wrap(docstring: str) -> str:
    """Wrap the paragraphs of a docstring to the terminal; indented formulas and lists stay unchanged."""
    paragraphs = docstring.split("\n\n")
    return "\n\n".join(
        part if "\n " in f"\n{part}" else textwrap.fill(part, console.columns(), break_on_hyphens=False)
        for part in paragraphs
    )


def _describe_setting(setting: Setting) -> str:
    kind = ", ".join(filter(None, [setting.type, setting.range]))
    return f"{setting.help}{'. ' if setting.help else ''}[{kind}; default: {setting.default}]"


def list_settings(kind: str, name: str) -> list[tuple[str, str]]:
    """Return the settings of a plug-in with their help, for completion; empty for an unknown plug-in."""
    entry: Plugin | None = None
    if name in RECIPES and kind == "command":
        entry = plugin.inspect(name, RECIPES[name].function, RECIPES[name].module)
    elif kind in KINDS and name in discovery.entries(kind):
        entry = plugin.load(kind, name)
    return [(setting.name, setting.help) for setting in describe_settings(entry)] if entry else []
