"""Named steps of a batch run at which a test can end the process, as a power cut would."""

import os

VARIABLE = "UNLEARN_CLI_FAULT"
KILLED = 137  # the exit code that shells give a process ended by SIGKILL

# In the order of a run. Between two neighbours lies at most one thing that another process could see.
STEPS = {
    "migrating": "the chain of an old ledger has its key, in a transaction that is not ended",
    "migrated": "the ledger's chain has its key, the file of the key does not say so",
    "copied": "the initial checkpoint is copied, nothing points to it",
    "opened": "the ledger has its first event",
    "listed": "the requests of the inbox are in the ledger",
    "selected": "the records to forget are resolved and listed in the run's folder",
    "started": "the ledger knows of the run",
    "unlearned": "the new checkpoint and its report are written",
    "unlearned_noted": "the ledger has the digests of that",
    "judged": "the gates were judged on the other half of the hold-out",
    "judged_noted": "the ledger has the digests of that",
    "attacked": "the report of the attack is written",
    "attacked_noted": "the ledger has the digests of that",
    "attempted": "the ledger knows how the attempt went",
    "evidenced": "the evidence is written",
    "promoting": "the ledger knows that the pointer is about to change",
    "moved": "the new version has its place, the pointer names the old one",
    "linked": "the new pointer is written under another name",
    "pointed": "the pointer names the new version, the ledger does not say so",
    "recorded": "half of the last transaction is written",
    "promoted": "the ledger has the new version and what became of each request",
    "filed": "the files of ended requests have left the inbox",
    "cleaned": "the lists of records are removed",
    "failed": "the ledger knows that the run failed",
    "rolled_back": "the ledger knows of a rollback, the pointer does not",
    "pointed_back": "the pointer is rolled back, the files of requests are not back",
    "vacuumed": "the ledger knows what is going to be removed",
    "sent": "the version is published, the ledger does not say so",
}


def step(name: str) -> None:
    """End the process at once, with nothing tidied up, if the environment variable UNLEARN_CLI_FAULT names this step.

    For tests alone: what a killed run leaves behind is thus the same every time.
    """
    assert name in STEPS, name
    if os.environ.get(VARIABLE) == name:
        os._exit(KILLED)
