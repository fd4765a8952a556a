"""The references of methods, metrics and attacks, from their docstrings and signatures."""

import ast
import inspect
from pathlib import Path

import unlearn_cli
from docs.generate.tables import escape
from unlearn_cli.plugins import discovery, plugin, suitability
from unlearn_cli.plugins.plugin import Plugin
from unlearn_cli.plugins.requirements import REQUIREMENTS
from unlearn_cli.plugins.setting_docs import Setting, describe_settings

PACKAGE = Path(unlearn_cli.__file__).parent
METHODS = """\
# Methods

Every method with its idea, source, inputs and settings. [Choose a method](../guides/choose-a-method.md) compares them;
[the results](../results/methods.md) show how each performs. `unlearn-cli show NAME` prints the same. Settings are given with `--set NAME=VALUE`
or in a YAML file with `--config FILE`. A method receives exactly the inputs that are listed, and the report lists them too.
"""
INPUTS = """\
# Inputs of plug-ins

A method, metric or attack names the inputs that it needs as parameters without a default, and receives exactly those. **needs** says what the manifest
(`data`, `data.test` or `data.validation`, `forget`) or an option (`--original`, `--reference`, `--shadows`) must provide, or the reports next to the checkpoints (`cost`).
"""
METRICS = """\
# Metrics

Every metric of `unlearn-cli evaluate`. [Evaluate a checkpoint](../guides/evaluate.md) explains which to use. Metrics marked as default are
computed unless `--metric` names others, as far as their inputs are available. Settings: `--set NAME=VALUE`.
"""
ATTACKS = """\
# Attacks

Every attack of `unlearn-cli attack`. [Attacks and verdict](../guides/attacks.md) explains tiers and verdicts. Settings:
`--set ATTACK.NAME=VALUE`.
"""


def write_inputs() -> str:
    rows = ["| input | methods | metrics | attacks | needs | meaning |", "|---|---|---|---|---|---|"]
    for name, requirement in REQUIREMENTS.items():
        kinds = ["yes" if kind in requirement.kinds.split() else "" for kind in ("methods", "metrics", "attacks")]
        sections = ", ".join(requirement.sections.split()).replace("/", " or ")
        rows.append("| " + " | ".join([f"`{name}`", *kinds, sections, escape(requirement.meaning)]) + " |")
    return INPUTS + "\n" + "\n".join(rows) + "\n"


def write_methods() -> str:
    loaded = [plugin.load("methods", name) for name in discovery.entries("methods")]
    rows = ["| method | needs | suits |", "|---|---|---|"]
    rows += [
        f"| [`{one.name}`](#{one.name}) | {suitability.describe_needs(one)} | {suitability.describe_suited(one)} |"
        for one in loaded
    ]
    return METHODS + "\n" + "\n".join(rows) + "\n" + "".join(map(_section, loaded))


def write_metrics() -> str:
    lines = [METRICS]
    for name, entry in discovery.entries("metrics").items():
        task, when = suitability.describe_tasks(entry.tasks), "default" if entry.is_default else "by name"
        lines.append(_section(plugin.load("metrics", name), f"{entry.summary}. For {task}; {when}."))
    return "\n".join(lines)


def write_attacks() -> str:
    lines = [ATTACKS, "| tier | attacks |", "|---|---|"]
    for tier in discovery.TIERS:
        lines.append(f"| `{tier}` | {', '.join(f'`{name}`' for name in discovery.list_attacks_of(tier))} |")
    return (
        "\n".join(lines)
        + "\n"
        + "".join(
            _section(plugin.load("attacks", name), f"{summary}.")
            for name, summary in discovery.summaries("attacks").items()
        )
    )


def _section(loaded: Plugin, summary: str = "") -> str:
    """Return the section of one plug-in: docstrings of its file and function, inputs, settings."""
    source = Path(*loaded.module.split(".")).with_suffix(".py")
    tree = ast.parse((PACKAGE.parent / source).read_text(encoding="utf-8"))
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == loaded.name)
    parts = [f"\n## {loaded.name}\n", f"{summary}\n" if summary else "", _prose(ast.get_docstring(tree) or "")]
    inputs = ", ".join(f"`{name}`" for name in (*loaded.needs, *(f"{name} (optional)" for name in loaded.optional)))
    parts.append(f"**Inputs**: {inputs}. **File**: `{source.as_posix()}`.\n")
    if settings := describe_settings(loaded):
        parts.append(_settings_table(settings))
    text = inspect.cleandoc(ast.get_docstring(function) or "")
    parts.append(_prose(text))
    return "\n".join(part for part in parts if part)


def _settings_table(settings: list[Setting]) -> str:
    rows = ["| setting | type | range | default | meaning |", "|---|---|---|---|---|"]
    for setting in settings:
        cells = [f"`{setting.name}`", setting.type, setting.range, f"`{setting.default}`", setting.help]
        rows.append("| " + " | ".join(escape(cell) for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _prose(text: str) -> str:
    """Return a docstring as Markdown: indented lines become code, the rest keeps its paragraphs."""
    lines: list[str] = []
    code = False
    for line in text.splitlines():
        indented = line.startswith("    ")
        if indented and not code:
            lines += ["", "```text"]
        elif code and not indented and line.strip():
            while lines and not lines[-1]:
                lines.pop()
            lines += ["```", ""]
        code = indented or (code and not line.strip())
        lines.append(line.removeprefix("    ") if code else escape_prose(line))
    if code:
        lines.append("```")
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def escape_prose(line: str) -> str:
    return line.replace("<", "&lt;") if "`" not in line else line
