"""`list` and `show`: all that exists is listed, with its settings, in words and as data."""

import json
import re
from pathlib import Path

import pytest

from tests.tiny import invoke
from unlearn_cli.commands.catalogue import KINDS, list_settings
from unlearn_cli.plugins import discovery, plugin, suitability

NAMES = [(kind, name) for kind in KINDS for name in discovery.entries(kind)]


@pytest.mark.parametrize("kind", KINDS)
def test_list_names_everything_of_a_kind(kind: str) -> None:
    document = json.loads(invoke("list", kind, "--json").stdout)
    assert [entry["name"] for entry in document[kind]] == list(discovery.entries(kind))
    lines = invoke("list", kind).stdout.splitlines()
    shown = [line.split()[0] for line in lines if line.startswith("  ") and not line.startswith("   ")]
    assert shown == list(discovery.entries(kind))
    assert max(map(len, lines)) <= 80


def test_list_says_what_a_method_needs_and_what_it_forgets() -> None:
    for entry in json.loads(invoke("list", "methods", "--json").stdout)["methods"]:
        method = plugin.load("methods", entry["name"])
        assert entry["needs"] == suitability.describe_needs(method)
        assert entry["suits"] == suitability.describe_suited(method)


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_show_has_the_docstring_and_every_setting_with_type_and_default(kind: str, name: str) -> None:
    entries = json.loads(invoke("show", name, "--json").stdout)["entries"]
    [entry] = [entry for entry in entries if entry["kind"] == KINDS[kind]]
    assert entry["description"] == discovery.entries(kind)[name].docstring
    fields = plugin.load(kind, name).settings.model_fields
    assert [setting["name"] for setting in entry["settings"]] == list(fields)
    assert all(setting["type"] and setting["default"] for setting in entry["settings"])
    text = invoke("show", name).stdout
    assert f"{name} ({KINDS[kind]}): {entry['summary']}" in text
    assert all(f"  {field} " in text for field in fields)


@pytest.mark.parametrize(
    ("kind", "name", "tasks"), [("metrics", "macro_f1", "multilabel"), ("attacks", "svc_l1", "regression")]
)
def test_list_and_show_state_the_tasks_unless_a_plug_in_is_for_all(kind: str, name: str, tasks: str) -> None:
    summary = discovery.entries(kind)[name].summary
    assert f"{name} {summary} ({tasks})" in " ".join(invoke("list", kind).stdout.split())
    assert re.search(rf"Tasks +{tasks}", invoke("show", name).stdout)
    assert "Tasks" not in invoke("show", "loss" if kind == "metrics" else "population").stdout


@pytest.mark.parametrize(("command", "setting"), [("train", "epochs"), ("noise", "kind")])
def test_show_describes_the_settings_of_commands(command: str, setting: str) -> None:
    assert f"\n  {setting} " in invoke("show", command).stdout


def test_show_of_an_unknown_name_names_the_nearest() -> None:
    result = invoke("show", "unsirr")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "unknown name 'unsirr'; did you mean 'unsir'?" in result.stderr


def complete(words: str) -> list[str]:
    """Return what the shell is offered for the last word of a command line."""
    count = len(words.split(" ")) - 1
    environment = {"_ROOT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(count)}
    return invoke_with(environment)


def invoke_with(environment: dict[str, str]) -> list[str]:
    from typer.testing import CliRunner

    from unlearn_cli.cli.app import app

    return CliRunner().invoke(app, [], env=environment).stdout.split()


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("root unlearn --method finetune --set ", list_settings("methods", "finetune")),
        ("root attack --attack learned_loss --set ", list_settings("attacks", "learned_loss")),
        ("root evaluate --metric zrf --set ", list_settings("metrics", "zrf")),
        ("root train --set ", list_settings("command", "train")),
        ("root noise --set ", list_settings("command", "noise")),
    ],
)
def test_the_names_of_settings_are_completed(words: str, names: list[tuple[str, str]]) -> None:
    assert names
    assert complete(words) == [f"{name}=" for name, _ in names]


def test_methods_and_names_are_completed() -> None:
    assert complete("root unlearn --method uns") == ["unsir"]
    assert "allcnn" in complete("root show ")
    assert complete("root list m") == ["methods", "metrics", "models"]


METHOD = '''"""Trains on retain. Source: nobody."""

SUMMARY = "mine"


def mine(model, retain, *, steps: Annotated[PositiveInt, Doc("how many steps")] = 3):
    return model
'''


def test_show_describes_a_function_outside_of_the_package(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(METHOD)
    name = f"{tmp_path / 'mine.py'}:mine"
    text = invoke("show", name, "--allow-code").stdout
    assert "mine (method): mine" in text
    assert "steps  how many steps. [integer, at least 1; default: 3]" in text
    refused = invoke("show", name)
    assert (refused.exit_code, "--allow-code" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("unlearn", "x", "-o", "y", "--method", "finetune"), "finetune"),
        (("train", "-o", "y"), "train"),
        (("noise", "x", "-o", "y.safetensors"), "noise"),
        (("shadow", "--shadows", "y", "--method", "finetune"), "finetune"),
        (("attack", "x", "--attack", "learned_loss"), "learned_loss"),
    ],
)
def test_an_unknown_setting_points_to_show(command: tuple[str, ...], name: str) -> None:
    result = invoke(*command, "-m", "z", "--set", "nonsense=1")
    assert result.exit_code == 2
    assert f"{name} has no setting 'nonsense'" in result.stderr
    assert f"'unlearn-cli show {name}' lists its settings" in result.stderr


def test_the_list_of_networks_names_the_libraries() -> None:
    assert "torchvision/NAME, timm/NAME, transformers/FOLDER" in invoke("list", "models").stdout
    assert "timm/NAME" not in invoke("list", "methods").stdout
