"""The version that is shown, and written into checkpoints and reports."""

VERSION = "0.1.0"
