"""`unlearn-cli demo`: run every step on scikit-learn's handwritten digits, with the commands that a user would type."""

import contextlib
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unlearn_cli import console
from unlearn_cli.commands.claiming import claim_output
from unlearn_cli.commands.result import Result
from unlearn_cli.errors import CliError
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.storage import atomic_files

MANIFEST = """\
# The manifest of `unlearn-cli demo`. Change it and run commands.sh again.
version: 1
task: classification
model:
  architecture: allcnn           # a bundled network; another example: torchvision/resnet18
  arguments: {width: 24}
input:                           # how a stored image becomes the network's input
  shape: [1, 8, 8]
  scale: 16                      # these images have values from 0 to 16
  mean: 0.305
  std: 0.376
data:                            # real digits, bundled with scikit-learn; every fifth one is for testing
  train: {sklearn: {name: digits, part: train}}
  test: {sklearn: {name: digits, part: test}}
forget:
  classes: [3]                   # forget every 3
gates:                           # conditions; the exit code is 3 if one does not hold
  - test_forget.accuracy <= 0.02
  - forget.accuracy <= 0.02
  - test_retain.accuracy >= original - 0.03
"""

SCRIPT = """\
#!/bin/sh
# The commands that `unlearn-cli demo` ran in this folder. --overwrite replaces their earlier outputs.
cd "$(dirname "$0")" || exit 1
{commands}
"""

STEPS = {
    "train a network on all digits": "train --manifest manifest.yaml --out original",
    "train the reference: the same, but it never sees a 3": "train --manifest manifest.yaml --split retain "
    "--out reference",
    "learn noise that the network does not recognise as a 3": "noise original/model.safetensors "
    "--manifest manifest.yaml --out noise.safetensors",
    "forget every 3": "unlearn original/model.safetensors --manifest manifest.yaml --method unsir "
    "--noise noise.safetensors --reference reference/model.safetensors --out unlearned",
    "attack all three networks": "attack unlearned/model.safetensors --manifest manifest.yaml "
    "--original original/model.safetensors --reference reference/model.safetensors --out attack",
}


class StepError(CliError):
    """A command of the demo failed; the demo ends with its exit code."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def run(out: Path, run_options: RunOptions, execute: Callable[[list[str]], int]) -> Result:
    """Write the manifest, run the commands in order, and summarize the results; `execute` runs one command line."""
    with claim_output(run_options.overwrite, out):
        return run_with_claim(out, run_options, execute)


def run_with_claim(out: Path, run_options: RunOptions, execute: Callable[[list[str]], int]) -> Result:
    """Run the demo while this process holds the claim on its output."""
    atomic_files.check_output(out, run_options.overwrite)
    flags = ["--device", run_options.device, "--seed", str(run_options.seed)]
    with atomic_files.output_folder(out, overwrite=run_options.overwrite) as folder:
        (folder / "manifest.yaml").write_text(MANIFEST, encoding="utf-8")
        commands = [f"unlearn-cli {step} {shlex.join(flags)} --overwrite" for step in STEPS.values()]
        script = folder / "commands.sh"
        script.write_text(SCRIPT.format(commands="\n".join(commands)), encoding="utf-8")
        script.chmod(0o755)
        flags += ["--quiet"] if console.settings.quiet else []
        flags += ["--log-format", console.settings.log_format]
        with contextlib.chdir(folder):
            for number, (title, step) in enumerate(STEPS.items(), 1):
                console.show(f"\n[{number}/{len(STEPS)}] {title}\n$ unlearn-cli {step}")
                with console.suppress_results():
                    code = execute([*shlex.split(step), *flags])
                if code not in (0, 3, 4):  # the summary shows gates and verdicts
                    raise StepError(code, f"demo: 'unlearn-cli {step}' ended with exit code {code}; nothing was saved")
                console.show(format_step(Path(shlex.split(step)[-1])))
        unlearned = json.loads((folder / "unlearned" / "report.json").read_text(encoding="utf-8"))
        attack = json.loads((folder / "attack" / "report.json").read_text(encoding="utf-8"))
    return Result(
        summary(out, unlearned, attack),
        {"folder": str(out), "unlearned": unlearned, "attack": attack},
        3 if unlearned["verdict"] == "failed" else 0,
    )


def format_step(out: Path) -> str:
    """Return a small table of a step's results."""
    if out.is_file():
        return f"wrote {out}"
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    if report["command"] == "attack":
        verdicts = {"unlearned": report["verdict"], **report["judgement"]["calibration"]}
        return console.table("", ["network", "verdict"], [[role, verdict] for role, verdict in verdicts.items()])
    if report["gates"]:
        gates = [[gate["condition"], f"{gate['value']['value']:.3f}", gate["verdict"]] for gate in report["gates"]]
        return console.table("", ["gate", "value", "verdict"], gates)
    measured = report["metrics"]["subject"].items()
    rows = [[split, _format_percent(metrics["accuracy"])] for split, metrics in measured if "accuracy" in metrics]
    return console.table("", ["split", "accuracy"], rows)


def summary(out: Path, unlearned: dict[str, Any], attack: dict[str, Any]) -> str:
    """Summarize the results, and list the files to open next."""
    roles = {"original": "original", "subject": "unlearned", "reference": "reference (never saw a 3)"}
    splits = {
        "test_forget": "test images of 3",
        "test_retain": "test images of the others",
        "forget": "training images of 3",
    }
    measured = unlearned["metrics"]
    rows = [
        [
            f"accuracy on {name} (n = {measured['subject'][split]['accuracy']['n']})",
            *(_format_percent(measured[role][split]["accuracy"]) for role in roles),
        ]
        for split, name in splits.items()
    ]
    auc = {block["role"]: block["auc"] for block in attack["attacks"] if block["name"] == "population"}
    rows.append(["attack: AUC, 0.5 is chance", *(_format_interval(auc[role]) for role in roles)])
    verdicts = {"subject": attack["verdict"], **attack["judgement"]["calibration"]}
    rows.append(["verdict of the quick tier", *(verdicts[role].replace("_", " ") for role in roles)])
    next_steps = {
        f"{out}/unlearned/report.html": "the report, for a browser",
        f"{out}/attack/report.html": "the results of the attacks",
        f"{out}/noise.png": "the learned noise",
        f"{out}/manifest.yaml": f"change 'forget', then run {out}/commands.sh again",
        "unlearn-cli unlearn --help": "how to unlearn your own checkpoint",
    }
    width = max(map(len, next_steps))
    passed = sum(gate["verdict"] == "passed" for gate in unlearned["gates"])
    return "\n".join(
        [
            console.table("", ["", *roles.values()], rows),
            "",
            f"{passed} of {len(unlearned['gates'])} gates passed; intervals are 95 %. The records are too few to show",
            "that an attack finds nothing: a verdict that is not 'failed' is inconclusive, also for the reference.",
            "",
            "Next:",
            *(f"  {path:<{width}}   {text}" for path, text in next_steps.items()),
        ]
    )


def _format_interval(auc: dict[str, Any]) -> str:
    return f"{auc['value']:.2f} [{auc['low']:.2f}, {auc['high']:.2f}]"


def _format_percent(estimate: dict[str, Any]) -> str:
    return f"{100 * estimate['value']:.1f} % [{100 * estimate['low']:.1f}, {100 * estimate['high']:.1f}]"
