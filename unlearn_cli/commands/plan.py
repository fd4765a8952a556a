"""`--dry-run`: what would be done, counted before torch is imported."""

from typing import Any

from pydantic import BaseModel

from unlearn_cli import console
from unlearn_cli.commands.result import Result
from unlearn_cli.data.notices import as_data, as_lines
from unlearn_cli.evaluation.inputs import Opened, constant_network, remaining_class
from unlearn_cli.plugins.plugin import Plugin


def plan(opened: Opened, method: Plugin, settings: BaseModel, duplicates: int | None) -> Result:
    """Say what the method would get and how much it would work on, and stop."""
    counts_text, counts = split_counts(opened)
    values = settings.model_dump(mode="json")
    used = [name for name in ("forget", "retain") if {name, f"{name}_inputs"} & set(method.needs) and name in counts]
    work_text, work = estimated_work(values, {name: counts[name]["n"] for name in used}, opened.common.batch_size)
    document = {
        "splits": counts,
        "method": method.name,
        "inputs": list(method.needs),
        "settings": values,
        **work,
        "duplicates_in_retain": duplicates,
        "forgotten_unresolved": opened.dataset.unresolved,
        "remaining_class": remaining_class(opened),
        "notices": as_data(opened.dataset.notices),
        "images_decoded": opened.dataset.images_decoded,
    }
    text = [
        *([counts_text] if counts_text else []),
        f"{method.name} gets: {', '.join(method.needs)}",
        f"settings: {', '.join(f'{name}={value}' for name, value in values.items())}",
        f"work: {work_text}",
        *filter(None, [constant_network(opened)]),
    ]
    return Result("\n".join(text), document)


def estimated_work(values: dict[str, Any], used: dict[str, int], batch_size: int) -> tuple[str, dict[str, int]]:
    """Estimate from the settings how many samples go forward and backward, in words and as data.

    Epochs bound the work. Steps are the least of it: a method may take them several times, and chooses those that are
    not given, one at least. Those that learn noise do not count: they go over noise, not over records.
    """
    records, of = sum(used.values()), " and ".join(used)
    if not used:
        return "on noise or generated samples alone, no record of the data", {}
    epochs = sum(value for name, value in values.items() if name.endswith("epochs"))
    steps = {
        name: value
        for name, value in values.items()
        if (name.endswith("_steps") and not name.startswith("noise")) or (name == "steps" and value is not None)
    }
    if "steps" in steps:  # instead of epochs
        epochs = 0
    if steps:
        num_steps = sum(1 if value is None else value for value in steps.values())
        samples = epochs * records + num_steps * min(batch_size, records)
        open_ended = [name for name, value in steps.items() if value is None]
        more = f", and {' and '.join(open_ended)} that the method chooses" if open_ended else ""
        what = f"at least about {samples} samples of {of} forward and backward{more}"
        return what, {"samples_forward_and_backward_about": samples}
    if not epochs:
        taken = min(records, values.get("max_records", records))
        return f"{taken} records of {of}, once or once a class", {"samples_forward_and_backward_about": taken}
    samples = epochs * records
    return f"at most {epochs} epochs over {records} records of {of}", {"samples_forward_and_backward_at_most": samples}


def split_counts(opened: Opened) -> tuple[str, dict[str, Any]]:
    """Count the records of every split and class, as a table with a row for each class, and as data.

    Below the table stands how many of the ids that the manifest's `forgotten` lists are no records of train, and what
    the sources leave out or change.
    """
    dataset, names = opened.dataset, opened.dataset.classes or []
    counts = {
        split: {
            "n": len(records),
            "batches": records.num_batches(opened.common.batch_size),
            "classes": {name: int((records.labels == number).sum()) for number, name in enumerate(names)},
        }
        for split, records in dataset.splits.items()
    }
    rows = [
        ["n", *(str(count["n"]) for count in counts.values())],
        *([name, *(str(count["classes"][name]) for count in counts.values())] for name in names),
    ]
    text = console.table("", ["class" if names else "", *counts], rows) if counts else ""
    if opened.manifest.forgotten:
        text += f"\nids of 'forgotten' that are no records of train (any more), ignored: {dataset.unresolved}"
    text += "".join(f"\n{line}" for line in as_lines(dataset.notices))
    if dataset.images_decoded is not None:
        text += f"\nimages decoded without an error: all {dataset.images_decoded}"
    return text, counts
