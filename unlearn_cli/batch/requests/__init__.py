"""Deletion requests: reading, checking and filing them."""
