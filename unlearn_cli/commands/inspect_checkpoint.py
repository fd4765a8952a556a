"""`unlearn-cli inspect` of a checkpoint: sets of weights, names, shapes, prefixes, and the architectures that fit."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from unlearn_cli import console
from unlearn_cli.checkpoints.checkpoint import PREFIX, find_non_finite
from unlearn_cli.checkpoints.contents import (
    Contents,
    WeightSet,
    count_bytes,
    find_unusual_kind,
    has_eight_bits,
    list_hints,
)
from unlearn_cli.checkpoints.foreign_files import read_contents
from unlearn_cli.checkpoints.stored_names import find_shared
from unlearn_cli.checkpoints.tensor_facts import count_dtypes, count_starts, find_channels, find_head, natural_key
from unlearn_cli.checkpoints.wrapper_names import describe_prefix, find_wrapping_prefix, strip_wrappers, take_prefix
from unlearn_cli.commands.inspect_options import InspectOptions
from unlearn_cli.commands.result import Result
from unlearn_cli.console import pluralize
from unlearn_cli.models.recognition import Recognised, Unknown, recognise_architectures

MOST_ROWS = 40  # of the table of tensors, unless all are requested
FIRST_ROWS = 15


def run(options: InspectOptions) -> Result:
    """Describe a checkpoint file or folder.

    Raises:
        UserError: the format is not supported, or the files are broken.
    """
    contents = read_contents(options.path)
    document = describe(contents, options.libraries)
    parts = [format_contents(contents), *(_format_set(item, show_all=options.all) for item in document["sets"])]
    parts += [_format_mapping("Metadata", document["metadata"]), _format_mapping("Lineage", document["lineage"])]
    return Result("\n\n".join(filter(None, parts)), document)


def describe(contents: Contents, libraries: Sequence[str] = ()) -> dict[str, Any]:
    """Return all facts as plain values."""
    lineage = {key.removeprefix(PREFIX): text for key, text in contents.metadata.items() if key.startswith(PREFIX)}
    recognised: dict[Any, list[dict[str, Any]]] = {}  # by names and shapes: averaged weights fit what the others fit
    return {
        "kind": "checkpoint",
        "name": contents.path.name,
        "format": contents.format,
        "sets": [describe_set(weights, contents, recognised, libraries) for weights in contents.sets],
        "others": contents.others,
        "metadata": {key: text for key, text in contents.metadata.items() if not key.startswith(PREFIX)},
        "lineage": lineage,
    }


def describe_set(
    weights: WeightSet,
    contents: Contents,
    recognised: dict[Any, list[dict[str, Any]]],
    libraries: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the facts about one set of weights; `recognised` are the architectures of sets that were described."""
    plain = {
        name: tensor.float() if has_eight_bits(tensor) else tensor  # torch computes nothing with 8 bits
        for name, tensor in weights.tensors.items()
        if not find_unusual_kind(tensor)
    }
    names, removed = strip_wrappers(plain)
    prefix = find_wrapping_prefix(names)
    inner = take_prefix(names, prefix) if prefix else names
    head = find_head(inner)
    key = tuple(sorted((name, tuple(tensor.shape)) for name, tensor in inner.items()))
    if key not in recognised:
        unknown = Unknown(inner, names, contents.path.parent, list_hints(contents), libraries)
        recognised[key] = [describe_architecture(item, prefix) for item in recognise_architectures(unknown)]
    return {
        **summarize(weights),
        "bytes": sum(count_bytes(tensor) for tensor in weights.tensors.values()),
        "dtypes": count_dtypes(weights.tensors),
        "starts": count_starts(weights.tensors),
        "wrappers": removed,
        "prefix": prefix,
        "prefix_note": describe_prefix(names),
        "num_outputs": head.num_outputs if head else None,
        "head": head.name if head else None,
        "channels": find_channels(inner),
        "architectures": recognised[key],
        "shared": find_shared(plain, ()),
        "not_finite": find_non_finite({name: tensor for name, tensor in plain.items() if tensor.is_floating_point()}),
        "unusual": {name: kind for name, tensor in weights.tensors.items() if (kind := find_unusual_kind(tensor))},
        "names": [describe_entry(name, weights.tensors[name]) for name in sorted(weights.tensors, key=natural_key)],
    }


