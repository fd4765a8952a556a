"""Signed statements on what a run did, and their verification."""
