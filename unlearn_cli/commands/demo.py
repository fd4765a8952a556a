"""`unlearn-cli demo`: run every step on scikit-learn's handwritten digits, with the commands that a user would type."""

import contextlib
import shlex
import textwrap
from collections.abc import Callable
from pathlib import Path

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
data:                            # 1,797 real digits, bundled with scikit-learn; every second one is for testing
  train: {sklearn: {name: digits, part: all}, rows: {not_every: 2}}
  test: {sklearn: {name: digits, part: all}, rows: {every: 2}}
forget:
  classes: [1, 3, 5, 7, 9]       # forget the odd digits
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

WIDTH = 80  # of the shown commands
STEPS = {
    "train a network on all digits": "train -m manifest.yaml --out original",
    "train the reference, which never sees an odd digit": "train -m manifest.yaml --split retain --out reference",
    "learn noise that the network does not recognise": "noise original -m manifest.yaml --out noise.safetensors",
    "forget the odd digits": "unlearn original -m manifest.yaml --method unsir --noise noise.safetensors "
    "--reference reference --out unlearned",
    # nothing was chosen on test, so all of it may judge; the summary explains the margin
    "attack all three networks": "attack unlearned -m manifest.yaml --original original --reference reference "
    "--half all --margin 0.1 --out attack",
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
    from unlearn_cli.commands.demo_text import format_summary  # SciPy
    from unlearn_cli.reporting.report import Report

    atomic_files.check_output(out, run_options.overwrite)
    flags = ["--device", run_options.device, "--seed", str(run_options.seed)]
    with atomic_files.output_folder(out, overwrite=run_options.overwrite) as folder:
        write_inputs(folder, flags)
        flags += ["--quiet"] if console.settings.quiet else []
        flags += ["--log-format", console.settings.log_format]
        with contextlib.chdir(folder):
            codes = [run_step(number, flags, execute) for number in range(len(STEPS))]
        texts = [(folder / name / "report.json").read_text(encoding="utf-8") for name in ("unlearned", "attack")]
    unlearned, attack = map(Report.model_validate_json, texts)
    documents = {"unlearned": unlearned.model_dump(mode="json"), "attack": attack.model_dump(mode="json")}
    code = 3 if 3 in codes else max(codes)  # a failed gate is more serious than an undecided one
    return Result(format_summary(out, unlearned, attack), {"folder": str(out), **documents}, code)


def write_inputs(folder: Path, flags: list[str]) -> None:
    """Write the manifest, and the script that runs the same commands."""
    (folder / "manifest.yaml").write_text(MANIFEST, encoding="utf-8")
    commands = [f"unlearn-cli {step} {shlex.join(flags)} --overwrite" for step in STEPS.values()]
    script = folder / "commands.sh"
    script.write_text(SCRIPT.format(commands="\n".join(commands)), encoding="utf-8")
    script.chmod(0o755)


def run_step(number: int, flags: list[str], execute: Callable[[list[str]], int]) -> int:
    """Show and run one command; return its exit code.

    Raises:
        StepError: it ended with an error; failed gates and undecided verdicts are results.
    """
    title, step = list(STEPS.items())[number]
    console.show(f"[{number + 1}/{len(STEPS)}] {title}\n{wrap_command(f'$ unlearn-cli {step}')}")
    with console.suppress_results():
        code = execute([*shlex.split(step), *flags])
    if code not in (0, 3, 4):
        raise StepError(code, f"demo: 'unlearn-cli {step}' ended with exit code {code}; nothing was saved")
    return code


def wrap_command(command: str) -> str:
    """Continue a long command line on the next line, as a shell does after a backslash."""
    lines = textwrap.wrap(command, WIDTH - 2, subsequent_indent="    ", break_on_hyphens=False)
    return " \\\n".join(lines)
