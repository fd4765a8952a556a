"""`unlearn-cli batch` as a user meets it: what it says, its exit codes, and what it leaves when something is wrong."""

import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tests.batch.killing import final_state, killed_at_step
from tests.batch.tiny import ask, batch, change, document, ledger_of, promoted_project, train
from tests.forked import exit_code_of_fork
from tests.shared import make_once
from tests.tiny import ROOT, invoke
from unlearn_cli.batch import versions
from unlearn_cli.batch.ledger import clock, fault
from unlearn_cli.batch.lock import hold_lock
from unlearn_cli.errors import ResourceError
from unlearn_cli.runtime.progress import Steps
from unlearn_cli.storage import atomic_files
from unlearn_cli.storage.regular_files import sha256


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_once(tmp_path_factory, "batch-project", train)


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "project"))


@pytest.fixture
def promoted(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """A folder in which the run over one request, for rec-1, was promoted."""
    return Path(shutil.copytree(promoted_project(tmp_path_factory), tmp_path / "promoted", symlinks=True))


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    """Return of every file below a folder when it was changed, and its digest."""
    found = {}
    for path in sorted(folder.rglob("*")):
        digest = sha256(path) if path.is_file() else ""
        found[str(path.relative_to(folder))] = (path.lstat().st_mtime_ns, digest)
    return found


def test_it_says_what_it_did_in_a_line_a_run(project: Path) -> None:
    ask(project, "DSR-1", ids=["rec-1", "rec-2"])
    result = batch(project)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "R0001: 1 request done, 2 records forgotten by finetune; v0001 is current\n"
        f"ledger head: {ledger_of(project)[-1].hash}\n"
    )


def test_nothing_pending_is_exit_code_0_and_torch_is_not_imported(project: Path) -> None:
    program = """
import sys
from typer.testing import CliRunner
from unlearn_cli.cli.app import app
result = CliRunner().invoke(app, ["batch", "run", sys.argv[1]])
said = result.stdout.splitlines()
print(result.exit_code, said[0], [name for name in ("torch", "torchvision") if name in sys.modules])
"""
    for _ in range(2):  # the first makes the ledger, the second finds it
        ran = subprocess.run(
            [sys.executable, "-c", program, project / "deletion.yaml"], capture_output=True, text=True, check=True,
            cwd=ROOT,
        )  # fmt: skip
        assert ran.stdout == "0 nothing to do []\n"


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(project: Path) -> None:
    ask(project, "DSR-1", ids=["rec-1", "rec-2"])
    (project / "requests" / "broken.yaml").write_text("[", encoding="utf-8")
    (project / "requests" / "ids.txt").write_text("rec-3\n", encoding="utf-8")
    before = contents(project)
    said = document(project, "run", "--dry-run")
    assert contents(project) == before  # not even a ledger
    assert "files in the inbox that are not read: ids.txt" in batch(project, "run", "--dry-run").stderr
    assert (said["current"], said["records"], said["methods"]) == (None, 2, ["finetune"])
    assert (said["gates"], len(said["set_aside"])) == (["test.accuracy >= 0.5"], 1)
    assert batch(project).exit_code == 5
    ask(project, "DSR-2", ids=["rec-2", "rec-11", "nobody"])
    before = contents(project)
    result = batch(project, "run", "--dry-run")
    assert contents(project) == before
    assert result.stdout.splitlines()[2].split() == ["DSR-2", "1", "1", "0", "1"]
    assert "unknown: nobody" in result.stdout
    assert "no run is needed" in result.stdout


def test_rollback_makes_the_version_before_current_and_the_requests_pending_again(project: Path) -> None:
    ask(project, "DSR-1", ids=["rec-1", "rec-2"])
    document(project)
    ask(project, "DSR-2", ids=["rec-2"])
    document(project)  # needs no run: it was forgotten by the first
    before = contents(project)
    assert "v0000 current again" in batch(project, "rollback", "--dry-run").stdout
    assert contents(project) == before
    result = batch(project, "rollback")
    assert (result.exit_code, os.readlink(project / "models" / "current")) == (0, "v0000")
    assert json.loads(batch(project, "status", "--json").stdout)["pending"] == 2
    assert batch(project, "verify").exit_code == 0
    said = document(project)
    assert (sorted(said["done"]), said["current"], said["runs"][0]["forgotten"]) == (["DSR-1", "DSR-2"], "v0002", 0)
    first, second = (load_file(project / "models" / name / "model.safetensors") for name in ("v0001", "v0002"))
    assert all(first[name].equal(second[name]) for name in first)
    assert batch(project, "verify").exit_code == 0


