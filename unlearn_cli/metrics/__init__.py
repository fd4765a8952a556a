"""The metrics: a table of names, one function a file. No torch here: the table feeds `--help` and completion."""

TABLE: dict[str, str] = {
    "accuracy": "share of records whose label is the largest output",
    "activation_distance": "mean L2 between softmax and the reference's",
    "agreement": "share of records named as by the reference",
    "anamnesis_index": "relearn time beside the reference's; 1: like it",
    "average_gap": "mean gap of accuracies and attack to the reference's",
    "buffer_distance": "how far batch-norm statistics moved from the original's",
    "calibration_error": "confidence against how often it is right (ECE)",
    "js_divergence": "Jensen-Shannon divergence from the reference, in bits",
    "kl_divergence": "KL(reference || model), in nats",
    "loss": "mean cross-entropy in nats; regression: mean squared error",
    "mae": "mean absolute error, in the label's unit",
    "mean_absolute_difference": "mean distance from the reference's predictions",
    "r2": "share of the labels' variance that the predictions explain",
    "relearn_time": "steps of training until forget is known again",
    "rmse": "root of the mean squared error, in the label's unit",
    "run_time_efficiency": "time of unlearning as a share of retraining",
    "sample_efficiency": "samples of unlearning as a share of retraining",
    "tug_of_war": "closeness of three accuracies to the reference's; 1: same",
    "wasserstein": "W1 between outputs and the reference's",
    "weight_distance": "how far the weights moved from the original's",
    "zrf": "likeness to networks of random weights on forget",
}

# Those computed unless others are asked for, as far as their inputs are there: none trains a network.
_WHOLE = ("weight_distance", "buffer_distance", "run_time_efficiency", "sample_efficiency")
DEFAULTS: dict[str, tuple[str, ...]] = {
    "classification": (
        "accuracy",
        "loss",
        "calibration_error",
        "js_divergence",
        "kl_divergence",
        "activation_distance",
        "agreement",
        "wasserstein",
        "tug_of_war",
        "average_gap",
        *_WHOLE,
    ),
    "regression": ("mae", "rmse", "r2", "loss", "wasserstein", "mean_absolute_difference", *_WHOLE),
}

# All that are defined for a task.
_TRAINED = ("relearn_time", "anamnesis_index")
ALLOWED: dict[str, tuple[str, ...]] = {
    "classification": (*DEFAULTS["classification"], "zrf", *_TRAINED),
    "regression": (*DEFAULTS["regression"], *_TRAINED),
}

# Of the whole network, under the split 'model'; and distances to a reference, for which there is a noise floor.
WHOLE = (*_WHOLE, *_TRAINED, "tug_of_war", "average_gap")
DISTANCES = (
    "js_divergence",
    "kl_divergence",
    "activation_distance",
    "wasserstein",
    "mean_absolute_difference",
    "average_gap",
)
