"""`unlearn-cli inspect` of a checkpoint: sets of weights, names, shapes, prefixes, and the architectures that fit."""

from typing import TYPE_CHECKING, Any

from unlearn_cli import console
from unlearn_cli.commands.result import Result

if TYPE_CHECKING:
    from unlearn_cli.checkpoints.contents import Contents, WeightSet


def describe_contents(contents: "Contents") -> Result:
    """Return the table of the sets of weights and the other things in a file, for `convert --list`."""
    sets = [summarize(weights) for weights in contents.sets]
    rows = [[item["key"], "weights", f"{item['tensors']} tensors, {item['parameters']} numbers"] for item in sets]
    rows += [[key, kind, ""] for key, kind in contents.others.items()]
    text = console.table(f"{contents.path.name}: {contents.format}", ["key", "kind", "contents"], rows)
    return Result(text, {"format": contents.format, "sets": sets, "others": contents.others})


def summarize(weights: "WeightSet") -> dict[str, Any]:
    """Return the key and the size of a set of weights."""
    return {
        "key": weights.key or ".",
        "tensors": len(weights.tensors),
        "parameters": sum(tensor.numel() for tensor in weights.tensors.values()),
        "averaged": weights.is_averaged,
        "others": weights.others,
    }
