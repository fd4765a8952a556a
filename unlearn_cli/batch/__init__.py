"""Deletion batches: requests in, a new version of the model out, and a record of both that others can check."""
