"""Checks references: compares the training data in their metadata with the splits of the manifest. No torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.console import pluralize
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.run_inputs import RunInputs, content_digest, selection_digest

if TYPE_CHECKING:
    from unlearn_cli.checkpoints.checkpoint import Checkpoint

PREFIX = "unlearn_cli."
ManifestKeys = tuple[tuple[str | None, str | None], ...]  # 'manifest_digest' and, of old checkpoints, 'manifest'


def name_reference(number: int) -> str:
    """Return the role of the reference with this number, from 0: reference, reference_2, ..."""
    return "reference" if number == 0 else f"reference_{number + 1}"


def refuse_same_weights(checkpoints: "Mapping[str, Checkpoint]") -> None:
    """Refuse a reference with the weights of the subject or of another reference.

    Raises:
        UserError: with the names of both files.
    """
    by_digest = {checkpoints["subject"].tensor_digest: checkpoints["subject"]}
    for role, checkpoint in checkpoints.items():
        if role.startswith("reference"):
            other = by_digest.setdefault(checkpoint.tensor_digest, checkpoint)
            if other is not checkpoint:
                raise UserError(
                    f"--reference {checkpoint.path}: has the same weights as {other.path}; use one from a separate "
                    "training"
                )


def check_references(references: tuple[Path, ...], opened: RunInputs) -> list[str]:
    """Refuse references that were trained on forget; return caveats on those without a lineage.

    Raises:
        UserError: the lineage of a reference shows that it was trained on train, or unlearned from a checkpoint.
    """
    if "forget" not in opened.dataset.splits:
        return []
    train, retain = (content_digest(opened.dataset.split(name)) for name in ("train", "retain"))
    manifest_keys = ((opened.digests.content, None), (None, opened.digests.with_forget))
    unknown = 0
    for path in references:
        metadata = read_header(path).metadata
        lineage = {key.removeprefix(PREFIX): text for key, text in metadata.items() if key.startswith(PREFIX)}
        _refuse(path, lineage, train, manifest_keys)
        unknown += not _is_verified(lineage, retain, opened)
    if not unknown:
        return []
    of = pluralize(len(references), "reference")
    return [f"No lineage shows that {unknown} of {of} never saw forget: this is an assertion of the user."]


def _refuse(path: Path, lineage: dict[str, str], train: str, manifest_keys: ManifestKeys) -> None:
    advice = "train a reference with 'unlearn-cli train --split retain'"
    of_manifest = (lineage.get("manifest_digest"), lineage.get("manifest")) in manifest_keys
    on_train = lineage.get("split") == "train" and of_manifest and "trained_on" not in lineage
    if on_train or lineage.get("trained_on") == train:
        raise UserError(f"--reference {path}: was trained on train, which contains the forget split; {advice}")
    method = lineage.get("method", "train")
    if method not in ("train", "retrain"):
        raise UserError(
            f"--reference {path}: was unlearned by {method} from a checkpoint that was trained on forget; {advice}"
        )


def _is_verified(lineage: dict[str, str], retain: str, opened: RunInputs) -> bool:
    """Return whether the lineage shows a training on only retain: by the digest of its content or of the selection."""
    from_scratch = lineage.get("method") == "retrain" or "parent" not in lineage
    if "trained_on" in lineage:
        return from_scratch and lineage["trained_on"] == retain
    selection = selection_digest(opened)
    on_retain = lineage.get("method") == "retrain" or lineage.get("split") == "retain"
    same = (lineage.get("manifest_digest"), lineage.get("selection_digest")) == (opened.digests.content, selection)
    return from_scratch and on_retain and selection is not None and same
