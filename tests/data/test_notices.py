"""What a source leaves out or changes is counted, and said in log, dry run, report and page."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny import invoke, write_manifest
from unlearn_cli.data.formats import sklearn_sets
from unlearn_cli.data.notices import Notice, make_notices
from unlearn_cli.data.records import choose_records, from_arrays, make_array_inputs

NOTICES = (Notice("data.train", "hidden files, left out", 2), Notice("data.train", "odd <files>, left out", 1))


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the bundled digits have something to say of train."""
    read = sklearn_sets.sklearn

    def with_notices(spec: Any, name: str, *more: Any) -> Any:
        return replace(read(spec, name, *more), notices=NOTICES if name == "data.train" else ())

    monkeypatch.setattr(sklearn_sets, "sklearn", with_notices)


def test_no_kind_is_listed_that_did_not_occur() -> None:
    assert make_notices("data.test", {"b": 2, "a": 1, "c": 0}) == (
        Notice("data.test", "a", 1),
        Notice("data.test", "b", 2),
    )


def test_chosen_records_keep_the_notices() -> None:
    records = replace(
        from_arrays("data.train", make_array_inputs("x", np.zeros((3, 2)), [2]), np.arange(3)), notices=NOTICES
    )
    assert choose_records(records, np.array([1])).notices == NOTICES


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("command", ["unlearn", "evaluate", "attack"])
def test_dry_runs_say_them(command: str, original: Path, tmp_path: Path) -> None:
    arguments = [command, original, "-m", write_manifest(tmp_path), "--dry-run"]
    if command == "unlearn":
        arguments += ["--method", "bad_teacher", "-o", tmp_path / "out"]
    text = invoke(*arguments)
    assert "data.train: hidden files, left out: 2\n" in text.stdout
    assert text.stderr.count("warning: data.train: hidden files, left out: 2\n") == 1
    found = json.loads(invoke(*arguments, "--json").stdout)
    assert found["notices"][0] == {"source": "data.train", "kind": "hidden files, left out", "count": 2}


@pytest.mark.usefixtures("pages")
@pytest.mark.usefixtures("source")
def test_report_and_page_say_them(original: Path, tmp_path: Path) -> None:
    assert invoke("evaluate", original, "-m", write_manifest(tmp_path), "-o", tmp_path / "out").exit_code == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["schema_version"] == "2.2"
    assert [notice["count"] for notice in report["manifest"]["notices"]] == [2, 1]
    assert "odd &lt;files&gt;, left out: 1" in (tmp_path / "out" / "report.html").read_text()
