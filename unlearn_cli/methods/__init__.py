"""The methods: a table of names, one function a file. No torch here: the table feeds `--help` and completion."""

TABLE: dict[str, str] = {
    "amnesiac": "wrong labels on forget, then repair on retain",
    "bad_teacher": "a random teacher on forget, the original on retain",
    "blindspot": "what a network blind to forget says; no forget labels",
    "emmn": "noise stands in for every class; no data",
    "finetune": "go on training on retain alone (baseline)",
    "fisher": "noise on the weights that retain can spare",
    "gaussian_amnesiac": "drawn labels on forget, then repair on retain",
    "gkt": "a new network learns from generated samples; no data",
    "neggrad": "gradient ascent on forget (and descent on retain)",
    "retrain": "train new random weights on retain alone: the reference",
    "unsir": "error-maximising noise, impair, repair; whole classes only",
}
