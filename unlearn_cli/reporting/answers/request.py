"""Answers 'What was asked?'."""

from unlearn_cli.reporting.answers.numbers import count_records, format_count, name_forgotten
from unlearn_cli.reporting.report import Report


def describe_request(document: Report) -> str:
    """Return one sentence on the command, the selected records and the method or tier."""
    describe = {"train": _describe_training, "unlearn": _describe_unlearning, "attack": _describe_attack}
    return describe.get(document.command, _describe_evaluation)(document)


def _describe_training(document: Report) -> str:
    split = document.inputs[0] if document.inputs else "train"
    number = format_count(count_records(document, split), "record")
    is_tuned = document.subject is not None and "parent" in document.subject.lineage
    verb = "Continue the training of a network" if is_tuned else "Train a network"
    if split != "retain":
        return f"{verb} ({document.manifest.architecture}) on {split}: {number}."
    without = f"{number} without {name_forgotten(document)}"
    purpose = "" if is_tuned else " The result is a reference: it never saw them."
    return f"{verb} ({document.manifest.architecture}) on retain: {without}.{purpose}"


def _describe_unlearning(document: Report) -> str:
    by = f" with the method {document.method}" if document.method else ""
    return f"Make the network forget {_name_with_counts(document)}{by}."


def _describe_attack(document: Report) -> str:
    tier = f" ({document.judgement.tier} tier)" if document.judgement else ""
    return (
        f"Test whether the forgotten records, {_name_with_counts(document)}, can be distinguished from never-seen "
        f"ones by the network's outputs{tier}."
    )


def _describe_evaluation(document: Report) -> str:
    if "forget" not in document.manifest.splits:
        return "Measure the network; the manifest selects nothing to forget."
    return f"Measure whether the network has forgotten {_name_with_counts(document)}."


def _name_with_counts(document: Report) -> str:
    """Return 'the class 3 (135 of 1,437 training records)'."""
    forget, train = count_records(document, "forget"), count_records(document, "train")
    of = f" of {train:,}" if train else ""
    if document.manifest.forget_classes:
        return f"{name_forgotten(document)} ({forget:,}{of} training records)"
    return f"{forget:,}{of} training records" if train else name_forgotten(document)