def test_there_is_no_way_back_from_the_first_checkpoint_or_to_one_that_was_removed(project: Path) -> None:
    assert "there is no run to take back" in batch(project, "rollback").stderr
    change(project, "attack:", "retention: {versions: 0, days: 0}\nattack:")
    ask(project, "DSR-1", ids=["rec-1"])
    document(project)
    assert batch(project, "vacuum").exit_code == 0
    result = batch(project, "rollback")
    assert result.exit_code == 2
    assert "was removed by 'batch vacuum'" in result.stderr


def test_vacuum_removes_what_retention_does_not_keep_and_lists_what_stays(project: Path) -> None:
    change(project, "accuracy >= 0.5", "accuracy >= 2")
    ask(project, "DSR-0", ids=["rec-11"])
    assert batch(project).exit_code == 3  # leaves the weights of an attempt
    change(project, "accuracy >= 2", "accuracy >= 0.5")
    document(project)
    ask(project, "DSR-1", ids=["rec-1"])
    document(project)
    before = contents(project)
    said = document(project, "vacuum", "--dry-run")
    assert contents(project) == before
    assert said["removed"] == ["models/v0000", "runs/R0001/attempt-1/model.safetensors"]
    assert sorted(said["stays"]) == ["models/v0001", "requests/done/DSR-0.yaml", "requests/done/DSR-1.yaml"]
    assert document(project, "vacuum")["removed"] == said["removed"]
    assert not (project / "models" / "v0000").exists()
    assert (project / "runs" / "R0001" / "attempt-1" / "report.json").exists()
    change(project, "attack:", "retention: {versions: 1, days: 0}\nattack:")
    assert sorted(document(project, "vacuum")["removed"]) == sorted(said["stays"])
    assert batch(project, "verify").exit_code == 0
    assert document(project, "vacuum")["removed"] == []


