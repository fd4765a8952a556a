"""Opens a drafted manifest, and tries the usual normalisations on a sample of its training records."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from unlearn_cli.commands.manifest_draft import ManifestDraft
from unlearn_cli.commands.manifest_inputs import open_manifest
from unlearn_cli.commands.network_check import load_checkpoints
from unlearn_cli.data.dataset import Split
from unlearn_cli.data.images.image_sources import read_otherwise
from unlearn_cli.data.records import StoredInput
from unlearn_cli.data.transforms.pipeline import derive_stored_input
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation import session
from unlearn_cli.evaluation.normalisations import (
    Normalisation,
    Trial,
    list_normalisations,
    measure_channels,
    take_sample,
    try_normalisations,
)
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.evaluation.session import Session
from unlearn_cli.evaluation.targets import choose_target
from unlearn_cli.plugins.names import read_manifest
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.schema.manifest import Manifest


class DraftInputs:
    """Opens the data of the drafts of one command; the same images are listed and checked once for all sizes."""

    def __init__(self, weights: Path, folder: Path, run_options: RunOptions) -> None:
        self.weights, self.folder = weights, folder
        self.run_options = run_options.model_copy(update={"manifest_folder": folder})
        self._last: tuple[ManifestDraft, RunInputs] | None = None

    def open(self, path: Path, draft: ManifestDraft) -> RunInputs:
        """Open the manifest of a draft."""
        manifest = read_manifest(path, self.folder)
        opened = self._reuse(manifest, path, draft)
        opened = opened or open_manifest(manifest, path, self.run_options, [self.weights], digested=False)
        self._last = draft, opened
        return opened

    def _reuse(self, manifest: Manifest, path: Path, draft: ManifestDraft) -> RunInputs | None:
        """Return the inputs of the last draft with images of other sizes; None if the data differs otherwise."""
        if self._last is None or self._last[0].layout != draft.layout or manifest.data_sections.transform:
            return None
        opened = self._last[1]
        input = derive_stored_input((), manifest.data_sections.input)
        splits = {name: _read_otherwise(split, input) for name, split in opened.dataset.splits.items()}
        changed = {name: split for name, split in splits.items() if split is not None}
        if len(changed) < len(splits):
            return None
        dataset = replace(opened.dataset, splits=changed)
        return replace(opened, path=path, network=manifest.network_sections, digests=manifest.digests, dataset=dataset)


def _read_otherwise(split: Split, input: StoredInput) -> Split | None:
    inputs = read_otherwise(split.records.inputs, input)
    return None if inputs is None else replace(split, records=replace(split.records, inputs=inputs))


def find_trial(draft: ManifestDraft, is_stated: bool, inputs: DraftInputs, names: Sequence[str] = ()) -> Trial | None:
    """Return the trial of the draft if it states its normalisation, else the best one, of those with `names` if given.

    Raises:
        UserError: the draft cannot be used as it is.
    """
    with write_temporarily(draft, inputs.folder) as path:
        try:
            return _try_manifest(inputs.open(path, draft), draft, is_stated, inputs.weights, names)
        except UserError as error:
            raise UserError(str(error).replace(str(path), "the drafted manifest")) from None


def _try_manifest(
    opened: RunInputs, draft: ManifestDraft, is_stated: bool, weights: Path, names: Sequence[str]
) -> Trial | None:
    checkpoint = load_checkpoints(opened, {"subject": weights})["subject"]
    scale = choose_target(opened, checkpoint.metadata, weights)
    with session.start(opened, target=scale) as current:
        sample = take_sample(current)
        candidates = list_candidates(current, draft, is_stated)
        chosen = [each for each in candidates if each.name in names] or candidates
        trials = try_normalisations(current, current.load(checkpoint), sample, chosen)
    return trials[0] if trials else None


def list_candidates(current: Session, draft: ManifestDraft, is_stated: bool) -> list[Normalisation]:
    """Return the normalisation of the draft, and for images whose normalisation is not stated the usual ones."""
    section = current.sections.input
    standardised = any("standardise" in step for step in draft.transform)
    name = "as stated" if is_stated else "columns are standardised" if standardised else "as stored"
    own = Normalisation(name, section.mean, section.std, section.scale, is_new=False)
    if is_stated or draft.layout.kind != "images":
        return [own]
    return list_normalisations(section.shape[0], measure_channels(take_sample(current)))


@contextmanager
def write_temporarily(draft: ManifestDraft, folder: Path) -> Iterator[Path]:
    """Write the draft to a file that is removed afterwards; its paths are relative to `folder`."""
    with tempfile.TemporaryDirectory(prefix="unlearn-cli-") as temporary:
        path = Path(temporary) / "draft.yaml"
        path.write_text(draft.format(folder), encoding="utf-8")
        yield path
