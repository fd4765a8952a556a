"""The attacks: a table of names, one function a file. No torch here: the table feeds `--help` and completion."""

TABLE: dict[str, str] = {
    "canaries": "U-LiRA on wrong labels; lower bounds on epsilon",
    "class_geometry": "where the forgotten class goes among the others",
    "difference": "what changed since the original; a warning alone",
    "forgetting_score": "competition score beside retraining's own",
    "inversion": "reconstruct a forgotten class from the weights",
    "label_inference": "which class was forgotten, without a record",
    "learned_loss": "logistic regression on the loss, on held-out records",
    "linear_probe": "do the features still tell the forgotten class?",
    "lira": "one-sided likelihood attack over shadow runs",
    "population": "threshold on the logit margin; regression: on the residual",
    "quantile": "quantile regression on never-seen records",
    "relearn": "how fast the forgotten is learned again",
    "retained": "U-LiRA on records that stay: does unlearning expose them?",
    "retrain_z": "z-test against retrained references",
    "rmia": "likelihood ratio to references, against never-seen ones",
    "sanity": "are the outputs constant or broken?",
    "svc_entropy": "legacy: SVC on the entropy (bad teacher, zero-shot)",
    "svc_l1": "legacy: SVC on the absolute error (regression)",
    "ulira": "likelihood ratios over shadow runs, record by record",
}

# The threshold attack on every statistic; the verdict reads the first alone, for the best of six finds noise.
POPULATION = (
    "population",
    *(f"population:statistic={name}" for name in ("correctness", "entropy", "modified_entropy", "confidence", "loss")),
)
QUICK = ("sanity", *POPULATION, "learned_loss", "difference")
STANDARD = ("retrain_z", "rmia", "quantile", "relearn", "linear_probe", "class_geometry", "label_inference")
AUDIT = ("lira", "ulira", "retained", "canaries", "forgetting_score")

# name -> what is run, cheapest first; an entry may fix settings: name:setting=value
TIERS: dict[str, tuple[str, ...]] = {
    "quick": QUICK,
    "standard": (*QUICK, *STANDARD),
    "audit": (*QUICK, *STANDARD, *AUDIT),
}
