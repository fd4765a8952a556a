"""The metrics: a table of names, one function a file. No torch here: the table feeds `--help` and completion."""

TABLE: dict[str, str] = {
    "accuracy": "share of records whose label is the largest output",
    "loss": "mean cross-entropy in nats; regression: mean squared error",
    "mae": "mean absolute error, in the label's unit",
    "r2": "share of the labels' variance that the predictions explain",
    "rmse": "root of the mean squared error, in the label's unit",
}

DEFAULTS: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy", "loss"),
    "regression": ("mae", "rmse", "r2", "loss"),
}
