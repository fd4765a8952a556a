"""What the README says is true: its commands exist, its manifest is valid, its tables complete, its method works."""

import re
from pathlib import Path

import pytest

from tests.tiny import ROOT, invoke
from unlearn_cli.plugins import discovery, plugin
from unlearn_cli.schema import manifest, sources
from unlearn_cli.schema.forget import Forget
from unlearn_cli.schema.transform_steps import Step

README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str, containing: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    return next(text for text in found if containing in text)


def test_every_command_and_every_option_it_shows_exists() -> None:
    for line in block("", "unlearn-cli evaluate").splitlines():
        words = line.split()
        assert words[0] == "unlearn-cli"
        help_page = invoke(words[1], "--help").stdout
        assert all(word in help_page for word in words if word.startswith("--"))


def test_the_table_of_commands_is_that_of_the_help_page() -> None:
    listed = re.findall(
        r"^\| `(\w+)` \| ", README.split("| command | what it does |")[1].split("\n\n")[0], flags=re.MULTILINE
    )
    shown = re.findall(r"^  (\w+)  ", invoke("--help").stdout.split("Commands:")[1], flags=re.MULTILINE)
    assert sorted(listed) == sorted(shown)


def test_the_manifest_is_valid_also_with_its_commented_keys(tmp_path: Path) -> None:
    text = block("yaml", "version: 1")
    (tmp_path / "plain.yaml").write_text(text, encoding="utf-8")
    manifest.read(tmp_path / "plain.yaml")
    full = re.sub(r"^  # ", "  ", text, flags=re.MULTILINE)
    (tmp_path / "full.yaml").write_text(full, encoding="utf-8")
    described = manifest.read(tmp_path / "full.yaml")
    assert described.forget is not None
    assert described.forget.model_fields_set == set(Forget.model_fields)


def test_every_source_method_metric_attack_and_network_is_named() -> None:
    formats = set(sources.Source.model_fields) - {"rows"} | set(Step.model_fields)
    for name in [*formats, *(name for kind in discovery.KINDS for name in discovery.entries(kind))]:
        assert re.search(rf"\b{name}\b", README), name


def test_the_example_of_a_method_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = block("python", "def gentle")
    namespace: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), namespace)
    assert callable(namespace["gentle"])
    (tmp_path / "unlearn_cli" / "plugins").mkdir(parents=True)
    (tmp_path / "unlearn_cli" / "gentle.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(plugin, "__file__", str(tmp_path / "unlearn_cli" / "plugins" / "plugin.py"))
    found = plugin.inspect("methods", "gentle", "unlearn_cli.gentle")
    assert found.needs == ("model", "retain", "task_loss")
    assert plugin.settings(found).model_dump() == {"epochs": 1, "lr": 1e-3}


def test_no_word_promises_what_a_measurement_cannot() -> None:
    package = Path(plugin.__file__).parents[1]
    for path in [*package.rglob("*.py"), *package.rglob("*.j2"), ROOT / "README.md"]:
        assert not re.search(
            r"\b(guaranteed|certified|provably)\b", path.read_text(encoding="utf-8"), flags=re.IGNORECASE
        )
