"""Names that wrappers of training programs add to those of a network's tensors, and other parts at the beginning."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import TypeVar

from unlearn_cli.checkpoints.tensor_names import dotted, find_common_prefix, has_part, replace_part
from unlearn_cli.errors import UserError

Value = TypeVar("Value")

OUTER = ("module", "_orig_mod", "_forward_module")  # of DistributedDataParallel, torch.compile and Fabric
INNER = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")  # anywhere in a name
USUAL = ("model", "net", "network", "student", "generator")  # attributes under which programs hold their network
AVERAGED = ("ema", "averaged", "shadow", "swa")  # words in the names of averaged weights
LEAST_SHARE = 0.3  # of the tensors, that are an average of the others
COUNTS = {"total_ops", "total_params"}  # buffers that thop.profile adds to every layer
COUNTER = "n_averaged"  # the step counter that torch.optim.swa_utils.AveragedModel stores next to the weights


def strip_wrappers(tensors: Mapping[str, Value]) -> tuple[dict[str, Value], list[str]]:
    """Remove what wrappers add to names; return the tensors, and what was removed.

    Raises:
        UserError: two tensors would have the same name.
    """
    stripped = {name: value for name, value in tensors.items() if name.rpartition(".")[2] not in COUNTS}
    removed = [f"{', '.join(sorted(COUNTS))} (counts of thop)"] if len(stripped) < len(tensors) else []
    if COUNTER in stripped and len(stripped) > 1:
        rest = {name: value for name, value in stripped.items() if name != COUNTER}
        if all(name.startswith("module.") for name in rest):
            stripped, removed = rest, [*removed, COUNTER]
    # Wrappers may be nested in any order: compiled, then distributed, or the other way round.
    while part := _find_wrapper(stripped):
        stripped = rename(stripped, {name: name.removeprefix(f"{part}.") for name in stripped})
        removed.append(f"{part}.")
    for part in INNER:
        if any(has_part(name, part) for name in stripped):
            stripped = rename(stripped, {name: replace_part(name, part, "") for name in stripped})
            removed.append(f"{part}.")
    return stripped, removed


def take_prefix(tensors: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    """Return the tensors whose names start with a prefix, without it.

    Raises:
        UserError: there is none.
    """
    start = dotted(prefix)
    taken = {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
    if not taken:
        raise UserError(
            f"--prefix {prefix}: no name starts with `{start}`; names start with {describe_starts(tensors)}"
        )
    return taken


def rename_parts(tensors: Mapping[str, Value], old: str, new: str) -> dict[str, Value]:
    """Replace a part of all names.

    Raises:
        UserError: no name has it, or two names would be equal.
    """
    if not any(has_part(name, old) for name in tensors):
        raise UserError(
            f"--rename {old}={new}: no name has the part '{old}'; names start with {describe_starts(tensors)}"
        )
    return rename(tensors, {name: replace_part(name, old, new) for name in tensors})


def rename(tensors: Mapping[str, Value], names: Mapping[str, str]) -> dict[str, Value]:
    """Return the tensors with new names.

    Raises:
        UserError: a name would be empty, or two would be equal.
    """
    counts = Counter(names.values())
    if wrong := next((name for name in tensors if counts[names[name]] > 1 or not names[name]), None):
        raise UserError(f"'{wrong}' and another tensor would be named '{names[wrong]}'; rename fewer parts")
    return {names[name]: value for name, value in tensors.items()}


def is_averaged(name: str) -> bool:
    """Whether a key or a component of a name means averaged weights, such as `state_dict_ema` or `ema1`."""
    words = name.lower().replace(".", "_").replace("-", "_").split("_")
    return any(word.rstrip("0123456789") in AVERAGED for word in words)


def find_averaged_prefixes(names: Collection[str]) -> list[str]:
    """Return the beginnings of names under which one set of weights contains averages of the others (`net_ema.`)."""
    counts = Counter(name.partition(".")[0] for name in names if "." in name)
    starts = [start for start, count in counts.items() if is_averaged(start) and count >= LEAST_SHARE * len(names)]
    return [f"{start}." for start in starts] if len(counts) > len(starts) else []


def find_wrapping_prefix(names: Collection[str]) -> str:
    """Return a prefix that probably belongs to a wrapper: of all names, or a usual one of most; '' if there is none."""
    prefix = find_common_prefix(names)
    while prefix and len({name.removeprefix(prefix).split(".")[0] for name in names}) < 2:
        prefix = "".join(f"{part}." for part in prefix.split(".")[:-2])
    if prefix:
        return prefix
    counts = Counter(name.partition(".")[0] for name in names if "." in name)
    if find_averaged_prefixes(names):
        return max((f"{part}." for part in counts if not is_averaged(part)), key=lambda start: counts[start[:-1]])
    return next((f"{part}." for part in (*USUAL, *OUTER) if 2 * counts[part] > len(names)), "")


def describe_prefix(names: Collection[str]) -> str:
    """Return one line about a prefix that probably belongs to a wrapper; '' if there is none."""
    prefix = find_wrapping_prefix(names)
    if not prefix:
        return ""
    count = sum(name.startswith(prefix) for name in names)
    share = "all names start" if count == len(names) else f"{count} of {len(names)} names start"
    return f"{share} with `{prefix}`; --prefix {prefix} takes only these and removes it from their names"


def describe_starts(names: Collection[str]) -> str:
    """Return the first components of names with their numbers, the most frequent first."""
    counts = Counter(name.partition(".")[0] + ("." if "." in name else "") for name in names)
    listed = ", ".join(f"{start} ({count})" for start, count in counts.most_common(5))
    return listed + (f" and {len(counts) - 5} more" if len(counts) > 5 else "")


def _find_wrapper(names: Collection[str]) -> str | None:
    return next((part for part in OUTER if names and all(name.startswith(f"{part}.") for name in names)), None)
