"""`--nproc N`: runs the same command in N processes on this machine, with torch's launcher.

torchrun itself is not used, because it turns every exit code of a process into 1.
"""

import logging
import os
import signal
import stat
import sys
import uuid
from collections.abc import Sequence

from unlearn_cli import console
from unlearn_cli.errors import UserError

SIGNALLED = 128  # shells add this to the number of the signal that ended a process


def launch(nproc: int, arguments: Sequence[str]) -> int:
    """Run the command in `nproc` processes; return the exit code of the first one that failed, or 0."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the processes print their errors
    threads = max(1, len(os.sched_getaffinity(0)) // nproc) if hasattr(os, "sched_getaffinity") else 1
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # by default every process would use all cores
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=nproc,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.1,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "unlearn_cli", *remove_nproc(arguments))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode >= 0:
            return failure.exitcode  # the process has printed its error
        code = SIGNALLED - failure.exitcode
        console.error(f"process {rank} was ended by signal {-failure.exitcode}; the run is over", code)
        return code
    except SignalException as error:
        return 75 if error.sigval in (signal.SIGTERM, signal.SIGINT) else SIGNALLED + error.sigval
    return 0


def refuse_pipes(arguments: Sequence[str]) -> None:
    """Refuse a pipe such as a shell's `-m <(command)`: only the first process could read it.

    Raises:
        UserError: an argument, or its part after '=', is the path of a pipe.
    """
    for path in (argument.partition("=")[2] or argument for argument in arguments):
        if _is_pipe(path):
            raise UserError(f"{path}: is a pipe, which only one of several processes can read; save it in a file")


def _is_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):  # not a path
        return False


def remove_nproc(arguments: Sequence[str]) -> list[str]:
    """Return the arguments without `--nproc N` and `--nproc=N`: the started processes must not start others."""
    remaining: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--nproc":
            next(rest, None)
        elif not argument.startswith("--nproc="):
            remaining.append(argument)
    return remaining
