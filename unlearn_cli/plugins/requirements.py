"""The inputs of plug-ins: which kinds may have each, what the manifest must provide, and its meaning.

`evaluation.plugin_inputs` makes them; a test checks that both tables have the same names.
"""

from typing import NamedTuple


class Requirement(NamedTuple):
    """One input of plug-ins."""

    kinds: str  # the kinds of plug-ins that may have it: methods, metrics, attacks
    sections: str  # of the manifest ('a/b': one of them), or of options: original, reference, cost, shadows; '': none
    meaning: str


ALL, MEASURES = "methods metrics attacks", "metrics attacks"
REQUIREMENTS: dict[str, Requirement] = {
    name: Requirement(kinds, sections, meaning)
    for name, kinds, sections, meaning in [
        # networks
        ("model", ALL, "", "the network: methods change it, metrics and attacks receive a separate frozen copy"),
        ("original", ALL, "", "the checkpoint before unlearning, frozen"),
        ("fresh", "methods", "", "the same architecture with new random weights, trainable"),
        ("incompetent_teacher", "methods", "", "the same architecture with new random weights, frozen"),
        ("reference", "metrics", "reference", "a retrained reference, frozen; the metric is called once per reference"),
        ("reference_models", "attacks", "reference", "the reference networks, frozen, loaded one after the other"),
        # records
        (
            "forget",
            ALL,
            "data forget",
            "labelled batches of the forget split; as an optional input of a method: given together with held_out",
        ),
        ("retain", ALL, "data forget", "labelled batches of the retain split"),
        ("test", MEASURES, "data test", "labelled batches of the test split"),
        (
            "held_out",
            "methods",
            "data test/validation",
            "labelled batches of never-seen records: validation, otherwise the selection half of test, which no report "
            "then uses; optional: given if a setting has the value held_out",
        ),
        ("forget_inputs", "methods", "data forget", "batches of the forget split without labels"),
        ("retain_inputs", "methods", "data forget", "batches of the retain split without labels"),
        ("label_statistics", "methods", "data", "mean, spread and range of the labels of train"),
        ("recipe", "methods", "", "how the original was trained, if this is recorded, else a usual training"),
        # facts
        ("forget_classes", ALL, "forget", "numbers of the classes to forget; only whole classes can be forgotten"),
        ("num_classes", ALL, "", "number of outputs of the network"),
        ("input_shape", ALL, "", "shape of one sample"),
        ("task_loss", ALL, "", "the loss that training minimises"),
        ("random", ALL, "", "seeded source of random numbers"),
        ("seed", ALL, "", "root seed of the run"),
        # outputs of one split; the metric is called once per split
        ("outputs", "metrics", "data", "outputs of the network on the split"),
        ("reference_outputs", "metrics", "data reference", "a reference's outputs on the split"),
        ("random_outputs", "metrics", "data", "outputs of networks with random weights; only for forget splits"),
        # outputs of several splits
        ("split_outputs", MEASURES, "data forget test", "outputs on every split, by its name"),
        ("reference_split_outputs", "metrics", "data forget test reference", "a reference's outputs on every split"),
        ("split_features", "attacks", "data forget test", "penultimate features on every split, by its name"),
        ("forget_outputs", "attacks", "data forget", "outputs on the forget split"),
        ("retain_outputs", "attacks", "data forget", "outputs on the retain split"),
        ("holdout_outputs", "attacks", "data forget test", "outputs on never-seen records like those of forget"),
        ("original_split_outputs", "attacks", "data forget test original", "the original's outputs on every split"),
        ("original_forget_outputs", "attacks", "data forget original", "the original's outputs on the forget split"),
        ("original_holdout_outputs", "attacks", "data forget test original", "the original's outputs on the hold-out"),
        ("reference_forget_outputs", "attacks", "data forget reference", "list: each reference's on the forget split"),
        (
            "reference_holdout_outputs",
            "attacks",
            "data forget test reference",
            "list: each reference's on the hold-out",
        ),
        ("reference_test_outputs", "attacks", "data forget test reference", "list: each reference's on test"),
        # of the files
        ("weights", "metrics", "", "parameters and buffers of the checkpoint"),
        ("original_weights", "metrics", "original", "parameters and buffers of the original"),
        ("cost", "metrics", "cost", "time and samples of training or unlearning the checkpoint"),
        ("reference_cost", "metrics", "reference cost", "time and samples of training a reference"),
        # shadow runs
        ("shadow_runs", "attacks", "data forget shadows", "shadow runs: unlearned and never learned records"),
        ("all_shadow_runs", "attacks", "data forget shadows", "the same for all checkpoints together"),
        ("retained_shadow_runs", "attacks", "data forget shadows", "shadow runs: records of retain; or None"),
        # optional: a keyword with default None
        ("noise", "methods", "", "noise of 'unlearn-cli noise', given by --noise"),
    ]
}
OPTIONAL_INPUTS = ("noise", "held_out", "forget", "retain_inputs")  # as a keyword with default None
COMPANIONS = {"forget": "held_out"}  # optional input -> the one with which it is given, because the two are compared
ONLY_OPTIONAL = ("noise",)  # never without a default


def list_sections(name: str) -> set[str]:
    """Return the requirements of an input; `a/b` is met by one of the two."""
    return set(REQUIREMENTS[name].sections.split())


def list_missing(name: str, present: set[str]) -> set[str]:
    """Return the requirements of an input that are not met."""
    return {section for section in list_sections(name) if not present & set(section.split("/"))}


def describe_section(section: str) -> str:
    """Return the words for a requirement; `test/validation` becomes `data.test or data.validation`."""
    names = section.split("/")
    return section if len(names) == 1 else " or ".join(f"data.{name}" for name in names)


def list_inputs(kind: str) -> list[str] | None:
    """Return the inputs that plug-ins of a kind may need, without those that are optional; None for networks: any."""
    if kind not in ALL.split():
        return None
    return [
        name
        for name, requirement in REQUIREMENTS.items()
        if kind in requirement.kinds.split() and name not in ONLY_OPTIONAL
    ]
