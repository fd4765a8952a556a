import json
import subprocess
from pathlib import Path

from tests.tiny import invoke
from unlearn_cli.commands import demo


def test_the_demo_forgets_compares_attacks_and_can_be_run_again_by_its_script(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    result = invoke("demo", "-o", folder)
    assert result.exit_code == 0, result.stderr
    assert len(result.stderr.splitlines()) < 60  # one small table per step
    assert all(f"[{number}/5] {title}" in result.stderr for number, title in enumerate(demo.STEPS, 1))
    assert "3 of 3 gates passed" in result.stdout
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "manifest.yaml",
        "commands.sh",
        "original",
        "reference",
        "noise.safetensors",
        "noise.png",
        "unlearned",
        "attack",
    }
    metrics = json.loads((folder / "unlearned" / "report.json").read_text())["metrics"]
    assert metrics["subject"]["test_forget"]["accuracy"]["value"] <= 0.02
    kept, before = (metrics[role]["test_retain"]["accuracy"]["value"] for role in ("subject", "original"))
    assert kept >= before - 0.03
    script = (folder / "commands.sh").read_text()
    assert script.count("unlearn-cli ") == len(demo.STEPS) + 1
    assert subprocess.run(["sh", "-n", str(folder / "commands.sh")], check=False).returncode == 0
