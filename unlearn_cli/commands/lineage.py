"""Is a reference one? What its metadata says it was trained on, against the splits of the manifest. No torch."""

from pathlib import Path

from unlearn_cli.checkpoint_header import read_header
from unlearn_cli.commands.inputs import Opened, content_digest
from unlearn_cli.errors import UserError

PREFIX = "unlearn_cli."


def check_references(references: tuple[Path, ...], opened: Opened) -> list[str]:
    """Refuse references that were trained on forget; return caveats on those of which nothing is known.

    Raises:
        UserError: the lineage of one says that it was trained on train, or unlearned from a checkpoint.
    """
    if "forget" not in opened.dataset.splits:
        return []
    train, retain = (content_digest(opened.dataset.split(name)) for name in ("train", "retain"))
    unknown = 0
    for path in references:
        metadata = read_header(path).metadata
        known = {key.removeprefix(PREFIX): text for key, text in metadata.items() if key.startswith(PREFIX)}
        _refuse(path, known, train, opened.manifest.digest)
        unknown += not _verified(known, retain, opened.manifest.digest)
    if not unknown:
        return []
    return [f"That {unknown} of {len(references)} references never saw forget is the user's word: no lineage shows it."]


def _refuse(path: Path, known: dict[str, str], train: str, manifest: str) -> None:
    advice = "'unlearn-cli train --split retain' makes a reference"
    on_train = known.get("trained_on") == train or (
        known.get("split") == "train" and known.get("manifest") == manifest and "trained_on" not in known
    )
    if on_train:
        raise UserError(f"--reference {path}: was trained on train, which holds what is to be forgotten; {advice}")
    method = known.get("method", "train")
    if method not in ("train", "retrain"):
        raise UserError(f"--reference {path}: was made by {method} from a checkpoint that knew forget; {advice}")


def _verified(known: dict[str, str], retain: str, manifest: str) -> bool:
    """Say whether the lineage shows that retain alone was trained on."""
    if "trained_on" in known:
        return known["trained_on"] == retain and "parent" not in known
    from_scratch = known.get("method") == "retrain" or (known.get("split") == "retain" and "parent" not in known)
    return from_scratch and known.get("manifest") == manifest
