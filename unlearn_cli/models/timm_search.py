"""Finds the network of timm that the tensors of a checkpoint fit, without a configuration.

Building all of timm's networks without weights takes minutes. The modules whose source text has the most of the names
are chosen, one network of each is built, and the networks of the most similar modules are compared, until the time is
over.
"""

import inspect
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from unlearn_cli import console
from unlearn_cli.checkpoints.network_fit import find_misfit
from unlearn_cli.models.construction import import_extra
from unlearn_cli.models.matching import Match, build_bare, fits

SECONDS = 60.0  # after which no further network is built
MOST_BUILT, MOST_MODULES = 16, 4  # modules of which one network is built, and those whose networks are compared
POSITIONS, PATCHES = "pos_embed", "patch_embed.proj.weight"  # of vision transformers
WIDTHS = {192: "tiny", 384: "small", 768: "base", 1024: "large", 1280: "huge"}  # of vision transformers
SMALL = ("test", "atto", "femto", "pico", "nano", "tiny", "small", "mini")  # parts of the names of small networks


def find_timm_networks(
    tensors: Mapping[str, Tensor],
    shape: Sequence[int],
    num_outputs: int,
    hints: Sequence[str] = (),
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Match]:
    """Yield the first network of timm that all tensors fit.

    Args:
        tensors: of the checkpoint, by the network's names.
        shape: of an image, [channels, height, width].
        num_outputs: of the network.
        hints: names of networks that the file contains, which are tried first.

    Raises:
        UserError: timm is not installed.
    """
    timm = import_extra("timm", "--try timm")
    end = clock() + SECONDS
    names = list(list_candidates(timm, tensors, shape, [hint for hint in hints if timm.is_model(hint)]))
    for number, name in enumerate(names):
        if clock() > end:
            console.warn(f"timm: {number} of {len(names)} similar networks were compared in {SECONDS:.0f} s; none fits")
            return
        if match := fit_network(name, tensors, shape, num_outputs):
            yield match
            return


def fit_network(name: str, tensors: Mapping[str, Tensor], shape: Sequence[int], num_outputs: int) -> Match | None:
    """Return a network of timm if all tensors fit, with the size of its images if that is not the one of its name."""
    match = Match(f"timm/{name}")
    network = build_bare(match, shape, num_outputs)
    if network is None:
        return None
    misfit = find_misfit(network.state_dict(), tensors)
    if not misfit:
        return match
    differ = {text.partition(" ")[0] for text in misfit.shapes}
    if misfit.missing or misfit.unexpected or misfit.types or differ != {POSITIONS}:
        return None
    other = Match(match.architecture, {"img_size": find_side(tensors)})
    return other if fits(other, tensors, shape, num_outputs) else None


def find_side(tensors: Mapping[str, Tensor]) -> int:
    """Return the side of the images that a vision transformer was built for, from its positions and patches."""
    patches = tensors[POSITIONS].shape[1] - ("cls_token" in tensors)
    return round(patches**0.5) * tensors[PATCHES].shape[-1]


def list_candidates(
    timm: Any, tensors: Mapping[str, Tensor], shape: Sequence[int], hints: Sequence[str]
) -> Iterator[str]:
    """Yield the hints, then the networks of the modules whose names of tensors are the most similar."""
    yield from hints
    parts = {part for name in tensors for part in name.split(".")[:-1] if not part.isdecimal()}
    modules = sorted(timm.list_modules(), key=lambda module: -count_words(timm, module, parts))[:MOST_BUILT]
    wanted = list_patterns(tensors)
    similarities = {module: measure_similarity(timm, module, wanted, shape) for module in modules}
    for module in sorted(modules, key=lambda module: -similarities[module])[:MOST_MODULES]:
        names = [name for name in timm.list_models(module=module) if name not in hints]
        yield from sorted(names, key=lambda name: (-count_hints(name, tensors), len(name)))


def count_hints(name: str, tensors: Mapping[str, Tensor]) -> int:
    """Return how many facts about a vision transformer's tensors its name states: patches, width; 0 of others."""
    if PATCHES not in tensors or tensors[PATCHES].dim() != 4:
        return 0
    width, side = tensors[PATCHES].shape[0], tensors[PATCHES].shape[-1]
    return (f"patch{side}" in name) + (WIDTHS.get(width, " ") in name)


def count_words(timm: Any, module: str, words: set[str]) -> int:
    """Return how many of the words occur in the source text of a module of timm."""
    return len(words & set(re.findall(r"\w+", inspect.getsource(getattr(timm.models, module)))))


def measure_similarity(timm: Any, module: str, wanted: set[str], shape: Sequence[int]) -> float:
    """Return the share of common patterns of names, for a small network of a module of timm."""
    names = timm.list_models(module=module)
    name = next((name for part in SMALL for name in names if part in name), min(names, key=len, default=""))
    network = build_bare(Match(f"timm/{name}"), shape, 2) if name else None
    patterns = list_patterns(network.state_dict()) if network else set()
    return len(patterns & wanted) / len(patterns | wanted)


def list_patterns(tensors: Mapping[str, Tensor]) -> set[str]:
    """Return the names with all numbers replaced: `blocks.N.attn.qkv.weight`."""
    return {re.sub(r"\d+", "N", name) for name in tensors}
