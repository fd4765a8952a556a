"""The methods: a table of names, one function a file. No torch here: the table feeds `--help` and completion."""

TABLE: dict[str, str] = {
    "finetune": "go on training on retain alone (baseline)",
    "retrain": "train from new random weights on retain alone: the reference (baseline)",
    "unsir": "error-maximising noise, then impair and repair; whole classes, never sees forget (UNSIR)",
}
