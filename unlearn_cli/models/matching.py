"""Finds the architectures that the tensors of a checkpoint fit: bundled ones and those of torchvision.

A network is built without weights and compared by names and shapes. Building all of torchvision's
takes half a minute, so those with a similar number of parameters are tried.
"""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice, pairwise
from typing import Any

from torch import Tensor, nn

from unlearn_cli.checkpoints.network_fit import find_misfit, find_name_changes, order_renames
from unlearn_cli.checkpoints.tensor_facts import find_head, natural_key
from unlearn_cli.errors import UserError
from unlearn_cli.models.architectures import build_network
from unlearn_cli.models.bare_networks import BareNetworks
from unlearn_cli.schema.network_sections import Model

MOST_DIFFERENT, MOST_TRIED = 0.1, 8  # share of the number of parameters, and networks that are built and compared


@dataclass(frozen=True)
class Match:
    """An architecture that all tensors of a checkpoint fit: keys of the manifest's section `model`."""

    architecture: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    stem: str | None = None
    prefix: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)

    @property
    def section(self) -> Model:
        names = {"prefix": self.prefix, "rename": dict(self.rename)}
        return Model.model_validate(
            {"architecture": self.architecture, "arguments": dict(self.arguments), "stem": self.stem, **names}
        )


def find_matches(tensors: Mapping[str, Tensor], shape: Sequence[int], num_outputs: int) -> list[Match]:
    """Return the bundled architectures, or else the first of torchvision's, that the tensors fit.

    Args:
        tensors: of the checkpoint, by the network's names.
        shape: of a sample: [channels, height, width], [features], or [steps, features].
        num_outputs: of the network, see `checkpoints.tensor_facts.list_output_counts`.
    """
    bundled = [match for match in list_bundled(tensors, shape) if fits(match, tensors, shape, num_outputs)]
    return bundled or list(islice(_search_torchvision(tensors, shape, num_outputs), 1))


def find_renamed_match(tensors: Mapping[str, Tensor], shape: Sequence[int], num_outputs: int) -> Match | None:
    """Return the first architecture that all tensors fit with another prefix or renamed parts; None without one.

    The arguments are those of `find_matches`.
    """
    candidates = chain(list_bundled(tensors, shape), list_perceptrons(tensors), _list_torchvision(tensors, shape))
    adapted = (adapt_names(match, tensors, shape, num_outputs) for match in candidates)
    return next(filter(None, adapted), None)


def adapt_names(match: Match, tensors: Mapping[str, Tensor], shape: Sequence[int], num_outputs: int) -> Match | None:
    """Return an architecture with the changes of names with which all tensors fit; None if none are evident."""
    network = build_bare(match, shape, num_outputs)
    if network is None:
        return None
    expected = network.state_dict()
    if match.rename:
        renames = order_renames(expected, tensors, match.rename)
        return replace(match, rename=renames) if renames else None
    changes = find_name_changes(expected, tensors)
    return replace(match, prefix=changes.prefix, rename=changes.rename) if changes else None


def adapt_stated(match: Match, tensors: Mapping[str, Tensor], shape: Sequence[int], num_outputs: int) -> Match:
    """Return an architecture that the user or a file names, with the changes with which all tensors fit, if evident."""
    library, _, name = match.architecture.partition("/")
    variants = [match, *(list_variants(name, tensors) if library == "torchvision" else ())]
    adapted = (adapt_names(each, tensors, shape, num_outputs) for each in variants)
    return next(filter(None, adapted), match)


def list_perceptrons(tensors: Mapping[str, Tensor]) -> Iterator[Match]:
    """Yield the perceptron with layers of other names, such as those of a Sequential: each takes the one before."""
    weights = sorted((name for name in tensors if name.endswith(".weight")), key=natural_key)
    are_linear = len(weights) > 1 and all(tensors[name].dim() == 2 for name in weights)
    if are_linear and all(tensors[a].shape[0] == tensors[b].shape[1] for a, b in pairwise(weights)):
        *hidden, last = (name.removesuffix(".weight") for name in weights)
        rename = {**{name: f"layers.{2 * number}" for number, name in enumerate(hidden)}, last: "head"}
        yield Match("mlp", {"hidden": [tensors[name].shape[0] for name in weights[:-1]]}, rename=rename)


def fits(match: Match, tensors: Mapping[str, Tensor], shape: Sequence[int], num_outputs: int) -> bool:
    """Return whether names and shapes of all tensors are those of the network."""
    network = build_bare(match, shape, num_outputs)
    return network is not None and not find_misfit(network.state_dict(), tensors)


