"""Which architectures a set of weights fits, and what a configuration next to it names: one function per ecosystem."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path

from torch import Tensor

from unlearn_cli.checkpoints.network_fit import complete_tied, find_misfit
from unlearn_cli.checkpoints.tensor_facts import find_channels, find_head, list_input_counts
from unlearn_cli.checkpoints.tensor_names import NameMapping
from unlearn_cli.models.matching import Match, build_bare, find_matches, find_renamed_match, list_bundled
from unlearn_cli.models.saved_names import NamesOfOtherVersions
from unlearn_cli.models.stated_network import read_stated_network
from unlearn_cli.models.timm_search import find_timm_networks

SIDES = (224, 32, 28, 16, 20, 24, 36, 40, 48, 56, 64, 84, 96, 128, 160, 192, 256)  # of images, the usual ones first
FEW_SHAPES = 3  # that are tried where names differ
STEPS, WORDS = 24, 32  # of a time series and of a text, on which no weight depends
NAME = r"[a-z][a-z0-9_]*"  # of a network in a library


@dataclass(frozen=True)
class Unknown:
    """Weights of an unknown architecture: by the probable names in the network, and by those in the file.

    `folder` may have a config.json next to them. `hints` are names of architectures that the file contains.
    """

    tensors: Mapping[str, Tensor]
    stored: Mapping[str, Tensor]
    folder: Path
    hints: Sequence[str] = ()
    libraries: Sequence[str] = ()  # optional ones whose networks are compared, too


@dataclass(frozen=True)
class Recognised:
    """An architecture with the shape of a sample and the number of outputs. `fits`: None if its library is missing."""

    match: Match
    shape: tuple[int, ...]
    num_outputs: int
    fits: bool | None = True
    source: str = "names and shapes"


def recognise_architectures(weights: Unknown) -> list[Recognised]:
    """Return the architectures that the first ecosystem with any finds, and those of the optional libraries."""
    recognised = next((networks for find in ECOSYSTEMS if (networks := list(find(weights)))), [])
    others = [network for library in weights.libraries for network in OPTIONAL[library](weights)]
    return [*recognised, *(network for network in others if network.match not in [each.match for each in recognised])]


def find_configured(weights: Unknown) -> Iterator[Recognised]:
    """Yield the architecture that a config.json of transformers or timm names, compared with the tensors."""
    stated, head = read_stated_network(weights.folder), find_head(weights.tensors)
    if stated is None:
        return
    is_timm = stated.library == "timm"
    name = f"timm/{stated.name}" if is_timm else f"transformers/{weights.folder}"
    count = stated.num_outputs or (head.num_outputs if head else 1)
    channels = find_channels(weights.tensors)
    shape = tuple(stated.shape or ((channels, SIDES[0], SIDES[0]) if channels else (WORDS,)))
    match = Match(name)
    network = build_bare(match, shape, count)
    fits = None
    if network is not None:
        mapping = NameMapping() if is_timm else NamesOfOtherVersions("", {}, network)
        tensors = {new: weights.stored[old] for old, new in mapping.apply(weights.stored).items()}
        fits = not find_misfit(network.state_dict(), complete_tied(network, tensors))
    yield Recognised(match, shape, count, fits, "config.json")


def find_hinted(weights: Unknown) -> Iterator[Recognised]:
    """Yield the networks of torchvision and timm that the file names, if they fit; timm is imported if it is needed."""
    head, channels = find_head(weights.tensors), find_channels(weights.tensors)
    names = [hint for hint in weights.hints if re.fullmatch(NAME, hint)] if head and channels else []
    for library, name in product(("torchvision", "timm"), names):
        match, shape = Match(f"{library}/{name}"), (channels or 0, SIDES[0], SIDES[0])
        if head and _fits(match, weights.tensors, shape, head.num_outputs):
            yield Recognised(match, shape, head.num_outputs, source="a name in the file")
            return


def find_bundled(weights: Unknown) -> Iterator[Recognised]:
    """Yield the architectures of this package that fit, with the first shape of samples that does."""
    head = find_head(weights.tensors)
    matches: set[str] = set()
    for shape in _list_shapes(weights.tensors) if head else ():
        for match in list_bundled(weights.tensors, shape):
            if head and match.architecture not in matches and _fits(match, weights.tensors, shape, head.num_outputs):
                matches.add(match.architecture)
                yield Recognised(match, shape, head.num_outputs)


def find_torchvision(weights: Unknown) -> Iterator[Recognised]:
    """Yield the first network of torchvision that fits."""
    head, channels = find_head(weights.tensors), find_channels(weights.tensors)
    if head and channels:
        shape = (channels, SIDES[0], SIDES[0])
        for match in find_matches(weights.tensors, shape, head.num_outputs):
            yield Recognised(match, shape, head.num_outputs)


def find_renamed(weights: Unknown) -> Iterator[Recognised]:
    """Yield the first network that fits when parts of names are renamed."""
    head = find_head(weights.tensors)
    for shape in islice(_list_shapes(weights.tensors), FEW_SHAPES) if head else ():
        match = find_renamed_match(weights.tensors, shape, head.num_outputs) if head else None
        if match and head:
            yield Recognised(match, shape, head.num_outputs, source="shapes")
            return


def find_timm(weights: Unknown) -> Iterator[Recognised]:
    """Yield the first network of timm that fits, of those with similar names.

    Raises:
        UserError: timm is not installed.
    """
    head, channels = find_head(weights.tensors), find_channels(weights.tensors)
    if head and channels:
        shape = (channels, SIDES[0], SIDES[0])
        for match in find_timm_networks(weights.tensors, shape, head.num_outputs, weights.hints):
            side = match.arguments.get("img_size", SIDES[0])
            yield Recognised(match, (channels, side, side), head.num_outputs)


Ecosystem = Callable[[Unknown], Iterable[Recognised]]
ECOSYSTEMS: tuple[Ecosystem, ...] = (  # in this order
    find_configured,
    find_hinted,
    find_bundled,
    find_torchvision,
    find_renamed,
)
OPTIONAL: dict[str, Ecosystem] = {"timm": find_timm}


def _fits(match: Match, tensors: Mapping[str, Tensor], shape: tuple[int, ...], num_outputs: int) -> bool:
    network = build_bare(match, shape, num_outputs)
    return network is not None and not find_misfit(network.state_dict(), complete_tied(network, tensors))


def _list_shapes(tensors: Mapping[str, Tensor]) -> Iterator[tuple[int, ...]]:
    """Yield the shapes of samples that the first layer accepts."""
    if channels := find_channels(tensors):
        yield from ((channels, side, side) for side in SIDES)
    elif "lstm.weight_ih_l0" in tensors:
        yield (2, WORDS) if "words.weight" in tensors else (STEPS, tensors["lstm.weight_ih_l0"].shape[1])
    elif counts := list_input_counts(tensors):
        yield (counts[0],)
