"""Groups of records of one person, recording or series: one cluster in statistics and in the halves of test."""

from dataclasses import replace
from hashlib import blake2b

import numpy as np

from unlearn_cli.data.notices import make_notices
from unlearn_cli.data.records import Records
from unlearn_cli.data.strings import Strings, to_strings
from unlearn_cli.errors import UserError
from unlearn_cli.schema.data_sections import Data
from unlearn_cli.schema.forget import Forget

ADVICE = "add that column, or set data.group to another one ('id' if all records are independent)"


def find_group_column(data: Data | None, forget: Forget | None) -> tuple[str | None, str]:
    """Return the column of groups, if the manifest has one, and the manifest field that names it."""
    if data and data.group:
        return data.group, "data.group"
    if forget and forget.groups:
        return forget.groups.column, "forget.groups.column"
    for step in data.transform if data else []:
        if step.window and step.window.series:
            return step.window.series, "data.transform.window.series"
    return None, "data.group"


def assign_groups(records: Records, column: str, field: str) -> Records:
    """Add the group of each record, from a column of the source; `field` of the manifest names the column.

    A record with an empty cell becomes a separate cluster and is counted in a notice.

    Raises:
        UserError: the source has no such column.
    """
    try:
        values = to_strings(records.column(column))
    except UserError as error:
        if field == "forget.groups.column" and records.name == "data.train":
            raise  # the selection needs the column
        raise UserError(f"{field}: {error}; the records of a group count as one cluster: {ADVICE}") from None
    groups, empty = number_groups(values), np.flatnonzero(values.sizes == 0)
    groups[empty] = _number_by_digest(records, empty)
    notices = make_notices(records.name, {"records without a group, each a separate cluster": len(empty)})
    return replace(records, groups=groups, notices=(*records.notices, *notices))


def number_groups(values: Strings) -> np.ndarray:
    """Return the number (n,) of each record's group: a digest of its text, so that train and test agree."""
    names, codes = values.factorize()
    digests = [blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest() for name in names]
    return np.frombuffer(b"".join(digests), dtype=np.int64)[codes]


def _number_by_digest(records: Records, rows: np.ndarray) -> np.ndarray:
    """Return a number per row from the digest of its sample, so that its half does not depend on other records."""
    if not len(rows):
        return np.zeros(0, dtype=np.int64)
    digests = np.ascontiguousarray(records.inputs.fingerprints(rows)).view(np.uint8).reshape(len(rows), -1)
    return np.ascontiguousarray(digests[:, :8]).view(np.int64)[:, 0]


def assign_halves(groups: np.ndarray) -> np.ndarray:
    """Return the half (n,) of the hold-out of each group, 0 or 1: the last bit of a digest of its number."""
    different, codes = np.unique(groups, return_inverse=True)
    bits = [blake2b(number.tobytes(), digest_size=1, person=b"half").digest()[0] & 1 for number in different]
    return np.array(bits, dtype=np.int64)[codes.reshape(-1)]
