"""Facts about a set of weights that follow from names and shapes: outputs, channels, prefixes, dtypes."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

HEADS = {
    "head",
    "heads",
    "fc",
    "classifier",
    "linear",
    "logits",
    "output",
    "out",
    "last_linear",
    "score",
    "predictions",
}
MOST_CHANNELS = 4  # of images
MOST_COUNTS = 3  # of outputs of layers without the name of a head
MOST_OUTER = 2  # components of a name, among which is that of the last layer
NOT_NAMED = 1000  # the depth of layers without such a name


@dataclass(frozen=True)
class Head:
    """The probable last layer: its name and its number of outputs."""

    name: str
    num_outputs: int


def find_head(tensors: Mapping[str, Tensor]) -> Head | None:
    """Return the last layer: the outermost with a usual name, or else the last linear one; None if none is linear."""
    layers = [name for name, tensor in tensors.items() if name.endswith("weight") and _is_linear(tensor)]
    depth = min(map(_find_depth, layers), default=NOT_NAMED)
    last = max((name for name in layers if _find_depth(name) == depth), key=natural_key, default=None)
    return Head(last.rpartition(".")[0], tensors[last].shape[0]) if last else None


def find_named_head(tensors: Mapping[str, Tensor]) -> Head | None:
    """Return the last layer if its own name, or that of its parent, is a usual one; otherwise None."""
    head = find_head(tensors)
    return head if head and _find_depth(head.name) < MOST_OUTER else None


def list_output_counts(tensors: Mapping[str, Tensor], expected: int) -> list[int]:
    """Return the numbers of outputs that the network may have, the likeliest first.

    Files have no order of layers. The `expected` number comes first if a layer has it, then that of the last layer,
    then the widths of layers with the usual names of a head, then 1, then the narrowest layers.
    """
    layers = {
        name: tensor.shape[0] for name, tensor in tensors.items() if name.endswith("weight") and _is_linear(tensor)
    }
    heads = [width for name, width in layers.items() if _find_depth(name) < NOT_NAMED]
    last = find_head(tensors)
    ordered = [expected, *([last.num_outputs] if last else []), *heads, 1, *sorted(layers.values())[:MOST_COUNTS]]
    return [count for count in dict.fromkeys(ordered) if count in layers.values()]


def list_input_counts(tensors: Mapping[str, Tensor]) -> list[int]:
    """Return the numbers of features that a network of columns may take, the likeliest first; none of other networks.

    The input of the first layer is the output of no layer before the last, unless their widths are equal by chance.
    """
    if any(tensor.dim() > 2 for tensor in tensors.values()):
        return []
    names = sorted((name for name, tensor in tensors.items() if _takes_features(name, tensor)), key=natural_key)
    head = find_head(tensors)
    outputs = {tensors[name].shape[0] for name in names if head is None or name != f"{head.name}.weight"}
    widths = list(dict.fromkeys(tensors[name].shape[1] for name in names))
    return [width for width in widths if width not in outputs] or widths


def _takes_features(name: str, tensor: Tensor) -> bool:
    is_layer = name.endswith(("weight", "weight_ih_l0")) and tensor.dim() == 2
    return is_layer and "embed" not in name.lower()


def find_channels(tensors: Mapping[str, Tensor]) -> int | None:
    """Return the channels of images, from the first convolution; None for other networks.

    Depthwise convolutions have one input per group, and grouped ones few; the first convolution has the fewest outputs.
    """
    first = [tensor for tensor in tensors.values() if tensor.dim() == 4 and tensor.shape[1] <= MOST_CHANNELS]
    colour = [tensor for tensor in first if tensor.shape[1] == MOST_CHANNELS - 1]
    return min(colour or first, key=lambda tensor: tensor.shape[0]).shape[1] if first else None


def count_starts(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the first components of names with the number of tensors, in natural order."""
    counts = Counter(name.partition(".")[0] + ("." if "." in name else "") for name in tensors)
    return {start: counts[start] for start in sorted(counts, key=natural_key)}


def count_dtypes(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the number of tensors of each dtype, the most frequent first."""
    return dict(Counter(str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()).most_common())


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts `layer10` after `layer2`."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.findall(r"\d+|\D+", name)]


def _is_linear(tensor: Tensor) -> bool:
    """Return whether a tensor can be the weight of a last layer: linear, or a 1x1 convolution."""
    return tensor.dim() == 2 or (tensor.dim() == 4 and tuple(tensor.shape[2:]) == (1, 1))


def _find_depth(name: str) -> int:
    """Return the position of the first component that is the name of a head, with or without a number."""
    depths = (depth for depth, part in enumerate(name.split(".")) if part.rstrip("0123456789") in HEADS)
    return next(depths, NOT_NAMED)
