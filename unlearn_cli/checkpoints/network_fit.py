"""Whether the tensors of a checkpoint fit a network, and in one line why they do not."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import takewhile

from torch import Tensor, nn

from unlearn_cli.checkpoints.tensor_names import NameMapping, find_common_prefix, replace_part
from unlearn_cli.checkpoints.unsupported_weights import DEQUANTISE, MERGE_ADAPTER

MOST_LISTED = 5  # names of each problem in a message
MOST_COMPARED = 1000  # names that are compared in pairs to suggest other names
SIMILAR = 0.5  # share of the network's tensors that a change of names must provide to be suggested

ADAPTER_PARTS = {"lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector", "base_layer"}

QUANTISED_PARTS = {  # of GPTQ, AWQ, bitsandbytes, torch and compressed-tensors
    *("qweight", "qzeros", "g_idx", "absmax", "quant_map", "quant_state", "SCB", "weight_format", "_packed_params"),
    *("weight_scale", "weight_scale_inv", "weight_packed", "weight_zero_point"),
}
OTHER_CLASSES = "list all classes of the network, in its order, as 'classes' in the manifest, or name its training data"
EMPTY = '""'  # in YAML
Difference = tuple[str, str]  # parts of a name in the file and of one in the network


@dataclass(frozen=True)
class Misfit:
    """The differences between a checkpoint and a network, as texts."""

    missing: list[str]
    unexpected: list[str]
    shapes: list[str]
    types: list[str]

    def __bool__(self) -> bool:
        return any((self.missing, self.unexpected, self.shapes, self.types))


def complete_tied(network: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with those added that the network shares under another name, as `load_model` does.

    `safetensors.torch.save_model` writes a shared tensor once.
    """
    completed = dict(tensors)
    for names in list_tied(network):
        present = next((name for name in names if name in tensors), None)
        if present is not None:
            completed.update({name: tensors[present] for name in names if name not in tensors})
    return completed


