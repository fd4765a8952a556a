"""Folders in which nothing can be made or which are gone, and pipes in place of files: one line, exit 2, no wait."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import MANIFEST, ROOT, invoke, write_manifest


def test_an_output_where_nothing_can_be_made_is_refused() -> None:
    if not Path("/proc/self").exists():
        pytest.skip("needs /proc")
    result = invoke("demo", "--out", "/proc/x")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: /proc/x: ")
    assert "choose another --out" in result.stderr


def test_a_working_folder_that_was_removed_is_reported(tmp_path: Path) -> None:
    script = (
        "import os, sys; os.chdir(sys.argv[1]); os.rmdir(sys.argv[1])"
        "; sys.argv[1:] = ['convert', 'a.pth', 'b.safetensors']; from unlearn_cli.cli.app import main; main()"
    )
    (tmp_path / "gone").mkdir()
    command = [sys.executable, "-c", script, str(tmp_path / "gone")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 2
    assert result.stderr.splitlines() == ["error: the working directory was removed; change to another"]


@pytest.mark.parametrize(
    "option", ["MODEL", "--config", "--noise", "--reference", "convert", "batch", "data", "ids", "shadows"]
)
def test_a_pipe_in_place_of_a_file_does_not_hang(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("pipe", "pipe.safetensors", "pipe.csv"):
        os.mkfifo(name)
    (tmp_path / "shadows").mkdir()
    os.mkfifo("shadows/plan.json")
    sklearn = "{sklearn: {name: digits, part: train}}"
    (tmp_path / "data.yaml").write_text(MANIFEST.replace(sklearn, "{npz: pipe}"))
    (tmp_path / "ids.yaml").write_text(MANIFEST.replace("{classes: [3]}", "{ids_file: {path: pipe.csv}}"))
    write_manifest(tmp_path)
    unlearn = "unlearn pipe.safetensors -m manifest.yaml --method unsir --out out"
    commands = {
        "MODEL": unlearn, "--config": f"{unlearn} --config pipe", "--noise": f"{unlearn} --noise pipe",
        "--reference": f"{unlearn} --reference pipe.safetensors", "convert": "convert pipe out.safetensors",
        "batch": "batch run pipe", "data": "train -m data.yaml --out out", "ids": "train -m ids.yaml --out out",
        "shadows": "shadow -m manifest.yaml --shadows shadows --cells 0",
    }  # fmt: skip
    result = invoke(*commands[option].split())
    assert result.exit_code == 2
    assert "pipe" in result.stderr.splitlines()[-1]
