"""Methods, metrics and attacks of the user's own, from a file to the report."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from tests.tiny import MANIFEST, invoke, write_manifest

METHOD = '''"""Fine-tune on retain with a smaller and smaller step. Source: ... Needs retain. Warning: ..."""

from typing import Annotated

import torch
from pydantic import PositiveFloat, PositiveInt
from typing_extensions import Doc

from unlearn_cli.runtime.progress import track


def gentle(
    model,
    retain,
    task_loss,
    *,
    epochs: PositiveInt = 1,
    lr: Annotated[PositiveFloat, Doc("learning rate of Adam")] = 1e-3,
):
    optimizer = torch.optim.Adam(model.parameters(), lr)
    model.train()
    for x, y in track(retain.epochs(epochs), "gentle", model, optimizer):
        loss = task_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model
'''

METRIC = '''"""The mean of the largest logit."""

from pydantic import PositiveFloat

from unlearn_cli.stats.intervals import mean

TASK = "classification"


def largest(outputs, *, factor: PositiveFloat = 1.0):
    return mean(factor * outputs.values.max(axis=1))


def wrong(outputs):
    return 3
'''

ATTACK = '''"""The largest logit of forgotten and of never-seen records."""

from unlearn_cli.stats.findings import Scores


def peak(forget_outputs, holdout_outputs):
    return Scores(forget_outputs.values.max(axis=1), holdout_outputs.values.max(axis=1))
'''


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the files above and a manifest; it is the working folder."""
    for name, text in (("methods.py", METHOD), ("metrics.py", METRIC), ("attacks.py", ATTACK)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    write_manifest(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def described(file: Path, name: str) -> list[dict[str, str]]:
    return [{"name": name, "source": f"{file.name}:{name}", "sha256": sha256(file.read_bytes()).hexdigest()}]


def test_a_method_of_the_users_own_unlearns(original: Path, code: Path) -> None:
    flags = (
        "-m",
        "manifest.yaml",
        "--method",
        "methods.py:gentle",
        "--set",
        "lr=1e-4",
        "--out",
        "out",
        "--no-evaluate",
    )
    result = invoke("unlearn", original, *flags, "--allow-code")
    assert result.exit_code == 0, result.stderr
    report = json.loads((code / "out" / "report.json").read_text())
    assert (report["method"], report["inputs"]) == ("gentle", ["model", "retain", "task_loss"])
    assert report["settings"] == {"epochs": 1, "lr": 1e-4}
    assert report["code"] == described(code / "methods.py", "gentle")
    assert str(code) not in json.dumps(report)
    assert any("methods.py:gentle (sha256 " in caveat for caveat in report["caveats"])


def test_a_metric_of_the_users_own_is_measured_and_judged(original: Path, code: Path) -> None:
    flags = ("-m", "manifest.yaml", "--metric", "metrics.py:largest", "--set", "factor=2", "--json")
    gates = ("--require", "forget.largest >= 0", "--require", "forget.accuracy >= 0")
    result = invoke("evaluate", original, *flags, *gates, "--allow-code")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["metrics"]["subject"]["forget"].keys() == {"largest", "accuracy"}
    assert report["metrics"]["subject"]["forget"]["largest"]["value"] > 0
    assert report["code"] == described(code / "metrics.py", "largest")
    assert [gate["verdict"] for gate in report["gates"]] == ["passed", "passed"]


def test_a_gate_of_the_manifest_may_name_a_metric_of_the_users_own_that_is_measured(original: Path, code: Path) -> None:
    manifest = write_manifest(code, MANIFEST + "gates: [forget.largest <= 0]\n")
    flags = ("-m", manifest, "--metric", "metrics.py:largest", "--allow-code")
    result = invoke("evaluate", original, *flags, "--json")
    assert result.exit_code == 3, result.stderr
    assert [gate["verdict"] for gate in json.loads(result.stdout)["gates"]] == ["failed"]
    plan = invoke("evaluate", original, *flags, "--dry-run", "--json")
    assert json.loads(plan.stdout)["gates"] == ["forget.largest <= 0"]
    for command in ("evaluate", "unlearn", "attack"):
        out = () if command != "unlearn" else ("--out", "out")
        result = invoke(command, original, "-m", manifest, *out)
        assert result.exit_code == 2
        advice = "your own metric needs 'evaluate --metric FILE.py:FUNCTION'"
        assert "manifest.yaml:" in result.stderr
        assert "unknown metric 'largest'; known: " in result.stderr
        assert advice in result.stderr


def test_an_attack_of_the_users_own_is_run(original: Path, code: Path) -> None:
    flags = ("-m", "manifest.yaml", "--attack", "attacks.py:peak", "--json")
    result = invoke("attack", original, *flags, "--allow-code")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert [(attack["name"], attack["role"]) for attack in report["attacks"]] == [("peak", "subject")]
    assert report["code"] == described(code / "attacks.py", "peak")


@pytest.mark.parametrize(
    "arguments",
    [
        ("unlearn", "--method", "methods.py:gentle", "--out", "out"),
        ("evaluate", "--metric", "metrics.py:largest"),
        ("attack", "--attack", "attacks.py:peak"),
    ],
)
def test_without_allow_code_nothing_runs(arguments: tuple[str, ...], original: Path, code: Path) -> None:
    result = invoke(arguments[0], original, "-m", "manifest.yaml", *arguments[1:])
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{arguments[2]}: is your own code; allow it with --allow-code" in result.stderr
    assert not (code / "out").exists()


def test_a_metric_that_returns_something_else_is_refused(original: Path, code: Path) -> None:
    result = invoke("evaluate", original, "-m", "manifest.yaml", "--metric", "metrics.py:wrong", "--allow-code")
    assert result.exit_code == 2
    assert "metrics.py:wrong: returned a int; expected unlearn_cli.stats.results.Estimate" in result.stderr
