"""The commands: one straight-line program per command."""
