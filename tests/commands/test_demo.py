"""The demo: a story that is decided, in at most 40 lines of 80 characters; its script can be run again."""

import contextlib
import subprocess
from pathlib import Path

import pytest

from tests.shared import make_once
from tests.tiny import invoke
from unlearn_cli.commands import demo
from unlearn_cli.commands.demo_text import format_summary
from unlearn_cli.reporting.report import Report
from unlearn_cli.verdict.judgement import Judgement


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's output, with what it printed next to it."""

    def fill(runs: Path) -> None:
        with contextlib.chdir(runs):
            result = invoke("demo")
        assert result.exit_code == 0, result.stderr
        (runs / "stdout").write_text(result.stdout, encoding="utf-8")
        (runs / "stderr").write_text(result.stderr, encoding="utf-8")

    return make_once(tmp_path_factory, "demo", fill) / "unlearn-demo"


def read(folder: Path, name: str) -> Report:
    return Report.model_validate_json((folder / name / "report.json").read_text(encoding="utf-8"))


def test_the_original_fails_and_the_unlearned_network_and_the_reference_pass(folder: Path) -> None:
    attack = read(folder, "attack")
    assert attack.judgement is not None
    assert (attack.verdict, attack.judgement.calibration) == (
        "passed_screen",
        {"original": "failed", "reference": "passed"},
    )
    assert attack.judgement.auc_margin == 0.1
    unlearned = read(folder, "unlearned")
    assert [gate.verdict for gate in unlearned.gates] == ["passed"] * 3


def test_the_output_is_short_and_names_the_verdicts(folder: Path) -> None:
    printed = "".join((folder.parent / name).read_text(encoding="utf-8") for name in ("stderr", "stdout"))
    lines = printed.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert all(f"[{number}/5] {title}" in lines for number, title in enumerate(demo.STEPS, 1))
    rows = [line.split() for line in lines[lines.index("What did it cost?") :]]
    verdicts = {row[0]: row[-1] for row in rows if row and row[0] in ("original", "unlearned", "reference")}
    assert verdicts == {"original": "failed", "unlearned": "passed", "reference": "passed"}
    text = " ".join(printed.split())
    assert "Yes, as far as a screen can show" in text and "The network no longer recognises 1, 3, 5, 7 and 9" in text
    assert "The margin of the AUC is 0.1: too few images for 0.05 (a power below 80 %)." in text


def test_an_undecided_verdict_is_shown_as_such(folder: Path) -> None:
    judgement = Judgement(tier="quick", calibration={"original": "failed", "reference": "inconclusive"})
    attack = read(folder, "attack").model_copy(update={"verdict": "inconclusive", "judgement": judgement})
    text = format_summary(Path("unlearn-demo"), read(folder, "unlearned"), attack)
    assert text.count("undecided") == 2 and "The margin of" not in text
    assert "Not decided: " in text and "Yes" not in text


def test_all_files_are_written_and_the_script_repeats_the_commands(folder: Path) -> None:
    names = {path.name for path in folder.glob("[!.]*")}
    files = {"manifest.yaml", "commands.sh", "noise.safetensors", "noise.png"}
    assert names == {*files, "original", "reference", "unlearned", "attack"}
    script = (folder / "commands.sh").read_text()
    assert script.count("unlearn-cli ") == len(demo.STEPS) + 1
    assert subprocess.run(["sh", "-n", str(folder / "commands.sh")], check=False).returncode == 0


def test_long_commands_continue_after_a_backslash() -> None:
    for step in demo.STEPS.values():
        lines = demo.wrap_command(f"$ unlearn-cli {step}").splitlines()
        assert all(len(line) <= 80 for line in lines)
        assert " ".join("\n".join(lines).replace(" \\\n", " ").split()) == f"$ unlearn-cli {step}"
