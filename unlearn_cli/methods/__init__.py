"""The methods: a table of names, one function a file. No torch here: the table feeds `--help` and completion."""

TABLE: dict[str, str] = {
    "finetune": "go on training on retain alone (baseline)",
    "retrain": "train new random weights on retain alone: the reference",
    "unsir": "error-maximising noise, impair, repair; whole classes only",
}
