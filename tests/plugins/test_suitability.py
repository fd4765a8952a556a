"""Which method suits which manifest, and what is said when it does not."""

import re
from pathlib import Path

import pytest

from tests.tiny import MANIFEST, ROOT, invoke, write_manifest
from unlearn_cli.errors import UserError
from unlearn_cli.plugins import discovery, plugin, suitability

DATA = Path("data.yaml")
METHODS = discovery.summaries("methods")
GUIDE = (ROOT / "docs/guides/choose-a-method.md").read_text(encoding="utf-8")
CLASSIFICATION = {"data", "forget", "test"}


@pytest.mark.parametrize("name", METHODS)
def test_a_manifest_that_lacks_what_a_method_needs_is_refused_by_name(name: str) -> None:
    read = plugin.load("methods", name)
    task = read.tasks[0]
    lacking = suitability.list_lacking(read, {"forget"})
    if not lacking:
        suitability.check(read, {"forget"}, task, DATA)
        return
    with pytest.raises(UserError) as caught:
        suitability.check(read, {"forget"}, task, DATA)
    assert f"data.yaml: {name} needs {' and '.join(lacking)}, but the manifest has no data" in str(caught.value)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("task", ["classification", "regression", "multilabel"])
def test_a_method_of_the_other_task_is_refused_with_those_that_fit(name: str, task: str) -> None:
    read = plugin.load("methods", name)
    if task in read.tasks:
        suitability.check(read, CLASSIFICATION, task, DATA)
        return
    with pytest.raises(UserError) as caught:
        suitability.check(read, CLASSIFICATION, task, DATA)
    told, _, others = str(caught.value).partition("; these fit: ")
    assert (
        told == f"data.yaml: {name} is for {suitability.describe_tasks(read.tasks)}, but the manifest's task is {task}"
    )
    assert others.split(", ") == [other for other in sorted(METHODS) if task in plugin.load("methods", other).tasks]


def test_a_method_for_classes_refuses_part_of_one() -> None:
    expected = r"unsir forgets whole classes, .* these methods forget any records: [a-z_, ]*finetune"
    with pytest.raises(UserError, match=expected) as caught:
        suitability.check_selection(plugin.load("methods", "unsir"), None, CLASSIFICATION, DATA)
    offered = str(caught.value).rpartition(": ")[2].split(", ")
    assert not any(plugin.load("methods", name).whole_classes for name in offered)
    assert all("classification" in plugin.load("methods", name).tasks for name in offered)
    suitability.check_selection(plugin.load("methods", "unsir"), [3], CLASSIFICATION, DATA)
    suitability.check_selection(plugin.load("methods", "finetune"), None, CLASSIFICATION, DATA)


def test_the_command_refuses_before_anything_is_written(original: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, MANIFEST.replace("{classes: [3]}", "{fraction: {share: 0.1}}"))
    result = invoke("unlearn", original, "-m", manifest, "--method", "unsir", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "'forget' selects only part of one; these methods forget any records" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", METHODS)
def test_the_help_page_and_the_guide_say_what_a_method_needs_and_suits(name: str) -> None:
    method = plugin.load("methods", name)
    assert f"{name} {METHODS[name]} " in " ".join(invoke("unlearn", "--help").stdout.split())
    needs, suits = suitability.describe_needs(method), suitability.describe_suited(method)
    assert re.search(rf"^\| `{name}` \| {re.escape(needs)} \| {re.escape(suits)} \| ", GUIDE, flags=re.MULTILINE)


SOURCE = '''"""Fine-tune on retain."""

from typing import Literal


def needing(model, held_out):
    return model


def rewinding(model, retain, *, held_out=None, noise=None, rewind: Literal["last", "held_out"] = "last"):
    return model
'''


def read_method(folder: Path, name: str) -> plugin.Plugin:
    path = folder / "mine.py"
    path.write_text(SOURCE, encoding="utf-8")
    return plugin.read_source("methods", name, path, "mine")


@pytest.mark.parametrize("present", [{"test"}, {"validation"}, {"test", "validation"}])
def test_held_out_records_are_of_test_or_validation(present: set[str], tmp_path: Path) -> None:
    method = read_method(tmp_path, "needing")
    suitability.check(method, {"data", *present}, "classification", DATA)
    assert suitability.list_lacking(method, {"data"}) == ["held_out"]
    with pytest.raises(UserError) as caught:
        suitability.check(method, {"data", "forget"}, "classification", DATA)
    assert "needing needs held_out, but the manifest has no data.test or data.validation; add it" in str(caught.value)


def test_a_setting_that_names_an_optional_input_makes_it_needed(tmp_path: Path) -> None:
    method = read_method(tmp_path, "rewinding")
    assert method.optional == ("held_out", "noise")
    last, held_out = (plugin.complete_settings(method, None, [f"rewind={value}"]) for value in ("last", "held_out"))
    assert method.list_inputs(last) == ("model", "retain")
    assert method.list_inputs(held_out) == ("model", "retain", "held_out")
    suitability.check(method, {"data", "forget"}, "classification", DATA, last)
    with pytest.raises(UserError, match="rewinding needs held_out, but the manifest has no data"):
        suitability.check(method, {"data", "forget"}, "classification", DATA, held_out)
