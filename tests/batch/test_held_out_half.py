"""Batches with a method that reads held-out records: what later runs report, and what the evidence states."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.batch.tiny import ask, batch, change, document, ids_of

METHOD = '''"""Fine-tune on retain and on held-out records. Source: ... Needs retain. Warning: ..."""

import torch
from pydantic import PositiveInt


def stopping(model, retain, held_out, task_loss, *, steps: PositiveInt = 2):
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)
    for x, y in [*retain.steps(steps), *held_out.steps(steps)]:
        optimizer.zero_grad()
        task_loss(model(x), y).backward()
        optimizer.step()
    return model
'''


@pytest.fixture
def held_out_project(project: Path) -> Path:
    """Return a batch with one request and a method that reads held-out records."""
    (project / "mine.py").write_text(METHOD, encoding="utf-8")
    change(project, "methods: [finetune]", "methods: [mine.py:stopping]")
    change(project, "settings: {finetune: {epochs: 1}}\n", "")
    ask(project, "DSR-1", ids=["rec-1", "rec-2"])
    return project


def read(folder: Path, *parts: str) -> dict[str, Any]:
    return json.loads(folder.joinpath(*parts).read_text(encoding="utf-8"))


def test_runs_judge_on_the_verdict_half_and_so_do_later_ones(held_out_project: Path) -> None:
    document(held_out_project, "run", "--allow-code")
    first = read(held_out_project, "models", "v0001", "report.json")
    assert first["manifest"]["half"] == "verdict"
    assert first["subject"]["lineage"]["held_out"] == "selection half of test"
    provenance = read(held_out_project, "runs", "R0001", "evidence", "provenance.json")
    internal = provenance["predicate"]["buildDefinition"]["internalParameters"]
    assert (internal["heldOut"], internal["half"]) == ("selection half of test", "verdict")
    change(held_out_project, "methods: [mine.py:stopping]", "methods: [finetune]\nsettings: {finetune: {epochs: 1}}")
    ask(held_out_project, "DSR-2", ids=ids_of(held_out_project, "person", "person-3")[:2])
    document(held_out_project, "run")
    second = read(held_out_project, "models", "v0002", "report.json")
    assert second["method"] == "finetune"
    assert second["manifest"]["half"] == "verdict"
    assert second["manifest"]["splits"]["test"]["n"] == first["manifest"]["splits"]["test"]["n"]
    assert second["subject"]["lineage"]["held_out"] == "selection half of test"
    assert batch(held_out_project, "verify").exit_code == 0


def test_several_methods_are_chosen_on_the_half_that_was_read_and_judged_on_the_other(held_out_project: Path) -> None:
    change(held_out_project, "[mine.py:stopping]", "[mine.py:stopping, retrain]")
    document(held_out_project, "run", "--allow-code")
    assert read(held_out_project, "models", "v0001", "report.json")["manifest"]["half"] == "selection"
    assert read(held_out_project, "runs", "R0001", "judged-1", "report.json")["manifest"]["half"] == "verdict"


def test_too_few_test_records_are_refused_and_the_request_stays_pending(held_out_project: Path) -> None:
    rows = (held_out_project / "test.csv").read_text().splitlines(keepends=True)
    (held_out_project / "test.csv").write_text("".join(rows[:60]))
    result = batch(held_out_project, "run", "--allow-code")
    assert result.exit_code == 2
    assert "data.test: is too small to be divided: its" in result.stderr
    assert document(held_out_project, "status")["pending"] == 1


def test_a_method_without_its_records_is_refused_before_anything_is_done(held_out_project: Path) -> None:
    lines = (held_out_project / "data.yaml").read_text().splitlines(keepends=True)
    (held_out_project / "data.yaml").write_text("".join(line for line in lines if not line.startswith("  test:")))
    change(held_out_project, "gates: [test_retain.accuracy >= 0.5]\n", "")
    result = batch(held_out_project, "run", "--allow-code")
    assert result.exit_code == 2
    assert "stopping needs held_out, but the manifest has no data.test or data.validation" in result.stderr
    assert not (held_out_project / "ledger.sqlite").exists()
