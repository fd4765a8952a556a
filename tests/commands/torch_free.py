"""A process in which torch must never be imported: it checks the cases of bad input that are noticed without torch."""

import gc
import importlib
import json
import os
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

from tests.commands.bad_input_cases import check, run
from unlearn_cli.cli.app import NEW_OBJECTS

ROOT = Path(__file__).parents[2]  # of the repository; `tests.tiny` imports torch


class TorchFreeProcess:
    """Started at the first request; one that failed is replaced, so that the next request is independent of it."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None

    def check_case(self, module: str, number: int, project: Path) -> None:
        """Check a case of a module of tests in a copy of the project."""
        self._request("case", module, number, str(project))

    def run_command(self, command: str) -> None:
        """Run a command line, which must succeed."""
        self._request("command", command)

    def stop(self) -> None:
        if self.process is not None:
            self.process.communicate()
            self.process = None

    def _request(self, *request: object) -> None:
        if self.process is None:
            words = [sys.executable, "-m", "tests.commands.torch_free"]
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(words, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        problem = json.loads(self.process.stdout.readline())
        if problem:
            self.stop()
            raise AssertionError(problem)


def serve() -> None:
    """Answer each request in a line of stdin: with null, or with what went wrong."""
    gc.set_threshold(NEW_OBJECTS)  # as the program does
    actions: dict[str, Callable[..., None]] = {"case": check_case, "command": run_command}
    answers = sys.stdout
    for line in sys.stdin:
        kind, *arguments = json.loads(line)
        problem = None
        try:
            actions[kind](*arguments)
            assert "torch" not in sys.modules, "torch was imported"
        except BaseException:
            problem = traceback.format_exc()
        print(json.dumps(problem), file=answers, flush=True)


def check_case(module: str, number: int, project: str) -> None:
    case = importlib.import_module(f"tests.commands.{module}").CASES[number]
    os.chdir(project)
    sys.path.insert(0, project)  # code of one's own is found in it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # as in the process of the tests
            check(case, Path(project).parent)
    finally:
        sys.path.remove(project)
        os.chdir(ROOT)  # the copy is removed after the test


def run_command(command: str) -> None:
    result = run(command)
    assert result.exit_code == 0, result.output


if __name__ == "__main__":
    serve()
