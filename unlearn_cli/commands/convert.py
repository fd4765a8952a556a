"""`unlearn-cli convert`: read a checkpoint of another format without running code, and write it as safetensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unlearn_cli import console
from unlearn_cli.checkpoints import foreign_formats
from unlearn_cli.checkpoints.tensor_names import dotted, find_common_prefix
from unlearn_cli.checkpoints.unsupported_weights import advise_kind
from unlearn_cli.checkpoints.wrapper_names import (
    describe_prefix,
    describe_starts,
    find_averaged_prefixes,
    find_wrapping_prefix,
    rename_parts,
    strip_wrappers,
    take_prefix,
)
from unlearn_cli.commands.claiming import claim_output
from unlearn_cli.commands.manifest_inputs import open_inputs
from unlearn_cli.commands.result import Result
from unlearn_cli.console import pluralize
from unlearn_cli.errors import UserError, prefix_field
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.storage import atomic_files
from unlearn_cli.storage.version import VERSION

if TYPE_CHECKING:
    from torch import Tensor

    from unlearn_cli.checkpoints.contents import WeightSet

MOST_EXPANDED = 100  # times the bytes of the storages, which expanded tensors may need


@dataclass(frozen=True)
class ConvertOptions:
    """What to read, which part of it, with which names, and where to write it."""

    source: Path
    out: Path | None  # None: list only
    key: str | None = None
    ema: bool = False
    prefix: str = ""
    renames: tuple[str, ...] = ()  # old=new
    manifest: Path | None = None
    omit_unprefixed: bool = False  # if most names share a prefix, the others are left out


def run(options: ConvertOptions, common: RunOptions) -> Result:
    """Convert one checkpoint, or list what it contains.

    Raises:
        UserError: the format is not supported, the weights are not unique, or they do not fit; nothing in the file is
            ever executed.
    """
    with claim_output(common.overwrite, options.out):
        return run_with_claim(options, common)


def run_with_claim(options: ConvertOptions, common: RunOptions) -> Result:
    """Run `convert` while this process holds the claim on its output."""
    _check_options(options, common)
    foreign_formats.recognise(foreign_formats.find_checkpoint(options.source))
    if part := foreign_formats.describe_part(options.source):
        console.warn(f"{options.source}: is {part} of a checkpoint; for all tensors, name its index or its folder")
    opened = open_inputs(options.manifest, common, facts_next_to=options.out) if options.manifest else None
    from unlearn_cli.checkpoints.checkpoint import refuse_non_finite
    from unlearn_cli.checkpoints.contents import choose_weights  # imports torch: only after the other checks
    from unlearn_cli.checkpoints.foreign_files import read_contents

    contents = read_contents(options.source)
    if options.out is None:
        from unlearn_cli.commands.inspect_checkpoint import list_contents

        return list_contents(contents)
    weights = choose_weights(contents, options.key, averaged=options.ema)
    with prefix_field(f"{options.source}"):
        tensors = cast_small(name_tensors(weights, options), options.source)
        check_tensors(tensors)
        refuse_non_finite(tensors)
    if opened:
        _check_fit(options.source, opened, tensors)
    elif note := describe_prefix(tensors):
        console.warn(f"{options.source}: {note}")
    result = _write(options, options.out, weights, tensors, contents.metadata, overwrite=common.overwrite)
    if opened and opened.facts:
        opened.facts.save()
    return result


def name_tensors(weights: "WeightSet", options: ConvertOptions) -> "dict[str, Tensor]":
    """Return the tensors with the names of the network; say what is stripped and left out.

    Raises:
        UserError: a prefix or a part of names does not occur, or two tensors would have the same name.
    """
    tensors, removed = weights.tensors, list[str]()
    if not (options.prefix and any(name.startswith(dotted(options.prefix)) for name in tensors)):
        tensors, removed = strip_wrappers(tensors)
    prefix = options.prefix or _choose_averaged_prefix(weights, tensors, averaged=options.ema)
    if options.omit_unprefixed and not prefix:
        prefix = _find_prefix_of_network(tensors)
    if prefix:
        count = len(tensors)
        tensors, again = strip_wrappers(take_prefix(tensors, prefix))
        removed += again
        if len(tensors) < count:
            console.say(f"{options.source}: left out, without the prefix: {pluralize(count - len(tensors), 'tensor')}")
    if removed:
        console.say(f"{options.source}: removed from names, added by wrappers: {', '.join(removed)}")
    if weights.others:
        console.say(f"{options.source}: left out, not tensors: {', '.join(list(weights.others)[:5])}")
    for assignment in options.renames:
        old, _, new = assignment.partition("=")
        tensors = rename_parts(tensors, old, new)
    return tensors


def _find_prefix_of_network(tensors: "Mapping[str, Tensor]") -> str:
    """Return the prefix of most names, if those without it do not belong to the network; '' if all names have one."""
    from unlearn_cli.checkpoints.tensor_facts import find_head

    prefix, head = find_wrapping_prefix(tensors), find_head(tensors)
    is_part = head is not None and head.name.startswith(prefix)
    return prefix if is_part and not find_common_prefix(tensors) else ""


def _choose_averaged_prefix(weights: "WeightSet", tensors: "Mapping[str, Tensor]", *, averaged: bool) -> str:
    """Return the prefix of averages in the same set of weights, if they are requested; '' if there are none.

    Raises:
        UserError: there are averages and no choice, or a choice and several averages, or none.
    """
    prefixes = find_averaged_prefixes(tensors)
    if averaged and not weights.is_averaged and not prefixes:
        raise UserError(f"--ema: contains no averaged weights; names start with {describe_starts(tensors)}")
    if not prefixes or (averaged and len(prefixes) == 1 and not weights.is_averaged):
        return prefixes[0] if prefixes else ""
    raise UserError(
        f"contains averaged weights under {' and '.join(f'`{prefix}`' for prefix in prefixes)}, next to others; choose "
        f"one with --prefix; names start with {describe_starts(tensors)}"
    )


def cast_small(tensors: "dict[str, Tensor]", source: Path) -> "dict[str, Tensor]":
    """Return the tensors with floating-point numbers of 8 bits as float32, and say how many there were.

    Raises:
        UserError: the numbers are multiples of scales in other tensors.
    """
    from unlearn_cli.checkpoints.contents import has_eight_bits
    from unlearn_cli.checkpoints.network_fit import describe_foreign

    small = {name: tensor.float() for name, tensor in tensors.items() if has_eight_bits(tensor)}
    reason = describe_foreign(tensors)
    if small and reason:
        raise UserError(reason)
    if reason:
        console.warn(f"{source}: {reason}")
    if small:
        console.say(f"{source}: {pluralize(len(small), 'tensor')} of 8-bit numbers written as float32")
    return {**tensors, **small}


def check_tensors(tensors: "dict[str, Tensor]") -> None:
    """Refuse tensors and names that a checkpoint cannot hold.

    Raises:
        UserError: with the name of the tensor.
    """
    from unlearn_cli.checkpoints.contents import count_bytes, find_unusual_kind

    for name, tensor in tensors.items():
        if kind := find_unusual_kind(tensor):
            raise UserError(f"{name} is a {kind} tensor; {advise_kind(kind)}")
        # Names must be text that a safetensors header can store, and must differ from the key of its metadata.
        if not name.isprintable() or name == "__metadata__":
            raise UserError(f"{name!a} is not a name for a tensor; rename it")
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors.values()}
    needed = sum(count_bytes(tensor) for tensor in tensors.values())
    if needed > MOST_EXPANDED * (sum(storages.values()) + 2**20):
        raise UserError(f"its tensors need {needed} bytes, but it contains {sum(storages.values())}; fetch it again")


def _check_options(options: ConvertOptions, common: RunOptions) -> None:
    foreign_formats.find_checkpoint(options.source)
    for assignment in options.renames:
        if "=" not in assignment:
            raise UserError(f"--rename {assignment}: expected OLD=NEW, such as linear=fc")
    if options.key is not None and options.ema:
        raise UserError("--ema: cannot be combined with --key; name the averaged weights with --key")
    if options.out is None:
        if options.key is not None or options.ema or options.prefix or options.renames or options.manifest:
            raise UserError("--list: shows all contents, so it cannot be combined with options that choose weights")
        return
    if options.out.suffix != ".safetensors":
        raise UserError(f"{options.out}: the output is a .safetensors file; use that suffix")
    if foreign_formats.find_checkpoint(options.source).resolve() == options.out.resolve():
        raise UserError(f"{options.out}: is the input; choose another name")
    atomic_files.check_output(options.out, common.overwrite, "file")


def _check_fit(source: Path, opened: RunInputs, tensors: "dict[str, Tensor]") -> None:
    """Refuse weights that do not fit the network of a manifest, with its own prefix and renamed parts applied."""
    from unlearn_cli.checkpoints.network_fit import complete_tied, describe_misfit
    from unlearn_cli.commands.network_check import advise_classes, check_network, make_mapping

    network = check_network(opened)
    with prefix_field(f"{opened.path}"):
        names = make_mapping(opened, network).apply(tensors)
    named = complete_tied(network, {new: tensors[old] for old, new in names.items()})
    if misfit := describe_misfit(network.state_dict(), named, advise_classes(opened.dataset)):
        raise UserError(f"{source}: does not fit the architecture of {opened.path}; {misfit}")


def _write(
    options: ConvertOptions,
    out: Path,
    weights: "WeightSet",
    tensors: "dict[str, Tensor]",
    metadata: dict[str, str],
    *,
    overwrite: bool,
) -> Result:
    from unlearn_cli.checkpoints.checkpoint import PREFIX, tensor_digest
    from unlearn_cli.checkpoints.stored_names import find_shared
    from unlearn_cli.runtime.tensor_file import LazyTensors, write_tensors

    omitted = find_shared(tensors, ())
    written = LazyTensors({name: tensor for name, tensor in tensors.items() if name not in omitted})
    foreign = {key: value for key, value in metadata.items() if value not in weights.tensors}  # names of shared tensors
    own = {f"{PREFIX}version": VERSION, f"{PREFIX}tensor_digest": tensor_digest(written)}
    with atomic_files.output_file(out, replace=overwrite) as new:
        write_tensors(new, written, {**foreign, **omitted, "format": "pt", **own})
    if weights.key:
        console.say(f"{options.source}: weights taken: {weights.describe()}")
    return Result(str(out), {"checkpoint": str(out), "tensors": len(written), "key": weights.key})
