"""`unlearn-cli batch` in a folder that somebody has changed: exit code 6, before anything is trained."""

import json
import shutil
from pathlib import Path

import pytest

from tests.batch.scene import chain_anew, rewrite, unmigrated
from tests.batch.tiny import ask, batch, change, document, ledger_of, train
from tests.commands.test_batch import stopping_at
from tests.shared import make_once
from unlearn_cli.batch import attempts, run_end
from unlearn_cli.batch.ledger import keyed
from unlearn_cli.batch.ledger.chain import Row, derive_chain_key
from unlearn_cli.batch.ledger.store import open_ledger
from unlearn_cli.batch.settings import deletion
from unlearn_cli.reporting.report import Report
from unlearn_cli.runtime.progress import Steps
from unlearn_cli.runtime.state import is_intact
from unlearn_cli.storage.regular_files import sha256

LOOKS = (["status"], ["run", "--dry-run"], ["rollback", "--dry-run"], ["vacuum", "--dry-run"], ["verify"])
WORKS = (["run"], ["bisect"], ["rollback"], ["vacuum"])


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a run was promoted, and a request waits; to be copied."""

    def fill(folder: Path) -> None:
        shutil.copytree(make_once(tmp_path_factory, "batch-project", train), folder, dirs_exist_ok=True)
        ask(folder, "DSR-1", ids=["rec-1", "rec-2"])
        document(folder)
        ask(folder, "DSR-2", ids=["rec-11"])

    return make_once(tmp_path_factory, "batch-promoted", fill)


@pytest.fixture
def project(promoted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(promoted, tmp_path / "project", symlinks=True))


def test_another_key_is_noticed_by_every_command(project: Path) -> None:
    key = project / "ledger.key"
    key.write_text("0a" * 32 + "\nchain\n", encoding="ascii")
    for options in (*LOOKS, *WORKS):
        result = batch(project, *options)
        assert result.exit_code == 6, (options, result.output)
        assert "the key next to it is not the key that it was written with" in result.stderr
    key.unlink()
    for options in (*LOOKS, *WORKS):
        assert batch(project, *options).exit_code == 6, options
    assert not key.exists()
    assert not (project / "runs" / "R0002").exists()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM forgotten",
        "INSERT INTO forgotten VALUES ('z', 'R0001')",
        "INSERT INTO forgotten VALUES (x'ff', 'R0001')",
        "INSERT INTO forgotten VALUES ('z', x'ff')",
        "UPDATE event SET body = replace(body, 'v0001', 'v0000') WHERE kind = 'promoted'",
    ],
)
def test_a_changed_ledger_is_noticed_by_every_command_that_goes_by_it(project: Path, statement: str) -> None:
    where = deletion.read(project / "deletion.yaml")
    rewrite(where, statement)
    for options in (*(LOOKS if "event" in statement else LOOKS[1:]), *WORKS):
        result = batch(project, *options)
        assert result.exit_code == 6, (options, result.output)
    assert not (project / "runs" / "R0002").exists()


def test_an_unheard_of_event_is_an_integrity_error_of_every_command(project: Path) -> None:
    where = deletion.read(project / "deletion.yaml")
    rewrite(where, "UPDATE event SET kind = 'unheard_of' WHERE kind = 'done'")
    chain_anew(where, derive_chain_key(keyed.read_key(where.key_file)))
    for options in (*LOOKS, *WORKS, ["history", "DSR-1"]):
        result = batch(project, *options)
        assert result.exit_code == 6, (options, result.output)
        assert "'unheard_of'" in result.stderr


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("received", '"due":"2025-12-', '"due":"2025-19-'),
        ("run_started", '"requests":["DSR-1"]', '"requests":[]'),
        ("run_started", '"found":{"DSR-1"', '"found":{"DSR-2"'),
        ("run_started", '"version":"v0000"', '"version":"v0007"'),
        ("attempt", '"passed":true', '"passed":false'),
    ],
)
def test_an_odd_event_ends_no_command_with_a_traceback(project: Path, kind: str, old: str, new: str) -> None:
    """Whoever has the key may write what holds together by itself, such as a run without requests."""
    where = deletion.read(project / "deletion.yaml")
    assert any(old in row[5] for row in rows_of(project) if row[2] == kind)
    rewrite(where, f"UPDATE event SET body = replace(body, '{old}', '{new}') WHERE kind = '{kind}'")
    chain_anew(where, derive_chain_key(keyed.read_key(where.key_file)))
    for options in (*LOOKS, ["rollback"], ["vacuum"], ["history", "DSR-1"]):
        assert batch(project, *options).exit_code in (0, 6), options


def rows_of(project: Path) -> list[Row]:
    with open_ledger(project / "ledger.sqlite", create_missing=False) as ledger:
        return ledger.rows()


def test_a_state_of_a_training_is_of_use_only_to_who_has_the_key(project: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(project, tmp_path / "undisturbed", symlinks=True))
    document(other)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Steps, "log", stopping_at(2))
        assert batch(project).exit_code == 75
    (state,) = (project / "runs" / "R0002").glob("attempt-1.partial/*/*.safetensors")
    assert not is_intact(state)  # without the key
    data = state.read_bytes()
    state.write_bytes(data[:-8] + b"\0" * 8)
    result = batch(project, "run", "--json")
    assert result.exit_code == 0, result.output
    weights = [sha256(folder / "models" / "v0002" / "model.safetensors") for folder in (project, other)]
    assert weights[0] == weights[1]


def test_a_run_migrates_a_ledger_of_the_first_version(project: Path) -> None:
    where = deletion.read(project / "deletion.yaml")
    unmigrated(where)
    for options in LOOKS:
        assert batch(project, *options).exit_code == 0, options
    assert "keyed" not in [event.kind for event in ledger_of(project)]
    assert document(project)["done"] == ["DSR-2"]
    assert [event.kind for event in ledger_of(project)].count("keyed") == 1
    assert batch(project, "verify").exit_code == 0
    assert document(project)["done"] == []


def test_another_key_of_a_ledger_of_the_first_version_is_noticed_by_the_requests(project: Path) -> None:
    unmigrated(deletion.read(project / "deletion.yaml"))
    key = project / "ledger.key"
    saved = key.read_text(encoding="ascii")
    key.write_text("0a" * 32 + "\n", encoding="ascii")
    for options in (["run"], ["run", "--dry-run"], ["vacuum"]):
        result = batch(project, *options)
        assert result.exit_code == 6, result.output
        assert "requests has the digest that the ledger has of it" in result.stderr
    assert "keyed" not in (project / "ledger.sqlite").read_bytes().decode("latin-1")
    key.write_text(saved, encoding="ascii")
    assert document(project)["done"] == ["DSR-2"]


def test_a_version_that_the_ledger_does_not_know_stops_the_batch(project: Path) -> None:
    (project / "models" / "v0002").mkdir()
    for options in (["run"], ["run", "--dry-run"], ["bisect"], ["vacuum"], ["verify"]):
        result = batch(project, *options)
        assert result.exit_code == 6, result.output
        assert "the ledger has no such version" in result.output


def test_an_older_ledger_is_found_by_a_head_that_was_printed(project: Path) -> None:
    saved = {name: (project / name).read_bytes() for name in ("ledger.sqlite", "ledger.key")}
    head = document(project)["head"]
    assert f"ledger head: {head}" in batch(project).stdout
    assert batch(project, "verify", "--expect-head", head[:16]).exit_code == 0
    for path in ("models/v0002", "runs/R0002"):
        shutil.rmtree(project / path)
    (project / "models" / "current").unlink()
    (project / "models" / "current").symlink_to("v0001")
    for name, data in saved.items():
        (project / name).write_bytes(data)
    said = batch(project, "verify")
    assert (said.exit_code, "not checked: whether an older state" in said.stdout) == (0, True)
    assert batch(project, "verify", "--expect-head", head).exit_code == 6
    assert batch(project, "run", "--expect-head", head).exit_code == 2


@pytest.mark.parametrize(("policy", "code"), [("pass", 0), ("fail", 3)])
def test_a_verdict_that_is_not_a_pass_is_said_with_the_policy_that_let_it_through(
    project: Path, policy: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = attempts.read_report

    def undecided(folder: Path) -> Report:
        report = read(folder)
        return report.model_copy(update={"verdict": "nothing_to_forget"}) if "attack" in folder.name else report

    monkeypatch.setattr(attempts, "read_report", undecided)
    monkeypatch.setattr(run_end, "read_report", undecided)
    change(project, "tier: null", f"tier: quick, inconclusive: {policy}")
    result = batch(project, "run", "--json")
    assert result.exit_code == code, result.output
    (made,) = json.loads(result.stdout)["runs"][0]["attempts"]
    told = "attack.inconclusive: pass" if policy == "pass" else None
    assert (made["verdict"], made["policy"]) == ("nothing_to_forget", told)
    if policy == "fail":
        return
    words = f"the attack's verdict is nothing_to_forget, accepted by {told}"
    assert f"attempt 1 with finetune: passed; {words}" in batch(project, "history", "DSR-2").stdout
    statement = json.loads((project / "runs" / "R0002" / "evidence" / "test-result.json").read_text(encoding="utf-8"))
    (attacked,) = [one for one in statement["predicate"]["configuration"] if "attack-1" in one["name"]]
    assert (attacked["annotations"]["verdict"], attacked["annotations"]["policy"]) == ("nothing_to_forget", told)
    assert statement["predicate"]["result"] == "WARNED"
    assert batch(project, "verify").exit_code == 0


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("runs/R0001/manifest.yaml", "is not the file that the ledger recorded"),
        ("runs/R0001/notes.txt", "is not a file that the ledger recorded"),
        ("runs/R0001/evidence/more.json", "is not a file that the ledger recorded"),
        ("models/v0001/report.html", "is not the file that the ledger recorded"),
        ("models/v0001/report.json", "is not the file that the ledger recorded"),
        ("models/v0001/more.json", "is not a file that the ledger recorded"),
    ],
)
def test_a_file_that_was_changed_or_added_in_the_folder_of_an_ended_run_is_found(
    project: Path, name: str, finding: str
) -> None:
    with (project / name).open("a", encoding="utf-8") as file:
        file.write(" ")
    result = batch(project, "verify", "--json")
    assert result.exit_code == 6
    (line,) = json.loads(result.stdout)["findings"]
    assert line.startswith(f"{name}: {finding}")


def test_a_checkpoint_put_back_with_a_chain_computed_without_the_key_is_found(project: Path) -> None:
    where = deletion.read(project / "deletion.yaml")
    shutil.copy(project / "models" / "v0000" / "model.safetensors", project / "models" / "v0001" / "model.safetensors")
    (opened,) = [row for row in rows_of(project) if row[2] == "opened"]
    (promoting,) = [row for row in rows_of(project) if row[2] == "promoting"]
    checkpoint, after = json.loads(opened[5])["checkpoint"], json.loads(promoting[5])["after"]
    swaps = [(after[name], checkpoint[name]) for name in ("file_sha256", "tensor_digest")]
    rewrite(where, *(f"UPDATE event SET body = replace(body, '{old}', '{new}')" for old, new in swaps))
    chain_anew(where, None)
    result = batch(project, "verify")
    assert result.exit_code == 6
    assert "event 1 was changed" in result.stdout
    chain_anew(
        where, derive_chain_key(keyed.read_key(where.key_file))
    )  # with the key, what else is there speaks against it
    found = batch(project, "verify", "--json")
    assert any("evidence/provenance.json" in line for line in json.loads(found.stdout)["findings"])
