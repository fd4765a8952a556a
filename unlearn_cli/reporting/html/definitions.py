"""One line per term on the page: splits, metrics and attacks."""

from unlearn_cli.plugins import discovery
from unlearn_cli.schema.literals import Half

SPLITS = {
    "forget": "training records to forget",
    "retain": "training records to keep",
    "test_forget": "never-seen records like those to forget",
    "test_retain": "never-seen records like those to keep",
    "validation": "never-seen records that only methods read",
    "held_out": "the never-seen records that the method received",
    "forgotten": "records that earlier runs forgot",
    "test": "all never-seen records",
    "train": "all training records",
    "model": "the whole network",
}


TERMS = {
    "original": "the network before unlearning, which was trained on the records to forget",
    "unlearned": "the network after unlearning, which this report judges",
    "reference": "a network that was trained without the records to forget: what unlearning should arrive at",
    "never-seen records, hold-out": "records that no network was trained on; forgotten records should look like them",
    "gate": "a condition on a number; it passes, fails, or is not decided if there is too little data",
    "AUC": "how well an attack separates two kinds of records: 0.5 is guessing, 1 or 0 is perfect separation",
    "TPR at FPR 1%": "the share of forgotten records that an attack finds while it mistakes 1 % of the never-seen ones",
    "tier, screen": "quick, standard and audit: how strong the attacks are; a screen is a pass that shows less",
    "n, 95 % interval": "the number of records, and the range that other records of the same kind would give",
}


def define_plugin(name: str) -> str:
    """Return the summary of a metric or attack; '' for one outside of the package."""
    return {**discovery.summaries("attacks"), **discovery.summaries("metrics")}.get(name, "")


def define_split(name: str, half: Half = "all") -> str:
    """Return the definition of a split; `half` of test is reported."""
    of_half = f", of the {half} half of test" if half != "all" and name.startswith("test") else ""
    return f"{SPLITS[name]}{of_half}" if name in SPLITS else ""
