"""Deletion batches: requests in, a promoted checkpoint and an audit trail out. A night without requests needs no torch."""
