"""Which of several processes this is, from the environment variables of torchrun and Slurm scripts. No torch."""

import os
import time

GRACE_SECONDS = 5.0  # time for the first process to print an error that occurs in all processes


def size() -> int:
    """Return the number of processes of this run."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def rank() -> int:
    return int(os.environ["RANK"]) if size() > 1 else 0


def local_rank() -> int:
    """Return the number of this process on its host, which is the number of its device."""
    return int(os.environ.get("LOCAL_RANK", "0")) if size() > 1 else 0


def local_size() -> int:
    """Return the number of processes of this run on this host."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if size() > 1 else 1


def is_first() -> bool:
    """Return whether this is the process that prints and writes."""
    return rank() == 0


def wait_for_other_ends() -> None:
    """Wait before this process, which lost another one, ends: the launcher must see the other one end first."""
    time.sleep(GRACE_SECONDS)


def wait_for_first_end() -> None:
    """Wait before a process other than the first ends with an error: the launcher then ends all processes.

    If this process still runs afterwards, the error has not occurred in the first process.
    """
    if not is_first():
        time.sleep(GRACE_SECONDS)
