"""The ledger: an append-only, hash-chained list of events in one SQLite file, and the state that follows from them.

`store` reads and appends events, `ledger_schema` has the tables, `events` the models of the bodies, `chain` the hashes,
`keyed` the key and the digests made with it, `clock` the times. `ledger_state.fold` computes the state from the events.
`fault` names the steps at which tests kill a run.
"""
