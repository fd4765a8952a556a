"""The attacks: a table of names, one function a file. No torch here: the table feeds `--help` and completion."""

TABLE: dict[str, str] = {
    "population": "threshold on the logit margin; regression: on the residual",
}

TIERS: dict[str, tuple[str, ...]] = {"quick": ("population",)}