def test_a_promoted_version_is_published_and_a_removed_one_withdrawn(project: Path, tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    remote = tmp_path / "remote"
    change(project, "attack:", f"publish: file://{remote}\nretention: {{versions: 0}}\nattack:")
    ask(project, "DSR-1", ids=["rec-1"])
    assert document(project)["published"] == "v0001"
    ask(project, "DSR-2", ids=["rec-2"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unlearn_cli.storage.remote_versions.publish", unreachable)
        assert batch(project).exit_code == 7
    assert os.readlink(project / "models" / "current") == "v0002"  # promoted, but not published
    assert document(project)["published"] == "v0002"  # by the next run, which has nothing else to do
    assert json.loads((remote / "current.json").read_text(encoding="utf-8"))["version"] == "v0002"
    assert "models/v0001" in document(project, "vacuum")["removed"]
    assert sorted(path.name for path in remote.iterdir()) == ["current.json", "v0002"]


def unreachable(folder: Path, url: str) -> None:
    raise ResourceError("the remote is not reached")


def test_a_second_batch_at_the_same_time_is_told_who_holds_the_lock(project: Path) -> None:
    with hold_lock(project / "ledger.lock"):
        child = exit_code_of_fork(lambda: batch(project).exit_code)
        assert child == 75
        assert f"process {os.getpid()}" in batch(project).stderr
    assert batch(project).exit_code == 0


def test_a_disk_too_full_for_the_lock_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, *arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", fail)
    result = batch(project)
    assert result.exit_code == 7
    assert "ledger.lock.pid: the disk is full" in result.stderr


def test_the_lock_of_a_dead_process_is_free(project: Path) -> None:
    def die() -> int:
        with hold_lock(project / "ledger.lock"):
            os._exit(9)

    assert exit_code_of_fork(die) == 9
    assert (project / "ledger.lock.pid").exists()
    assert batch(project).exit_code == 0


def test_a_signal_while_it_trains_keeps_the_state_and_the_same_command_ends_the_same(
    project: Path, template: Path, tmp_path: Path
) -> None:
    ask(project, "DSR-1", ids=["rec-1", "rec-2"])
    other = Path(shutil.copytree(project, tmp_path / "undisturbed"))
    document(other)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Steps, "log", stopping_at(2))
        result = batch(project)
    assert result.exit_code == 75
    assert "the same command continues" in result.stderr
    assert list((project / "runs" / "R0001").glob("attempt-1.partial/*/*.safetensors"))
    document(project)
    assert final_state(project) == final_state(other)


def stopping_at(step: int) -> Any:
    """Return a `Steps.log` that sends this process SIGTERM at a step."""
    log = Steps.log

    def stop(self: Steps[Any], **values: Any) -> None:
        if self.done == step:
            signal.raise_signal(signal.SIGTERM)
        log(self, **values)

    return stop


def test_a_signal_between_two_stages_is_exit_code_75_as_well(project: Path) -> None:
    ask(project, "DSR-1", ids=["rec-1"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(versions, "read_pointer", lambda models: signal.raise_signal(signal.SIGINT))
        result = batch(project)
    assert result.exit_code == 75
    document(project)


@pytest.mark.parametrize("number", range(0, 20, 4))
def test_a_full_disk_is_exit_code_7_and_the_same_command_goes_on(project: Path, number: int, promoted: Path) -> None:
    ask(project, "DSR-1", ids=["rec-1"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic_files, "fsync", failing(atomic_files.fsync, number, errno.ENOSPC))
        patch.setattr(versions.atomic_files, "fsync", atomic_files.fsync)
        result = batch(project)
    assert result.exit_code == 7
    assert "the disk is full" in result.stderr
    document(project)
    assert final_state(project) == final_state(promoted)


def failing(function: Any, number: int, code: int) -> Any:
    """Return a function that fails from its n-th call on, as the system would."""
    calls = iter(range(1000))

    def fail(path: Path) -> None:
        if next(calls) >= number:
            raise OSError(code, os.strerror(code), str(path))
        function(path)

    return fail


def test_a_place_that_is_read_only_is_exit_code_2(project: Path) -> None:
    ask(project, "DSR-1", ids=["rec-1"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic_files, "fsync", failing(atomic_files.fsync, 0, errno.EROFS))
        result = batch(project)
    assert result.exit_code == 2
    assert "permission denied" in result.stderr


def replaced(project: Path) -> None:
    """Put other weights in the place of the current checkpoint's."""
    path = project / "models" / "v0001" / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(path).items()}, path)


def pointed_elsewhere(project: Path) -> None:
    (project / "models" / "current").unlink()
    (project / "models" / "current").symlink_to("v0000")


def removed(project: Path) -> None:
    shutil.rmtree(project / "models" / "v0001")


@pytest.mark.parametrize("tamper", [replaced, pointed_elsewhere, removed])
def test_a_checkpoint_changed_behind_its_back_is_exit_code_6(promoted: Path, tamper: Any) -> None:
    tamper(promoted)
    ask(promoted, "DSR-2", ids=["rec-2"])
    before = len(ledger_of(promoted))
    result = batch(promoted)
    assert result.exit_code == 6
    assert batch(promoted, "verify").exit_code == 6
    assert len(ledger_of(promoted)) == before


def test_a_new_checkpoint_that_is_changed_before_it_is_promoted_never_is(project: Path) -> None:
    ask(project, "DSR-1", ids=["rec-1"])
    assert killed_at_step(project, "attempted") == fault.KILLED
    weights = project / "runs" / "R0001" / "attempt-1" / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(weights).items()}, weights)
    result = batch(project)
    assert result.exit_code == 6
    assert "attempt-1/model.safetensors: was changed since R0001 wrote it" in result.stderr
    assert os.readlink(project / "models" / "current") == "v0000"


def test_versions_without_a_ledger_are_exit_code_6(promoted: Path) -> None:
    (promoted / "ledger.sqlite").unlink()
    result = batch(promoted)
    assert result.exit_code == 6
    assert "restore the ledger from a backup" in result.stderr


def test_the_log_may_be_json_lines_with_run_and_requests(project: Path) -> None:
    ask(project, "DSR-1", ids=["rec-1"])
    result = invoke("batch", "run", project / "deletion.yaml", "--log-format", "json")
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    last = next(line for line in lines if line.get("version") == "v0001")
    assert (last["run"], last["requests"], last["level"]) == ("R0001", ["DSR-1"], "info")


def test_status_fails_when_a_request_is_due_soon(project: Path) -> None:
    ask(
        project,
        "DSR-1",
        ids=["rec-1"],
        due=clock.format_time(clock.now() + timedelta(days=3)),
        received="2026-01-01T00:00Z",
    )
    assert batch(project, "status", "--fail-if-due-within", "2d").exit_code == 0
    result = batch(project, "status", "--fail-if-due-within", "7d")
    assert result.exit_code == 3
    assert "due within 7d: DSR-1" in result.stdout
    document(project)
    assert batch(project, "status", "--fail-if-due-within", "7d").exit_code == 0
    assert "done" in batch(project, "history", "DSR-1").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status", "--verify"], "batch has sub-commands now; use: unlearn-cli batch verify "),
        (["run", "--fail-if-due-within", "7d"], "No such option: --fail-if-due-within"),
        (["status", "--fail-if-due-within", "soon"], "is not a duration"),
        (["bisect", "--dry-run"], "No such option: --dry-run"),
        (["history", "DSR-1"], "there is no ledger yet"),
        (["rollback", "--dry-run"], "there is no ledger yet"),
    ],
)
def test_options_that_make_no_sense_are_refused(project: Path, arguments: list[str], message: str) -> None:
    result = batch(project, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("deletion.yaml", "run deletion.yaml"),
        ("deletion.yaml --dry-run", "run deletion.yaml --dry-run"),
        ("deletion.yaml --status --fail-if-due-within 7d", "status deletion.yaml --fail-if-due-within 7d"),
        ("--status deletion.yaml", "status deletion.yaml"),
        ("deletion.yaml --history DSR-1", "history deletion.yaml DSR-1"),
        ("deletion.yaml --history=DSR-1", "history deletion.yaml DSR-1"),
        ("deletion.yaml --close DSR-1 --because 'by letter'", "close deletion.yaml DSR-1 --because 'by letter'"),
        ("night/deletion.yml --verify --expect-head 0123", "verify night/deletion.yml --expect-head 0123"),
        ("deletion.yaml --rollback --dry-run", "rollback deletion.yaml --dry-run"),
        ("deletion.yaml --vacuum", "vacuum deletion.yaml"),
        ("deletion.yaml --bisect --allow-code", "bisect deletion.yaml --allow-code"),
        ("run deletion.yaml --bisect", "bisect deletion.yaml"),
    ],
)
def test_a_command_line_of_before_there_were_sub_commands_is_refused_with_its_new_form(old: str, new: str) -> None:
    result = invoke("batch", *shlex.split(old))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"error: batch has sub-commands now; use: unlearn-cli batch {new}\n"


