"""Opens a drafted manifest, and tries the usual normalisations on a sample of its training records."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from unlearn_cli.commands.manifest_draft import ManifestDraft
from unlearn_cli.commands.manifest_inputs import open_inputs
from unlearn_cli.commands.network_check import load_checkpoints
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
from unlearn_cli.evaluation.session import Session
from unlearn_cli.evaluation.targets import choose_target
from unlearn_cli.plugins.run_options import RunOptions


def find_trial(
    draft: ManifestDraft,
    is_stated: bool,
    weights: Path,
    folder: Path,
    run_options: RunOptions,
    names: Sequence[str] = (),
) -> Trial | None:
    """Return the trial of the draft if it states its normalisation, else the best one, of those with `names` if given.

    Raises:
        UserError: the draft cannot be used as it is.
    """
    with write_temporarily(draft, folder) as path:
        try:
            options = run_options.model_copy(update={"manifest_folder": folder})
            return _try_manifest(path, draft, is_stated, weights, options, names)
        except UserError as error:
            raise UserError(str(error).replace(str(path), "the drafted manifest")) from None


def _try_manifest(
    path: Path, draft: ManifestDraft, is_stated: bool, weights: Path, run_options: RunOptions, names: Sequence[str]
) -> Trial | None:
    opened = open_inputs(path, run_options, [weights])
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
