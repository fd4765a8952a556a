"""Signed statements about what a run did, and their verification."""