def build_bare(match: Match, shape: Sequence[int], num_outputs: int) -> nn.Module | None:
    """Return the network without weights; None if it cannot be built for such samples."""
    try:
        with BareNetworks(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a network for larger samples has layers without weights
            return build_network(match.section, shape, num_outputs)
    except UserError:
        return None


def list_bundled(tensors: Mapping[str, Tensor], shape: Sequence[int]) -> Iterator[Match]:
    """Yield the bundled architectures with the arguments that the shapes of the tensors imply."""
    if len(shape) == 3:
        yield from (Match("lenet5"), Match("resnet20"))
        if "conv1.0.weight" in tensors:
            yield Match("allcnn", {"width": tensors["conv1.0.weight"].shape[0]})
    hidden = [tensor.shape[0] for name, tensor in tensors.items() if re.fullmatch(r"layers\.\d+\.weight", name)]
    positions = [int(name.split(".")[1]) for name in tensors if re.fullmatch(r"layers\.\d+\.weight", name)]
    if hidden:
        yield Match("mlp", {"hidden": hidden})
        if len(positions) > 1 and positions[1] - positions[0] > 2:  # each layer is followed by ReLU and dropout
            yield Match("mlp", {"hidden": hidden, "dropout": 0.1})
    yield from _list_recurrent(tensors)


def _list_recurrent(tensors: Mapping[str, Tensor]) -> Iterator[Match]:
    layers = sum(name.startswith("lstm.weight_hh_l") for name in tensors)
    hidden = tensors["lstm.weight_hh_l0"].shape[1] if layers else 0
    if layers and "words.weight" in tensors:
        buckets, embedding = tensors["words.weight"].shape
        yield Match("lstm_pair", {"buckets": buckets, "embedding": embedding, "hidden": hidden})
    elif layers:
        yield Match("lstm_forecast", {"hidden": hidden, "layers": layers})


def _search_torchvision(tensors: Mapping[str, Tensor], shape: Sequence[int], num_outputs: int) -> Iterator[Match]:
    """Yield the networks that fit, of those whose number of parameters is the most similar."""
    variants = _list_torchvision(tensors, shape)
    yield from (match for match in variants if fits(match, tensors, shape, num_outputs))


def _list_torchvision(tensors: Mapping[str, Tensor], shape: Sequence[int]) -> Iterator[Match]:
    """Yield the networks whose number of parameters is the most similar; none for other samples than images."""
    if len(shape) == 3:
        yield from (match for name in list_similar(tensors) for match in list_variants(name, tensors))


def list_similar(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return torchvision's classification networks with a similar number of parameters, the most similar first.

    Their published weights, of which only the description is read, have 1000 outputs.
    """
    from torchvision import models

    count = max(1, count_parameters(tensors, outputs=1000))
    differences: dict[str, float] = {}
    for name in models.list_models(module=models):
        published = next(iter(models.get_model_weights(name)))
        differences[name] = abs(published.meta["num_params"] / count - 1)
    similar = [name for name, difference in differences.items() if difference < MOST_DIFFERENT]
    return sorted(similar, key=lambda name: differences[name])[:MOST_TRIED]


def count_parameters(tensors: Mapping[str, Tensor], outputs: int) -> int:
    """Return the number of parameters that the network would have with another number of outputs."""
    counted = sum(tensor.numel() for name, tensor in tensors.items() if _is_parameter(name, tensor))
    head = find_head(tensors)
    if head is None:
        return counted
    weight, bias = tensors[f"{head.name}.weight"], tensors.get(f"{head.name}.bias")
    per_output = weight[0].numel() + (bias is not None)
    return counted + (outputs - head.num_outputs) * per_output


def _is_parameter(name: str, tensor: Tensor) -> bool:
    return tensor.is_floating_point() and not name.endswith(("running_mean", "running_var"))


def list_variants(name: str, tensors: Mapping[str, Tensor]) -> Iterator[Match]:
    """Yield a network of torchvision, and with the small first convolution for 32x32 images if the tensors have it."""
    first = tensors.get("conv1.weight")
    if "res" in name and first is not None and first.shape[-1] == 3:
        yield Match(f"torchvision/{name}", stem="cifar")
    elif name.startswith("vit") and "encoder.pos_embedding" in tensors:
        patches = tensors["encoder.pos_embedding"].shape[1] - 1
        side = tensors["conv_proj.weight"].shape[-1] if "conv_proj.weight" in tensors else 0
        size = round(patches**0.5) * side
        yield Match(f"torchvision/{name}", {} if size in (0, 224) else {"image_size": size})
    else:
        yield Match(f"torchvision/{name}")
