"""Deletion batches: requests in, a promoted checkpoint and an audit trail out.

`pipeline` calls the stages of a run in this order:

    setup            reads deletion.yaml and its manifest
    open_batch       takes the lock, opens and checks the ledger
    cleanup          removes what killed runs left
    version_checks   copies the initial checkpoint, checks the current version
    requests         records the requests of the inbox in the ledger
    triage           resolves requests to records (`resolve`), finds requests that cannot be carried out
    run_start        writes the lists of records and the run's manifest, records the start
    attempts         unlearns, judges and attacks with each method in turn
    control_check    if a command refuses its input: finds out whether the requests are the cause
    run_end          writes the evidence and promotes the new version, or records the failure
    cleanup          moves request files, removes lists of records
    publishing       copies the current version to its URL

`run_files` and `versions` have the files, `ledger` the events. Only the stages that run a network import torch.
"""