def test_a_missing_sub_command_is_an_error() -> None:
    result = invoke("batch")  # in a crontab, exit code 0 would pass for a night without requests
    assert result.exit_code == 2
    assert "Missing command" in result.stderr


@pytest.mark.parametrize("name", ["run", "status", "verify", "history", "close", "rollback", "vacuum", "bisect"])
def test_each_help_page_ends_with_an_example(name: str) -> None:
    examples = invoke("batch", name, "--help").stdout.split("Examples:\n")[1]
    assert examples.startswith(f"  unlearn-cli batch {name} deletion.yaml")


@pytest.mark.parametrize(
    ("old", "new", "name", "told"),
    [
        ("initial: original/model.safetensors", "initial: gone.safetensors", "deletion.yaml", "gone.safetensors"),
        ("{device: cpu}", "{device: abacus}", "deletion.yaml", "abacus"),
        ("tier: null", "tier: quick", "deletion.yaml", "has no data.test"),
        ("methods: [finetune]", "methods: [finetune, blindspot]", "deletion.yaml", "blindspot is for regression"),
        ("accuracy >= 0.5", "acuracy >= 0.5", "deletion.yaml", "did you mean 'accuracy'"),
        ("architecture: mlp", "architecture: 'my.net:build'", "data.yaml", "allow it with --allow-code"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_written(
    project: Path, old: str, new: str, name: str, told: str
) -> None:
    change(project, old, new, name)
    if "data.test" in told:
        change(project, "  test: {table: {path: test.csv,", "# {", "data.yaml")
    ask(project, "DSR-1", ids=["rec-1"])
    result = batch(project)
    assert result.exit_code == 2
    assert told in result.stderr
    assert not [path for name in ("models", "runs", "ledger*") for path in project.glob(name)]


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_a_test_split_that_is_too_small_for_held_out_records_is_refused_in_the_dry_run_too(
    flags: tuple[str, ...], project: Path
) -> None:
    change(
        project,
        "methods: [finetune]\nsettings: {finetune: {epochs: 1}}",
        "methods: [neggrad]\nsettings: {neggrad: {rewind: held_out}}",
    )
    lines = (project / "test.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (project / "test.csv").write_text("".join(lines[:80]), encoding="utf-8")
    assert batch(project, "run", *flags).exit_code == 0  # without a request there is nothing to check
    ask(project, "DSR-1", ids=["rec-1", "rec-2"])
    result = batch(project, "run", *flags)
    assert result.exit_code == 2
    message = result.stderr.splitlines()[-1]
    assert "data.test: is too small to be divided: its selection half has " in message
    assert "or set rewind=last, with which the method reads none" in message
    change(project, "rewind: held_out", "rewind: last, steps: 1")
    assert batch(project, "run", *flags).exit_code in (0, 5)
