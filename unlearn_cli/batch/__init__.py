"""Deletion batches: requests in, a promoted checkpoint and an audit trail out. Torch comes in only when needed."""
