"""How long a command takes before it does anything. Prints the table in results/startup.md.

python -m benchmarks.engine.startup
"""

import os
import statistics
import subprocess
import sys
import time

from benchmarks.output import write_result

RUNS = 15
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "unlearn-cli --version": ["-m", "unlearn_cli", "--version"],
    "unlearn-cli --help": ["-m", "unlearn_cli", "--help"],
    "unlearn-cli unlearn --help": ["-m", "unlearn_cli", "unlearn", "--help"],
    "unlearn-cli list methods": ["-m", "unlearn_cli", "list", "methods"],
    "completion of --method": ["-m", "unlearn_cli"],
    "unlearn-cli unlearn (a manifest that is not there)": ["-m", "unlearn_cli", "unlearn", "x", "-m", "y", "-o", "z"],
    "python -c 'import torch'": ["-c", "import torch"],
}

COMPLETION = {
    "_UNLEARN_CLI_COMPLETE": "complete_bash",
    "COMP_WORDS": "unlearn-cli unlearn --method ",
    "COMP_CWORD": "3",
}


def main() -> None:
    rows = [
        f"| `{name}` | {median(words, COMPLETION if name.startswith('completion') else {}):.2f} |"
        for name, words in COMMANDS.items()
    ]
    head = f"# Start-up\n\nMedian wall seconds of {RUNS} runs. Command: `python -m benchmarks.engine.startup`.\n"
    table = "\n".join([head, "| command | seconds |", "|---|---|", *rows]) + "\n"
    write_result("startup.md", table)
    print(table)


def median(words: list[str], environment: dict[str, str]) -> float:
    def once() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *words], check=False, capture_output=True, env=os.environ | environment)
        return time.perf_counter() - start

    return statistics.median(once() for _ in range(RUNS))


if __name__ == "__main__":
    main()
