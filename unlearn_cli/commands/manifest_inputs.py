"""Opens the data of a manifest and checks the headers of the checkpoints, before torch is imported."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from unlearn_cli import console
from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.commands.plan import count_splits
from unlearn_cli.data.dataset import Dataset, open_dataset
from unlearn_cli.data.halves import take_half
from unlearn_cli.data.held_out import add_held_out, count_copies, name_selection_half, name_source
from unlearn_cli.data.images.file_facts import open_facts
from unlearn_cli.data.notices import format_notices
from unlearn_cli.data.selection import resolve_groups_file
from unlearn_cli.errors import UserError, prefix_field
from unlearn_cli.evaluation.recorded_categories import choose_recorded_categories
from unlearn_cli.evaluation.reported_half import choose_half
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.plugins import suitability
from unlearn_cli.plugins.names import read_manifest
from unlearn_cli.plugins.plugin import Plugin
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.schema.data_sections import DataSections
from unlearn_cli.schema.literals import Half
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.schema.network_sections import NetworkSections
from unlearn_cli.schema.public_text import format_without_ids
from unlearn_cli.storage import atomic_files
from unlearn_cli.storage.path_variables import expand_path


def open_inputs(
    path: Path,
    common: RunOptions,
    checkpoints: Sequence[Path | None] = (),
    out: Path | None = None,
    *,
    decode: bool = False,
    like: Path | None = None,
    facts_next_to: Path | None = None,
) -> RunInputs:
    """Read the manifest, check output and checkpoint headers, open the data; with `decode`, decode all images.

    `like` is another checkpoint, whose recorded categories of columns are used. Facts about image files are stored next
    to `out`, or, for a command that checks its output itself, next to `facts_next_to`.

    Raises:
        UserError: something is wrong with one of them.
    """
    manifest = read_manifest(path, common.manifest_folder)
    return open_manifest(
        manifest, path, common, checkpoints, out, decode=decode, like=like, facts_next_to=facts_next_to
    )


def open_manifest(
    manifest: Manifest,
    path: Path,
    common: RunOptions,
    checkpoints: Sequence[Path | None] = (),
    out: Path | None = None,
    *,
    decode: bool = False,
    default_half: Half = "all",
    held_out: bool = False,
    alternative: str = "",
    like: Path | None = None,
    facts_next_to: Path | None = None,
    digested: bool = True,
) -> RunInputs:
    """Do the same as `open_inputs` for a manifest that has been read: a pipe can be read only once.

    `default_half` of test is reported if the options name none; `held_out`: the method has this input;
    `alternative`: a setting with which it has not, for messages. `facts_next_to` as for `open_inputs`; `digested`:
    images are read as a whole, because the run compares their digests.

    Raises:
        UserError: as `open_inputs`.
    """
    check_device_and_code(path, manifest.network_sections, common)
    check_files(path, manifest.data_sections, common, checkpoints, out)
    opened = open_data(
        manifest,
        path,
        common,
        checkpoints,
        out or facts_next_to,
        decode=decode,
        default_half=default_half,
        held_out=held_out,
        alternative=alternative,
        like=like,
        digested=digested,
    )
    for line in opened.reported.describe():
        console.warn(line) if opened.reported.is_biased else console.say(line)
    return opened


def open_data(
    manifest: Manifest,
    path: Path,
    common: RunOptions,
    checkpoints: Sequence[Path | None] = (),
    out: Path | None = None,
    *,
    decode: bool = False,
    default_half: Half = "all",
    held_out: bool = False,
    alternative: str = "",
    like: Path | None = None,
    digested: bool = True,
) -> RunInputs:
    """Open the data and warn about rows that are left out or changed; messages name the manifest.

    Facts about image files are stored next to the output `out`; `digested` as for `open_manifest`.

    Raises:
        UserError: as `open_dataset`, `add_held_out` and `take_half`.
    """
    try:
        recorded = choose_recorded_categories([*filter(None, (*checkpoints, like))])
        sections = manifest.data_sections
        if sections.forget and sections.data:
            sections = replace(sections, forget=resolve_groups_file(sections.forget, sections.folder))
        facts = open_facts(out, cached=common.cache) if digested else None
        dataset = open_dataset(
            sections,
            forget_duplicates=common.forget_duplicates,
            decode=decode,
            categories=recorded,
            check_network=partial(check_network, manifest, path, [*filter(None, checkpoints)], common, decode),
            facts=facts,
        )
        dataset = count_copies(dataset)
        dataset = add_held_out(dataset, alternative) if held_out else dataset
        given, division = name_source(dataset) if held_out else None, name_selection_half(dataset)
        reported = choose_half(common.half, default_half, filter(None, checkpoints), division, given)
        dataset = take_half(dataset, reported.half)
    except NetworkError as error:  # names the manifest, or the checkpoint
        raise UserError(str(error)) from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    for line in format_notices(dataset.notices):
        console.warn(line)
    network, text = manifest.network_sections, format_without_ids(manifest)
    return RunInputs(path, network, sections.forget, manifest.digests, text, dataset, common, reported, facts)


class NetworkError(UserError):
    """The manifest's network cannot be built, or a checkpoint does not fit it."""


