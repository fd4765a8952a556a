"""Batches whose methods are outside of the package: with --allow-code, and paths from the folder of deletion.yaml."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from tests.batch.tiny import ask, batch, change, document, ledger_of
from unlearn_cli.batch.setup import read_setup
from unlearn_cli.errors import UserError

METHOD = '''"""Fine-tune on retain with a small step. Source: ... Needs retain. Warning: ..."""

import torch
from pydantic import PositiveFloat, PositiveInt

from unlearn_cli.runtime.progress import track


def gentle(model, retain, task_loss, *, epochs: PositiveInt = 2, lr: PositiveFloat = 1e-3):
    optimizer = torch.optim.Adam(model.parameters(), lr)
    for x, y in track(retain.epochs(epochs), "gentle", model, optimizer):
        loss = task_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model
'''


@pytest.fixture
def own_method(project: Path) -> Path:
    """Return a batch with a request and a method of its own, in a folder that is not the working folder."""
    (project / "code").mkdir()
    (project / "code" / "mine.py").write_text(METHOD, encoding="utf-8")
    change(project, "methods: [finetune]", "methods: [code/mine.py:gentle]")
    change(project, "{finetune: {epochs: 1}}", "{'code/mine.py:gentle': {epochs: 1}}")
    ask(project, "DSR-1", ids=["rec-1", "rec-2"])
    return project


def test_a_method_from_outside_carries_out_the_requests(own_method: Path) -> None:
    plan = document(own_method, "run", "--dry-run", "--allow-code")
    assert plan["methods"] == ["code/mine.py:gentle"]
    said = document(own_method, "run", "--allow-code")
    assert [(made["method"], made["passed"]) for made in said["runs"][0]["attempts"]] == [("mine.py:gentle", True)]
    report = json.loads((own_method / "models" / "v0001" / "report.json").read_text(encoding="utf-8"))
    digest = sha256(METHOD.encode()).hexdigest()
    assert report["code"] == [{"name": "gentle", "source": "mine.py:gentle", "sha256": digest}]
    assert report["settings"] == {"epochs": 1, "lr": 1e-3}
    assert any("mine.py:gentle (sha256 " in caveat for caveat in report["caveats"])
    (provenance,) = own_method.glob("runs/R0001/evidence/provenance*")
    assert {"name": "mine.py:gentle", "digest": {"sha256": digest}} in json.loads(provenance.read_text())["predicate"][
        "buildDefinition"
    ]["resolvedDependencies"]
    assert str(own_method) not in json.dumps([event.body for event in ledger_of(own_method)])
    for subcommand in ("status", "verify"):  # they run no code
        assert batch(own_method, subcommand).exit_code == 0
    assert batch(own_method, "history", "DSR-1").exit_code == 0


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_without_allow_code_it_is_refused_and_nothing_is_written(own_method: Path, flags: tuple[str, ...]) -> None:
    files = sorted(own_method.rglob("*"))
    result = batch(own_method, "run", *flags)
    assert (result.exit_code, result.stdout) == (2, "")
    told = "deletion.yaml: methods: code/mine.py:gentle: is your own code; allow it with --allow-code"
    assert result.stderr.strip().endswith(told)
    assert sorted(own_method.rglob("*")) == files


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "mine.py:gentle]",
            "mine.py:gentel]",
            "/code/mine.py: no function 'gentel' at the top level; did you mean 'gentle'?",
        ),
        ("mine.py:gentle]", "yours.py:gentle]", "code/yours.py: no such file"),
        (
            "[code/mine.py:gentle]",
            "['code mine:gentle']",
            "expected package.module:function or path/to/file.py:function",
        ),
        ("epochs: 1", "epoch: 1", "settings.code/mine.py:gentle.epoch: mine.py:gentle has no such setting; did you"),
        ("epochs: 1", "epochs: 0", "settings.code/mine.py:gentle.epochs: expected greater than 0"),
    ],
)
@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_mistakes_are_refused_before_anything_is_done(
    own_method: Path, old: str, new: str, told: str, flags: tuple[str, ...]
) -> None:
    text = (own_method / "deletion.yaml").read_text(encoding="utf-8")
    changed = text.replace(old, new)
    if "]" in old:  # the settings are those of the method
        changed = changed.replace("'code/mine.py:gentle': {epochs: 1}", "")
    assert changed != text
    (own_method / "deletion.yaml").write_text(changed, encoding="utf-8")
    result = batch(own_method, "run", "--allow-code", *flags)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert not (own_method / "ledger.sqlite").exists()


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_code_that_cannot_be_imported_is_refused(own_method: Path, flags: tuple[str, ...]) -> None:
    path = own_method / "code" / "mine.py"
    path.write_text("import there_is_no_such_module\n" + METHOD, encoding="utf-8")
    result = batch(own_method, "run", "--allow-code", *flags)
    assert result.exit_code == 2
    assert "mine.py:gentle: cannot be imported: No module named 'there_is_no_such_module'" in result.stderr
    assert not (own_method / "ledger.sqlite").exists()


def test_a_run_goes_on_only_with_the_same_code(own_method: Path) -> None:
    before = read_setup(own_method / "deletion.yaml", allow_code=True).digest
    path = own_method / "code" / "mine.py"
    path.write_text(METHOD + "\n# changed\n", encoding="utf-8")
    assert read_setup(own_method / "deletion.yaml", allow_code=True).digest != before


def test_a_gate_on_a_metric_of_ones_own_is_refused(own_method: Path) -> None:
    change(own_method, "test_retain.accuracy >= 0.5", "test.largest >= 0")
    with pytest.raises(UserError, match=r"unknown metric 'largest'; .*your own metric needs 'evaluate --metric"):
        read_setup(own_method / "deletion.yaml", allow_code=True)
