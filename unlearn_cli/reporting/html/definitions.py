"""One line per term on the page: splits, metrics and attacks."""

from unlearn_cli.plugins import discovery

SPLITS = {
    "forget": "training records to forget",
    "retain": "training records to keep",
    "test_forget": "never-seen records like those to forget",
    "test_retain": "never-seen records like those to keep",
    "forgotten": "records that earlier runs forgot",
    "test": "all never-seen records",
    "train": "all training records",
    "model": "the whole network",
}


def define_plugin(name: str) -> str:
    """Return the summary of a metric or attack; '' for one outside of the package."""
    return {**discovery.summaries("attacks"), **discovery.summaries("metrics")}.get(name, "")


def define_split(name: str) -> str:
    return SPLITS.get(name, "")
