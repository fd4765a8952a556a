"""Command lines in processes of their own, forked from the one that runs the tests: torch is imported already.

For what needs a process: signals, exit codes, several ranks. A few tests start a new interpreter in the same way as
users do; the others would spend most of their time on imports. What commands import late is therefore imported here.
"""

import gc
import logging
import os
import signal
import socket
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import scipy.stats  # noqa: F401
import torch
from torch.distributed import run as torchrun
from torch.distributed.launcher import api

from unlearn_cli.cli.app import main

torch.optim.Adam([torch.zeros(1)])  # the first optimizer of a process imports torch's compiler, which takes a second
BROKEN = 99  # the exit code of a child that raised what the command line does not turn into one of its own


@dataclass(frozen=True)
class Finished:
    """How a command line ended: its exit code (of one ended by a signal: minus the signal), and what it printed."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Started:
    """A command line at work in a child process, which writes into the files `out` and `err` of the folder."""

    pid: int
    folder: tempfile.TemporaryDirectory[str]

    def read(self, name: str) -> str:
        return Path(self.folder.name, name).read_text(encoding="utf-8")

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)

    def is_running(self) -> bool:
        """Say whether the process has not ended; it is still to be waited for."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def wait(self) -> Finished:
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        with self.folder:
            return Finished(code, self.read("out"), self.read("err"))


def start(*words: object, environment: Mapping[str, str] | None = None) -> Started:
    """Start a command line in a child process, with more variables in its environment."""
    return start_function(lambda: run([str(word) for word in words]), environment)


def start_with_launcher(*words: object) -> Started:
    """Start a command line in a child process, whose `--nproc` starts forks of it instead of new interpreters."""

    def work() -> int:
        api.elastic_launch = ForkingLauncher
        return run([str(word) for word in words])

    return start_function(work)


def start_with_torchrun(options: Sequence[str], *words: object) -> Started:
    """Start a command line as torchrun with these options does, in forks instead of new interpreters."""

    def work() -> int:
        torchrun.__dict__["elastic_launch"] = ForkingLauncher
        torchrun.main([*options, "-m", "unlearn_cli", *map(str, words)])
        return 0

    return start_function(work)


class ForkingLauncher(api.elastic_launch):
    """Torch's launcher, which runs this program in forks instead of new interpreters with `-m unlearn_cli`."""

    def __init__(self, config: api.LaunchConfig, entrypoint: str) -> None:
        assert entrypoint == sys.executable
        logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # which new interpreters do not use
        super().__init__(replace(config, start_method="fork"), run_as_rank)

    def __call__(self, *words: str) -> Any:
        *options, module = words[: words.index("unlearn_cli") + 1]
        assert (options[-1], module) == ("-m", "unlearn_cli")
        return super().__call__(*words[len(options) + 1 :])


def run_as_rank(*words: str) -> None:
    """Run the command line; end as the program does if it fails. The launcher's handlers of signals are left behind."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    end_at_once = os._exit
    os.__dict__["_exit"] = sys.exit  # with which the program ends; the launcher waits for a function that returns
    try:
        code = run(list(words))
    finally:
        os.__dict__["_exit"] = end_at_once
    if code:
        sys.exit(code)


def start_function(function: Callable[[], int], environment: Mapping[str, str] | None = None) -> Started:
    """Call a function, which returns an exit code, in a child process."""
    folder = tempfile.TemporaryDirectory()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of libraries, which the child does not use
        pid = os.fork()
    if pid == 0:
        code = BROKEN
        try:
            gc.freeze()  # garbage of the parent, such as a DuckDB connection, whose threads do not exist here
            tempfile.tempdir = folder.name  # torch's launcher leaves empty folders
            os.environ.update({"TMPDIR": folder.name, **(environment or {})})
            redirect(Path(folder.name))
            code = function()
        except BaseException:  # a child must never go on as a second test session
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return Started(pid, folder)


def exit_code_of_fork(function: Callable[[], int]) -> int:
    """Call a function in a child process and return its exit code; of a child that was killed, less than 0."""
    return start_function(function).wait().exit_code


def start_ranks(function: Callable[[], int], *, hosts: int = 1) -> list[Started]:
    """Call a function in two processes, of one host or of two, that find each other as if torchrun had started them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": str(2 // hosts), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    local_ranks = ("0", "1") if hosts == 1 else ("0", "0")
    variables = [{**common, "RANK": str(rank), "LOCAL_RANK": local_ranks[rank]} for rank in range(2)]
    return [start_function(function, environment) for environment in variables]


def run_ranks(*words: object, hosts: int = 1) -> list[Finished]:
    """Run a command line in two processes, of one host or of two."""
    return [process.wait() for process in start_ranks(lambda: run([str(word) for word in words]), hosts=hosts)]


def redirect(folder: Path) -> None:
    """Write what this process prints from here on into two files."""
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT, 0o600), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))


def run(words: list[str]) -> int:
    """Run the command line as the program does; return its exit code."""
    sys.argv = ["unlearn-cli", *words]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
