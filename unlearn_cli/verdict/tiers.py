"""What each tier tests and does not test: the wording of a verdict in terminal, page and plan. No SciPy."""

TESTED = {
    "quick": (
        "whether simple attacks on the outputs distinguish forgotten from never-seen records, and whether other "
        "records are predicted well"
    ),
    "standard": (
        "whether the outputs on forgotten and never-seen records differ, relative to references; whether a forgotten "
        "class, if any, is still known in other ways (other predictions, relearning); whether other "
        "records are predicted well"
    ),
    "audit": (
        "in addition to the standard tier, whether the recipe leaves traces of single records, over repeated trainings "
        "and unlearnings with randomly drawn records"
    ),
}
NOT_TESTED = {
    "quick": (
        "the difference from a retrained network, and attacks with references or repeated trainings, which detect more"
    ),
    "standard": "attacks that train many networks, which detect single records; copies of the data elsewhere",
    "audit": "attacks that nobody has published yet; copies of the data elsewhere",
}


def describe_tier(tier: str) -> str:
    """Return one sentence on what a tier tested and did not test; empty for an unknown tier."""
    if tier not in TESTED:
        return ""
    return f"Tested ({tier} tier): {TESTED[tier]}. Not tested: {NOT_TESTED[tier]}."
