"""Which person, recording or series each record belongs to: such records are one cluster to statistics and halves."""

from dataclasses import replace
from hashlib import blake2b

import numpy as np

from unlearn_cli.data.records import Records
from unlearn_cli.data.strings import Values, as_strings
from unlearn_cli.errors import UserError
from unlearn_cli.manifest import Manifest

ADVICE = "give it that column, or name another one as data.group ('id' where each record stands for itself)"


def grouped(records: Records, manifest: Manifest) -> Records:
    """Return the records with the group of each, if the manifest names a column of groups.

    Raises:
        UserError: the source has no such column, or a record has no value in it.
    """
    column, place = manifest.group_column
    if column is None:
        return records
    try:
        values = records.column(column)
    except UserError as error:
        if place == "forget.groups.column" and records.name == "data.train":
            raise  # the selection itself needs it
        raise UserError(f"{place}: {error}; the records of a group count as one cluster: {ADVICE}") from None
    return replace(records, groups=numbers_of(values, f"{place}: {records.name}: column '{column}'"))


def numbers_of(values: Values, what: str) -> np.ndarray:
    """Return a number (n,) for each record, by a digest of its group's text: the same in train and test.

    Raises:
        UserError: a record has no group.
    """
    names, codes = as_strings(values).numbered()
    if "" in names:
        row = int(np.flatnonzero(codes == names.index(""))[0])
        advice = "or name another column as data.group ('id': each record stands for itself)"
        raise UserError(f"{what} is empty in row {row}; fill it, leave the row out, {advice}")
    digests = [blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest() for name in names]
    return np.frombuffer(b"".join(digests), dtype=np.int64)[codes]


def half_of(groups: np.ndarray) -> np.ndarray:
    """Return the half (n,) of the hold-out that each group lies in, 0 or 1: the last bit of its digest's own digest."""
    different, codes = np.unique(groups, return_inverse=True)
    bits = [blake2b(number.tobytes(), digest_size=1, person=b"half").digest()[0] & 1 for number in different]
    return np.array(bits, dtype=np.int64)[codes.reshape(-1)]