def list_tied(network: nn.Module) -> list[list[str]]:
    """Return the groups of names of each parameter or buffer that the network has under several names."""
    groups: dict[int, list[str]] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        groups.setdefault(id(tensor), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def find_misfit(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Misfit:
    """Compare names, shapes and kinds of numbers. Old files lack num_batches_tracked, which may be missing."""
    both = sorted(set(expected) & set(tensors))
    return Misfit(
        sorted(name for name in set(expected) - set(tensors) if not name.endswith("num_batches_tracked")),
        sorted(set(tensors) - set(expected)),
        [
            f"{name} {list(tensors[name].shape)} instead of {list(expected[name].shape)}"
            for name in both
            if tensors[name].shape != expected[name].shape
        ],
        [
            f"{name} {tensors[name].dtype} instead of {expected[name].dtype}"
            for name in both
            if tensors[name].is_floating_point() != expected[name].is_floating_point()
        ],
    )


def describe_misfit(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], classes: str = OTHER_CLASSES) -> str:
    """Return one line about the differences, with the change of names that removes them; '' if all tensors fit.

    `classes` is what to do if only the number of outputs differs.
    """
    misfit = find_misfit(expected, tensors)
    if not misfit:
        return ""
    if numbers := _find_outputs(misfit, expected, tensors):
        return f"it has {numbers[0]} outputs instead of {numbers[1]} ({list_some(misfit.shapes)}); {classes}"
    explanations = (_explain_adapter, _explain_quantised, _explain_prefix, _explain_outer_name, _explain_renames)
    texts = (explain(expected, tensors) for explain in explanations)
    return next(filter(None, texts), "") or _list_problems(misfit, expected, tensors)


def find_prefix(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    """Return the prefix without which the names of tensors are those of the network; '' if there is none."""
    present = len(set(expected) & set(tensors))
    counts = Counter(
        name.removesuffix(inner)
        for name in tensors
        for inner in _list_inner_names(name)
        if inner in expected and tensors[name].shape == expected[inner].shape
    )
    prefix, count = max(counts.items(), key=lambda item: item[1], default=("", 0))
    return prefix if count > present and count >= SIMILAR * len(expected) else ""


def suggest_renames(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the renamed parts with which all tensors fit; empty if no such renaming is evident.

    Single components are tried before longer parts (`fc.1` for `fc`). Layers of one shape that could be exchanged are
    not renamed, unless their names show which is which.
    """
    missing, unexpected = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
    if not missing or not unexpected or len(missing) + len(unexpected) > MOST_COMPARED:
        return {}
    for find in (_find_component, _find_parts):
        pairs = [
            (old, new, difference)
            for old in unexpected
            for new in missing
            if tensors[old].shape == expected[new].shape and (difference := find(old, new))
        ]
        renames = _choose_renames(pairs)
        if ordered := order_renames(expected, tensors, renames):
            return ordered
    return {}


def order_renames(
    expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], renames: Mapping[str, str]
) -> dict[str, str]:
    """Return the renames in the order in which all tensors fit, because each changes what the ones before gave.

    Empty if the tensors fit in neither order.
    """
    orders = (dict(renames), dict(reversed(list(renames.items()))))
    return next((order for order in orders if _fits_renamed(expected, tensors, order)), {})


def find_name_changes(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> NameMapping | None:
    """Return the prefix and the renamed parts with which all tensors fit a network; None if none are evident."""
    prefix = find_prefix(expected, tensors)
    starts = [prefix, ""] if all(name.startswith(prefix) for name in tensors) else ["", prefix]
    for start in starts:
        if not find_misfit(expected, _strip(tensors, start)):
            return NameMapping(start)
    for start in starts:
        if renames := suggest_renames(expected, _strip(tensors, start)):
            return NameMapping(start, renames)
    return None


def _strip(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _choose_renames(pairs: Sequence[tuple[str, str, Difference]]) -> dict[str, str]:
    """Return the parts of names and their counterparts, the most frequent first, until all names have one.

    Empty if a part has several counterparts that are equally frequent and equally similar: layers of equal shapes.

    Args:
        pairs: names in the file and in the network, and the parts in which they differ.
    """
    renames: dict[str, str] = {}
    while pairs:
        counts = Counter(difference for _, _, difference in pairs)
        ((old, _), count), *_ = counts.most_common(1)
        rivals = {new: _measure_similarity(old, new) for (part, new), n in counts.items() if (part, n) == (old, count)}
        best = [new for new, similarity in rivals.items() if similarity == max(rivals.values())]
        if len(best) > 1:
            return {}
        renames[old] = best[0]
        done = {name for before, after, parts in pairs if parts == (old, best[0]) for name in (before, after)}
        pairs = [pair for pair in pairs if not {*pair[:2]} & done and pair[2][0] != old]
    return renames


def _measure_similarity(old: str, new: str) -> float:
    return SequenceMatcher(None, old, new).ratio()  # norm1 is more similar to bn1 than to bn2


def _fits_renamed(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], renames: Mapping[str, str]) -> bool:
    renamed = {_rename(name, renames): tensor for name, tensor in tensors.items()}
    return len(renamed) == len(tensors) and not find_misfit(expected, renamed)


def list_some(names: Collection[str]) -> str:
    """Return the first names, and how many more there are."""
    first = list(names)[:MOST_LISTED]
    more = len(names) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")


def _explain_adapter(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    adapters = sum(any(part in ADAPTER_PARTS for part in name.split(".")) for name in tensors)
    if not adapters:
        return ""
    return f"{adapters} of {len(tensors)} tensors belong to an adapter (LoRA or another of PEFT): {MERGE_ADAPTER}"


def describe_foreign(tensors: Mapping[str, Tensor]) -> str:
    """Return one line on weights of an adapter and quantised ones, which are not supported; otherwise ''."""
    return _explain_adapter({}, tensors) or _explain_quantised({}, tensors)


def _explain_quantised(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    quantised = [name for name in tensors if QUANTISED_PARTS & {*name.split(".")} and name not in expected]
    if not quantised:
        return ""
    return (
        f"{len(quantised)} of {len(tensors)} tensors, such as {quantised[0]}, belong to quantised layers: {DEQUANTISE}"
    )


def _explain_prefix(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    prefix = find_prefix(expected, tensors)
    if not prefix:
        return ""
    inner = _strip(tensors, prefix)
    share = "all names start" if len(inner) == len(tensors) else f"{len(inner)} of {len(tensors)} names start"
    advice = f"add 'prefix: {prefix}' to 'model' in the manifest, or --prefix {prefix} to 'convert'"
    rest = describe_misfit(expected, inner)
    if rest and len(inner) < len(tensors) and suggest_renames(expected, tensors):  # such as a head without the prefix
        return ""
    return f"{share} with `{prefix}`: {advice}" + (f"; then {rest}" if rest else "")


def _explain_outer_name(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    outer = find_common_prefix(expected)
    if not outer or set(expected) != {f"{outer}{name}" for name in tensors}:
        return ""
    part = outer.removesuffix(".")
    advice = f"add 'rename: {{\"\": {part}}}' to 'model' in the manifest, or --rename ={part} to 'convert'"
    return f"all names of the network start with `{outer}`, those of the checkpoint do not: {advice}"


def _explain_renames(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    renames = suggest_renames(expected, tensors)
    if not renames:
        return ""
    listed = ", ".join(f"{old}: {new or EMPTY}" for old, new in renames.items())
    options = " ".join(f"--rename {old}={new}" for old, new in renames.items())
    return f"names differ: add 'rename: {{{listed}}}' to 'model' in the manifest, or {options} to 'convert'"


def _find_outputs(
    misfit: Misfit, expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> tuple[int, int] | None:
    """Return the numbers of outputs in the file and of the network, if they are the only difference.

    The last tensor of the network belongs to its last layer; an embedding of another size is not one.
    """
    if misfit.missing or misfit.unexpected or misfit.types:
        return None
    different = [name for name in expected if name in tensors and tensors[name].shape != expected[name].shape]
    pairs = [(tensors[name].shape, expected[name].shape) for name in different]
    numbers = {(old[0], new[0]) for old, new in pairs if old and new and old[1:] == new[1:]}
    is_whole = all(old[1:] == new[1:] and len(old) in (1, 2) for old, new in pairs)
    is_last = different[-1] == list(expected)[-1]
    return numbers.pop() if len(numbers) == 1 and is_whole and is_last else None


def _list_problems(misfit: Misfit, expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    problems = {
        "missing": misfit.missing,
        "unexpected": misfit.unexpected,
        "wrong shape": misfit.shapes,
        "wrong type": misfit.types,
    }
    listed = "; ".join(f"{problem}: {list_some(names)}" for problem, names in problems.items() if names)
    fitting = len(set(expected) & set(tensors)) - len(misfit.shapes)
    if not fitting:
        return f"no tensor fits: another architecture? {listed}"
    if fitting < SIMILAR * len(expected):
        return f"only {fitting} of {len(expected)} tensors fit: another architecture? {listed}"
    return listed


def _list_inner_names(name: str) -> list[str]:
    """Return the ends of a name, without its first component, its first two, and so on."""
    components = name.split(".")
    return [".".join(components[start:]) for start in range(1, len(components))]


def _find_component(old: str, new: str) -> Difference | None:
    """Return the only component in which two names differ; None if they differ in more."""
    before, after = old.split("."), new.split(".")
    if len(before) != len(after):
        return None
    different = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    return different[0] if len(different) == 1 else None


def _find_parts(old: str, new: str) -> Difference | None:
    """Return the parts between the equal beginnings and ends of two names; None if their last components differ.

    A part that is only in one of the names has the component before it, or at the beginning the one after it: `fc.1`
    becomes `fc`, `0` becomes `layers.0`. A part that is removed from the beginning has no counterpart.
    """
    before, after = old.split("."), new.split(".")
    end = _count_equal(zip(reversed(before), reversed(after), strict=False))
    start = _count_equal(zip(before[: len(before) - end], after[: len(after) - end], strict=False))
    if start and min(len(before), len(after)) == start + end:
        start -= 1
    elif len(before) == end:
        end -= 1
    if end < 1:
        return None
    return ".".join(before[start:-end]), ".".join(after[start:-end])


def _count_equal(pairs: Iterable[tuple[str, str]]) -> int:
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


def _rename(name: str, renames: Mapping[str, str]) -> str:
    for old, new in renames.items():
        name = replace_part(name, old, new)
    return name
