"""Whether the tensors of a checkpoint fit a network, and in one line why they do not."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from unlearn_cli.checkpoints.checkpoint_header import MERGE_ADAPTER
from unlearn_cli.checkpoints.tensor_names import find_common_prefix, replace_part

MOST_LISTED = 5  # names of each problem in a message
MOST_COMPARED = 1000  # names that are compared in pairs to suggest other names
SIMILAR = 0.5  # share of the network's tensors that a change of names must provide to be suggested

ADAPTER_PARTS = {"lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector", "base_layer"}


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


def describe_misfit(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    """Return one line about the differences, with the change of names that removes them; '' if all tensors fit."""
    misfit = find_misfit(expected, tensors)
    if not misfit:
        return ""
    explanations = (_explain_adapter, _explain_prefix, _explain_outer_name, _explain_renames)
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
    """Return the renamed components with which all tensors fit; empty if no such renaming is evident."""
    missing, unexpected = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
    if not missing or not unexpected or len(missing) + len(unexpected) > MOST_COMPARED:
        return {}
    pairs = Counter(
        difference
        for old in unexpected
        for new in missing
        if tensors[old].shape == expected[new].shape and (difference := _find_difference(old, new))
    )
    renames: dict[str, str] = {}
    for (old, new), _ in pairs.most_common():
        if old not in renames and new not in renames.values():
            renames[old] = new
    renamed = {_rename(name, renames): tensor for name, tensor in tensors.items()}
    return renames if len(renamed) == len(tensors) and not find_misfit(expected, renamed) else {}


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


def _explain_prefix(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    prefix = find_prefix(expected, tensors)
    if not prefix:
        return ""
    inner = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    share = "all names start" if len(inner) == len(tensors) else f"{len(inner)} of {len(tensors)} names start"
    advice = f"add 'prefix: {prefix}' to 'model' in the manifest, or --prefix {prefix} to 'convert'"
    rest = describe_misfit(expected, inner)
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
    listed = ", ".join(f"{old}: {new}" for old, new in renames.items())
    options = " ".join(f"--rename {old}={new}" for old, new in renames.items())
    return f"names differ: add 'rename: {{{listed}}}' to 'model' in the manifest, or {options} to 'convert'"


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


def _find_difference(old: str, new: str) -> tuple[str, str] | None:
    """Return the only component in which two names differ; None if they differ in more."""
    before, after = old.split("."), new.split(".")
    if len(before) != len(after):
        return None
    different = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    return different[0] if len(different) == 1 else None


def _rename(name: str, renames: Mapping[str, str]) -> str:
    for old, new in renames.items():
        name = replace_part(name, old, new)
    return name
