"""`unlearn-cli batch` in a folder that somebody has changed: exit code 6, before anything is trained."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.batch.scene import chain_anew, rewrite, unmigrated
from tests.batch.tiny import ask, batch, document, ledger_of, train
from unlearn_cli import deletion, page
from unlearn_cli.batch import keyed
from unlearn_cli.batch.chain import chain_key

LOOKS = (["--status"], ["--dry-run"], ["--rollback", "--dry-run"], ["--vacuum", "--dry-run"], ["--verify"])
WORKS = ([], ["--bisect"], ["--rollback"], ["--vacuum"])


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which a run was promoted, and a request waits; to be copied."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "render", lambda *arguments: "<html></html>")
        folder = train(tmp_path_factory.mktemp("batch") / "project")
        ask(folder, "DSR-1", ids=["rec-1", "rec-2"])
        document(folder)
        ask(folder, "DSR-2", ids=["rec-11"])
        yield folder


@pytest.fixture
def project(promoted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(promoted, tmp_path / "project", symlinks=True))


def test_another_key_is_noticed_by_every_command(project: Path) -> None:
    key = project / "ledger.key"
    key.write_text("0a" * 32 + "\nchain\n", encoding="ascii")
    for options in (*LOOKS, *WORKS):
        result = batch(project, *options)
        assert result.exit_code == 6, (options, result.output)
        assert "the key beside it is not the one that it was written with" in result.stderr
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
    chain_anew(where, chain_key(keyed.read_key(where.key_file)))
    for options in (*LOOKS, *WORKS, ["--history", "DSR-1"]):
        result = batch(project, *options)
        assert result.exit_code == 6, (options, result.output)
        assert "'unheard_of'" in result.stderr


def test_a_run_migrates_a_ledger_of_the_first_version(project: Path) -> None:
    where = deletion.read(project / "deletion.yaml")
    unmigrated(where)
    for options in LOOKS:
        assert batch(project, *options).exit_code == 0, options
    assert "keyed" not in [event.kind for event in ledger_of(project)]
    assert document(project)["done"] == ["DSR-2"]
    assert [event.kind for event in ledger_of(project)].count("keyed") == 1
    assert batch(project, "--verify").exit_code == 0
    assert document(project)["done"] == []
