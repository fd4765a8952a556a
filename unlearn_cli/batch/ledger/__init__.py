"""The ledger: an append-only, hash-chained list of events, and the state that they fold to."""
