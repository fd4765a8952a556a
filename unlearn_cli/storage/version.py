"""The version of this tool, which is also written into checkpoints and reports."""

VERSION = "0.1.0"
