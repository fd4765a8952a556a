"""`--dry-run`: what would be done, counted before torch is imported."""

from typing import Any

from pydantic import BaseModel

from unlearn_cli import console
from unlearn_cli.commands import Result
from unlearn_cli.commands.inputs import Opened
from unlearn_cli.plugin import Plugin


def plan(opened: Opened, method: Plugin, settings: BaseModel, duplicates: int | None) -> Result:
    """Say what the method would get and how much it would work on, and stop."""
    counts_text, counts = split_counts(opened)
    values = settings.model_dump(mode="json")
    epochs = sum(value for name, value in values.items() if name.endswith("epochs"))
    used = [name for name in ("forget", "retain") if {name, f"{name}_inputs"} & set(method.needs) and name in counts]
    records = sum(counts[name]["n"] for name in used)
    document = {
        "splits": counts, "method": method.name, "inputs": list(method.needs), "settings": values,
        "samples_forward_and_backward_at_most": epochs * records, "duplicates_in_retain": duplicates,
    }  # fmt: skip
    text = [
        *([counts_text] if counts_text else []),
        f"{method.name} gets: {', '.join(method.needs)}",
        f"settings: {', '.join(f'{name}={value}' for name, value in values.items())}",
        f"work: at most {epochs} epochs over {records} records of {' and '.join(used) or 'no split'}",
    ]
    return Result("\n".join(text), document)


def split_counts(opened: Opened) -> tuple[str, dict[str, Any]]:
    """Count the records of every split and class, as a table and as data."""
    dataset, batch_size = opened.dataset, opened.common.batch_size
    names = dataset.classes or []
    counts = {
        split: {
            "n": len(records), "batches": -(-len(records) // batch_size),
            "classes": {name: int((records.labels == number).sum()) for number, name in enumerate(names)},
        }
        for split, records in dataset.splits.items()
    }  # fmt: skip
    rows = [[split, str(count["n"]), *map(str, count["classes"].values())] for split, count in counts.items()]
    return (console.table("", ["split", "n", *names], rows) if rows else ""), counts
