"""The files of sample_configs/deletion that operate a batch, for cron, systemd and CI, work as they stand."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from configparser import RawConfigParser
from pathlib import Path

import pytest

from tests.docs.project import Shell
from tests.test_sample_configs import CONFIGS, deletion_batch
from tests.tiny import invoke
from unlearn_cli.schema import strict_yaml

FILES = CONFIGS / "deletion"


def parse(command: str) -> tuple[str, list[str]]:
    """Return the sub-command and the options of a command line with `batch`."""
    words = shlex.split(command.split("|")[0].split(">")[0], comments=True)
    batch = words.index("batch")
    return words[batch + 1], [word for word in words if word.startswith("--")]


@pytest.fixture
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = Shell(tmp_path_factory.mktemp("sh"))
    shell.wait()
    yield shell
    shell.stop()


def test_a_night_carries_out_what_is_pending_and_prints_nothing(tmp_path: Path, shell: Shell) -> None:
    batch = deletion_batch(tmp_path / "batch")
    for file in batch.path("requests").iterdir():  # whatever the clock of this machine says, they have been received
        file.write_text(file.read_text(encoding="utf-8").replace("2026-", "2024-"), encoding="utf-8")
    trained = invoke("train", "-m", batch.path("manifest"), "-o", batch.folder / "original", "--device", "cpu")
    assert trained.exit_code == 0, trained.stderr
    night = ["/bin/sh", batch.folder / "nightly.sh"]
    ran = subprocess.run(night, capture_output=True, text=True, env=shell.environment, cwd=tmp_path)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("", "", 0)
    assert len(list((batch.path("requests") / "done").iterdir())) == 3
    (batch.path("requests") / "broken.yaml").write_text("[", encoding="utf-8")
    ran = subprocess.run(night, capture_output=True, text=True, env=shell.environment, cwd=tmp_path)
    assert ran.returncode == 5
    assert ran.stdout.startswith("unlearn-cli batch run deletion.yaml: exit code 5\n")
    assert "broken.yaml" in ran.stdout


def test_the_sub_commands_and_options_that_the_files_give_exist() -> None:
    texts = [(FILES / name).read_text(encoding="utf-8") for name in ("nightly.sh", "workflow.yaml")]
    pattern = r"^(?: *run: | *)((?:unlearn-cli )?batch [a-z]+ .*deletion\.yaml.*)$"
    lines = re.findall(pattern, "\n".join(texts), flags=re.MULTILINE)
    commands = [parse(line) for line in lines]
    assert {name for name, _ in commands} == {"run", "status", "verify", "vacuum"}
    for name, options in commands:
        help_page = invoke("batch", name, "--help").stdout
        assert not [option for option in options if option not in help_page], (name, options)


def test_the_workflow_runs_commands_that_exist_and_fails_with_them() -> None:
    job = strict_yaml.read(FILES / "workflow.yaml").value["jobs"]["batch"]
    commands = [line for step in job["steps"] for line in step.get("run", "").splitlines()]
    assert [parse(command)[0] for command in commands] == ["run", "verify", "status"]


def test_cron_runs_the_script_every_night() -> None:
    lines = [line for line in (FILES / "crontab").read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    assert lines[0].startswith("PATH=")
    assert re.fullmatch(r"\d{1,2} \d{1,2} \* \* \*  \S+/nightly\.sh", lines[1])
    assert os.access(FILES / "nightly.sh", os.X_OK)


def test_the_units_belong_together_and_start_again_after_exit_code_75_alone() -> None:
    service, timer = RawConfigParser(strict=True), RawConfigParser(strict=True)
    for unit in (service, timer):
        unit.optionxform = str  # type: ignore[assignment, method-assign]
    service.read(FILES / "unlearn-batch@.service")
    timer.read(FILES / "unlearn-batch@.timer")
    assert service["Service"]["ExecStart"].split()[-1] == "nightly.sh"
    assert "75" not in service["Service"]["RestartPreventExitStatus"].split()
    assert timer["Timer"]["OnCalendar"] == "*-*-* 02:30"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    names = ["unlearn-batch@srv-unlearn.service", "unlearn-batch@srv-unlearn.timer"]
    for ending in ("service", "timer"):
        shutil.copy(FILES / f"unlearn-batch@.{ending}", tmp_path)
    ran = subprocess.run(["systemd-analyze", "verify", *names], cwd=tmp_path, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
