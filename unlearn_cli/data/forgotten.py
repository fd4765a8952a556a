"""What earlier runs made the network forget, taken out of the records that this one trains and keeps."""

from dataclasses import dataclass

import numpy as np

from unlearn_cli.console import pluralize
from unlearn_cli.data.records import Records, choose
from unlearn_cli.data.selection import ids_of, listed_ids
from unlearn_cli.data.strings import as_strings
from unlearn_cli.errors import UserError
from unlearn_cli.schema.manifest import Manifest


@dataclass(frozen=True)
class Divided:
    """The records of a source without the forgotten ones, and these; `unresolved` ids belong to no record any more."""

    kept: Records
    forgotten: Records | None
    unresolved: int = 0


def divide(manifest: Manifest, train: Records) -> Divided:
    """Take out what the manifest's `forgotten` lists: samples that are not among the kept cannot be taught again.

    Raises:
        UserError: `forget` lists one of these ids, two records share one, or no record would be left.
    """
    if manifest.forgotten is None:
        return Divided(train, None)
    listed = set(ids_of(manifest.forgotten.ids_file, manifest.folder, "forgotten.ids_file"))
    _refuse_both(manifest, listed)
    known = as_strings(train.ids)
    mask = known.are_among(listed)
    resolved = len(set(known[mask].tolist()))
    if mask.sum() > resolved:
        forgotten = pluralize(resolved, "forgotten id names", "forgotten ids name")
        raise UserError(f"{train.name}: the ids are not unique: {forgotten} {mask.sum()} records")
    if mask.all():
        raise UserError(
            f"forgotten.ids_file: 'forgotten' lists all {len(train)} records of {train.name}; nothing is left to train "
            "on"
        )
    if not resolved:
        return Divided(train, None, len(listed))
    kept, taken = choose(train, np.flatnonzero(~mask)), choose(train, np.flatnonzero(mask))
    return Divided(kept, taken, len(listed) - resolved)


def _refuse_both(manifest: Manifest, listed: set[str]) -> None:
    if manifest.forget is None:
        return
    both = sorted(listed.intersection(listed_ids(manifest.forget, manifest.folder)))
    if both:
        raise UserError(
            f"forget: {pluralize(len(both), 'id is', 'ids are')} in 'forget' and in 'forgotten', the first is "
            f"'{both[0]}'; what is forgotten already need not be forgotten again: take them out of 'forget'"
        )