def describe_architecture(recognised: Recognised, prefix: str) -> dict[str, Any]:
    """Return an architecture as the keys of a manifest, and whether all tensors fit it."""
    section = recognised.match.section.model_dump(mode="json", exclude_defaults=True)
    return {
        "model": {**section, **({"prefix": prefix} if prefix and recognised.source != "config.json" else {})},
        "shape": list(recognised.shape),
        "num_outputs": recognised.num_outputs,
        "fits": recognised.fits,
        "source": recognised.source,
    }


def describe_entry(name: str, tensor: Tensor) -> dict[str, Any]:
    """Return name, dtype and shape of a tensor."""
    return {"name": name, "dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}


def summarize(weights: WeightSet) -> dict[str, Any]:
    """Return the key and the size of a set of weights."""
    return {
        "key": weights.key or ".",
        "tensors": len(weights.tensors),
        "parameters": sum(tensor.numel() for tensor in weights.tensors.values()),
        "averaged": weights.is_averaged,
        "others": weights.others,
    }


def list_contents(contents: Contents) -> Result:
    """Return the table of the sets of weights and the other things in a file, for `convert --list`."""
    sets = [summarize(weights) for weights in contents.sets]
    return Result(format_contents(contents), {"format": contents.format, "sets": sets, "others": contents.others})


def format_contents(contents: Contents) -> str:
    """Return the table of the sets of weights and the other things in a file."""
    rows = []
    for weights in contents.sets:
        facts = summarize(weights)
        size = pluralize(facts["parameters"], "number", grouped=True)
        rows.append([facts["key"], f"{pluralize(facts['tensors'], 'tensor')}, {size}"])
    rows += [[key, kind] for key, kind in contents.others.items()]
    return console.table(f"{contents.path.name}: {contents.format}", ["key", "contents"], rows)


def _format_set(facts: Mapping[str, Any], *, show_all: bool) -> str:
    dtypes = ", ".join(f"{count} {dtype}" for dtype, count in facts["dtypes"].items())
    starts = ", ".join(f"{start} ({count})" for start, count in list(facts["starts"].items())[:12])
    lines = [
        ("weights", f"{facts['key']}: {dtypes}; {facts['bytes'] / 2**20:.1f} MiB"),
        ("names start with", starts + (" ..." if len(facts["starts"]) > 12 else "")),
        ("wrappers", ", ".join(facts["wrappers"])),
        ("prefix", facts["prefix_note"]),
        ("outputs", f"{facts['num_outputs']} (layer {facts['head']})" if facts["head"] else "no linear layer"),
        ("channels", f"{facts['channels']}" if facts["channels"] else ""),
        ("fits", "; ".join(map(_format_architecture, facts["architectures"])) or "no known architecture"),
        ("shared tensors", ", ".join(f"{name} = {other}" for name, other in facts["shared"].items())),
        ("NaN or infinite", ", ".join(facts["not_finite"])),
        ("cannot be converted", ", ".join(f"{name} ({kind})" for name, kind in facts["unusual"].items())),
        ("not tensors", ", ".join(facts["others"])),
    ]
    rows = [[entry["name"], entry["dtype"], f"{entry['shape']}"] for entry in facts["names"]]
    if len(rows) > MOST_ROWS and not show_all:
        hidden = len(rows) - 2 * FIRST_ROWS
        rows = [*rows[:FIRST_ROWS], [f"... {hidden} more (--all shows them)", "", ""], *rows[-FIRST_ROWS:]]
    described = console.format_two_columns([(name, text) for name, text in lines if text])
    return "\n".join([*described, "", console.table("", ["tensor", "dtype", "shape"], rows)])


def _format_architecture(facts: Mapping[str, Any]) -> str:
    keys = ", ".join(f"{key}: {value}" for key, value in facts["model"].items() if key != "architecture")
    state = {True: "all tensors fit", False: "does NOT fit all tensors", None: "not checked: not installed"}
    shape = f"samples of shape {facts['shape']}"
    return f"{facts['model']['architecture']}{f' ({keys})' if keys else ''}, {shape}: {state[facts['fits']]}"


def _format_mapping(title: str, values: Mapping[str, str]) -> str:
    rows = [(key, text if len(text) <= 100 else f"{text[:99]}…") for key, text in sorted(values.items())]
    return "\n".join([title, *console.format_two_columns(rows)]) if rows else ""
