"""Fault injection: named steps of a batch run at which a test can end the process, as a power failure would."""

import os

VARIABLE = "UNLEARN_CLI_FAULT"
KILLED = 137  # exit code that shells report for a process ended by SIGKILL

# In the order of a run. Between two neighbouring steps at most one change becomes visible to other processes.
STEPS = {
    "migrating": "the chain of an old ledger has its key, in a transaction that is not committed",
    "migrated": "the ledger's chain has its key, the key file has no mark of it",
    "copied": "the initial checkpoint is copied, nothing points to it",
    "opened": "the ledger has its first event",
    "listed": "the requests of the inbox are in the ledger",
    "selected": "the records to forget are resolved and listed in the run's folder",
    "started": "the ledger has the start of the run",
    "unlearned": "the new checkpoint and its report are written",
    "unlearned_noted": "the ledger has their digests",
    "judged": "the gates were judged on the verdict half of the test split",
    "judged_noted": "the ledger has the digests of that report",
    "attacked": "the report of the attack is written",
    "attacked_noted": "the ledger has the digests of that report",
    "attempted": "the ledger has the result of the attempt",
    "evidenced": "the evidence is written",
    "promoting": "the ledger has the announcement of the promotion",
    "moved": "the new version is in its final folder, the pointer names the old version",
    "linked": "the new pointer is written under a temporary name",
    "pointed": "the pointer names the new version, the ledger does not have it yet",
    "recorded": "half of the last transaction is written",
    "promoted": "the ledger has the new version and the result of each request",
    "filed": "the files of ended requests are moved out of the inbox",
    "cleaned": "the lists of records are removed",
    "failed": "the ledger has the failure of the run",
    "rolled_back": "the ledger has the rollback, the pointer still names the later version",
    "pointed_back": "the pointer names the earlier version, the files of requests are not back in the inbox",
    "vacuumed": "the ledger has the list of what is about to be removed",
    "sent": "the version is published, the ledger does not have it yet",
}


def step(name: str) -> None:
    """End the process at once, without cleanup, if the environment variable UNLEARN_CLI_FAULT names this step.

    For tests only: what a killed run leaves behind is the same every time.
    """
    assert name in STEPS, name
    if os.environ.get(VARIABLE) == name:
        os._exit(KILLED)