def check_network(
    manifest: Manifest, path: Path, checkpoints: Sequence[Path], common: RunOptions, is_dry_run: bool, dataset: Dataset
) -> None:
    """Check the network, and the headers of the checkpoints against it; needs torch, but no images.

    A dry run shows the selection even if the network is wrong.

    Raises:
        NetworkError: one of them is wrong.
    """
    from unlearn_cli.commands.network_check import check_headers

    try:
        check_headers(path, manifest.network_sections, dataset, checkpoints)
    except UserError as error:
        if is_dry_run:
            console.show(
                f"{count_splits(dataset, common.batch_size)[0]}\nimages: not read, because the network is wrong"
            )
        raise NetworkError(str(error)) from None


def check_selection(method: Plugin, dataset: Dataset, present: set[str], path: Path) -> None:
    """Refuse records to forget that do not suit a method; `present` are the sections of the manifest.

    Raises:
        UnsuitableSelection: with the methods that suit them.
    """
    suitability.check_selection(method, dataset.forget_classes, present, path)
    if dataset.task == "regression" and {"forget", "retain"} <= dataset.splits.keys():
        forget, retain = (dataset.splits[name].labels for name in ("forget", "retain"))
        suitability.check_range(method, forget, retain, present, path)


def check_device_and_code(path: Path, network: NetworkSections, common: RunOptions) -> None:
    """Check the name of the device, and that the user's own code is allowed if the manifest names some.

    Raises:
        UserError: the name is wrong, or the code is not allowed.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", common.device):
        raise UserError(f"--device {common.device}: expected auto, cpu, cuda, cuda:N or mps")
    for key, name in network.own_code.items():
        if not common.allow_code:
            raise UserError(f"{path}: {key}: {name} is your own code; allow it with --allow-code")


def check_files(
    path: Path,
    sections: DataSections,
    common: RunOptions,
    checkpoints: Sequence[Path | None],
    out: Path | None,
    kind: Literal["folder", "file"] = "folder",
) -> None:
    """Check that the output replaces no input, and check the checkpoints' headers.

    Raises:
        UserError: a file is wrong.
    """
    given = [weights for weights in checkpoints if weights]
    if out is not None:
        refuse_replacing(out, (*given, path, *_list_data_paths(sections, path)))
        atomic_files.check_output(out, common.overwrite, kind)
    for weights in given:  # last, because those behind a URL are downloaded
        read_header(weights)


def refuse_replacing(out: Path, files: Iterable[Path]) -> None:
    """Refuse an output that is or contains one of these input files.

    Raises:
        UserError: with the name of the file.
    """
    inside = [file for file in files if _lies_in(file, out)]
    if inside:
        raise UserError(f"--out {out}: would replace the input {inside[0]}; choose another --out")


def _list_data_paths(sections: DataSections, manifest: Path) -> Iterator[Path]:
    sources = sections.data.sources if sections.data else {}
    for name, source in sources.items():
        with prefix_field(f"{manifest}: data.{name}"):
            paths = [expand_path(value) for _, value in source.spec or () if isinstance(value, Path)]
        yield from (sections.folder / path for path in paths)


def _lies_in(path: Path, folder: Path) -> bool:
    return folder.resolve() in (path.resolve(), *path.resolve().parents)
