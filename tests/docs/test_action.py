"""The GitHub action and the Dockerfile: parsed, their shell steps run with a stub, their commands and options exist."""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tiny import ROOT, invoke

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"] if "run" in step}
STUB = '#!/bin/sh\nprintf "%s\\n" "$@" > "$RECORD"\nexit "${STUB_EXIT:-0}"\n'
INPUTS = {"checkpoint": "my model.safetensors", "manifest": "data.yaml"}


def run_step(folder: Path, name: str, inputs: dict[str, str], exit_code: int = 0) -> tuple[int, list[str]]:
    """Run the shell code of a step with a stub of the command; return its exit code and the command's arguments."""
    for command in ("unlearn-cli", "pip"):
        (folder / command).write_text(STUB, encoding="utf-8")
        (folder / command).chmod(0o755)
    values = {key: str(item.get("default", "")) for key, item in ACTION["inputs"].items()} | INPUTS | inputs
    environment = {key: expression(text, values) for key, text in STEPS[name].get("env", {}).items()}
    system = {"PATH": f"{folder}:{os.environ['PATH']}", "RECORD": str(folder / "record"), "STUB_EXIT": str(exit_code)}
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[name]["run"]]  # as GitHub runs them
    action = {"GITHUB_ACTION_PATH": "/action", "GITHUB_STEP_SUMMARY": "/summary.md"}
    done = subprocess.run(words, env={**environment, **system, **action}, cwd=folder, check=False)
    return done.returncode, (folder / "record").read_text(encoding="utf-8").splitlines()


def expression(text: str, values: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda match: values[match[1]], text)


def test_the_action_is_described_in_the_guide() -> None:
    guide = (ROOT / "docs" / "guides" / "ci.md").read_text(encoding="utf-8")
    assert ACTION["runs"]["using"] == "composite"
    for name, item in ACTION["inputs"].items():
        assert f"| `{name}` |" in guide
        assert item["description"]
        assert item.get("required") or "default" in item


def test_every_input_that_a_step_uses_exists() -> None:
    used = re.findall(r"inputs\.(\w+)", (ROOT / "action.yml").read_text(encoding="utf-8"))
    assert set(used) == set(ACTION["inputs"])


def test_inputs_reach_the_shell_only_as_variables() -> None:
    for step in STEPS.values():
        assert "${{" not in step["run"], "an input in shell code could execute code"


def test_the_steps_call_the_command_with_the_inputs(tmp_path: Path) -> None:
    code, words = run_step(tmp_path, "unlearn", {"method": "amnesiac", "arguments": "--allow-code --seed 3"})
    assert code == 0
    assert words[:2] == ["unlearn", "my model.safetensors"]
    assert words[2:] == [
        *("--manifest", "data.yaml", "--method", "amnesiac", "--out", "unlearned/unlearned"),
        *("--allow-code", "--seed", "3"),
    ]


def test_gates_are_passed_one_by_one_and_the_original_is_the_checkpoint(tmp_path: Path) -> None:
    gates = "test_forget.accuracy <= 0.02\n\ntest_retain.accuracy >= original - 0.03\n"
    _, words = run_step(tmp_path, "evaluate", {"gates": gates})
    assert words[1] == "unlearned/unlearned"
    assert [words[i + 1] for i, word in enumerate(words) if word == "--require"] == gates.split("\n")[0:3:2]
    assert words[words.index("--original") + 1] == "my model.safetensors"


def test_without_a_method_the_checkpoint_itself_is_judged(tmp_path: Path) -> None:
    _, words = run_step(tmp_path, "attack", {"method": "", "original": "before.safetensors"})
    assert words[1] == "my model.safetensors"
    assert words[words.index("--original") + 1] == "before.safetensors"
    assert "--original" not in run_step(tmp_path, "attack", {"method": ""})[1]


@pytest.mark.parametrize("name", ["unlearn", "evaluate", "attack"])
def test_a_step_fails_with_the_exit_code_of_its_command(name: str, tmp_path: Path) -> None:
    assert run_step(tmp_path, name, {}, exit_code=3)[0] == 3


@pytest.mark.parametrize("name", ["unlearn", "evaluate", "attack"])
def test_the_options_of_a_step_exist(name: str, tmp_path: Path) -> None:
    inputs = {"gates": "a", "original": "b"}
    _, words = run_step(tmp_path, name, inputs)
    page = invoke(words[0], "--help").stdout
    assert all(word in page for word in words if word.startswith("--"))
    assert ("--summary" in words) == (name != "unlearn")


def test_the_image_runs_the_installed_command() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith(("#", " "))]
    names = [line.split()[0] for line in lines]
    assert names == ["FROM", "COPY", "RUN", "USER", "WORKDIR", "STOPSIGNAL", "ENTRYPOINT", "CMD"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert lines[names.index("ENTRYPOINT")] == f'ENTRYPOINT ["{min(project["scripts"])}"]'
    extras = re.findall(r"\[([\w,]+)\]'", text)[0].split(",")
    assert set(extras) <= project["optional-dependencies"].keys()
    assert invoke("--help").exit_code == 0


def test_the_build_of_the_image_gets_no_data_of_the_repository() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {".git", "unlearn-demo"} <= set(ignored)
    needed = ("README.md", "LICENSE", "pyproject.toml", "unlearn_cli")
    assert not set(ignored) & set(needed)
