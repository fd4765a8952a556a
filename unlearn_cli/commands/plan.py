"""`--dry-run`: describes a run as text and as data, without doing it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel

from unlearn_cli import console
from unlearn_cli.commands.result import Result
from unlearn_cli.commands.work_estimate import estimate_work
from unlearn_cli.data.dataset import Dataset
from unlearn_cli.data.labels import count_labels
from unlearn_cli.data.notices import describe_notices, format_notices
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.run_inputs import RunInputs, constant_network, remaining_class
from unlearn_cli.plugins.plugin import Plugin


def plan_unlearning(opened: RunInputs, method: Plugin, settings: BaseModel, duplicates: int | None) -> Result:
    """Describe the inputs, settings and amount of work of a method."""
    counts_text, counts = split_counts(opened)
    values = settings.model_dump(mode="json")
    inputs = method.list_inputs(settings)
    read = [name for name in ("forget", "retain") if {name, f"{name}_inputs"} & set(inputs) and name in counts]
    read_counts = {name: counts[name] for name in read}
    work = estimate_work(values, read_counts, opened.common.batch_size, method)
    document = {
        "splits": counts,
        "half": opened.reported.half,
        "method": method.name,
        "inputs": list(inputs),
        "settings": values,
        **work.as_data(),
        "duplicates_in_retain": duplicates,
        "forgotten_unresolved": opened.dataset.unresolved or 0,
        "remaining_class": remaining_class(opened),
        "notices": describe_notices(opened.dataset.notices),
        "images_decoded": opened.dataset.images_decoded,
    }
    text = [
        *([counts_text] if counts_text else []),
        f"inputs of {method.name}: {', '.join(inputs)}",
        f"settings: {', '.join(f'{name}={value}' for name, value in values.items())}",
        f"work: {work.text}",
        *filter(None, [constant_network(opened)]),
    ]
    return Result("\n".join(text), document)


def plan_training(opened: RunInputs, split: str, settings: BaseModel) -> Result:
    """Describe the records, settings and amount of work of `train`."""
    counts_text, counts = split_counts(opened)
    values = settings.model_dump(mode="json")
    work = estimate_work(values, {split: counts[split]}, opened.common.batch_size)
    settings_text = ", ".join(f"{name}={value}" for name, value in values.items())
    return Result(
        "\n".join([counts_text, f"settings: {settings_text}", f"work: {work.text}"]),
        {
            "splits": counts,
            "split": split,
            "settings": values,
            **work.as_data(),
            "notices": describe_notices(opened.dataset.notices),
            "images_decoded": opened.dataset.images_decoded,
        },
    )


def split_counts(opened: RunInputs) -> tuple[str, dict[str, Any]]:
    """Count the records of every split and class, as a table with a row per class, and as data.

    The text below the table has the number of ids in the manifest's `forgotten` that are not in train, and the notices
    of the sources.
    """
    return count_splits(opened.dataset, opened.common.batch_size)


@contextmanager
def show_counts_of_failure(opened: RunInputs) -> Iterator[None]:
    """Show the table of records if the block fails: a dry run describes the selection even if the network is wrong."""
    try:
        yield
    except UserError:
        console.show(split_counts(opened)[0])
        raise


def count_splits(dataset: Dataset, batch_size: int) -> tuple[str, dict[str, Any]]:
    """Do the same as `split_counts` for data whose images have perhaps not been checked."""
    names = dataset.classes or []
    counts = {
        split: {
            "n": len(records),
            "batches": records.count_batches(batch_size),
            "classes": dict(zip(names, count_labels(records.labels, len(names)) if names else [], strict=True)),
        }
        for split, records in dataset.splits.items()
    }
    rows = [
        ["n", *(str(count["n"]) for count in counts.values())],
        *([name, *(str(count["classes"][name]) for count in counts.values())] for name in names),
    ]
    text = console.table("", ["class" if names else "", *counts], rows) if counts else ""
    if dataset.unresolved is not None:
        text += f"\nids of 'forgotten' that are not (or no longer) in train, ignored: {dataset.unresolved}"
    text += "".join(f"\n{line}" for line in format_notices(dataset.notices))
    if dataset.images_decoded is not None:
        text += f"\nimages decoded without an error: all {dataset.images_decoded}"
    return text, counts
