"""Mutated input of every kind is read or refused in one line: no other error, no warning, nothing left behind."""

import pytest

from tests.fuzzing.readers import READERS, run

TOLERANT = {"notes on a URL", "state of a run", "requests", "request values"}  # what is wrong is set aside or made anew
SLOW = {"csv", "jsonl", "parquet", "ids csv", "ids jsonl"}  # a new database for each case


@pytest.mark.parametrize("name", READERS)
def test_a_mutated_file_is_read_or_refused(name: str) -> None:
    reader = READERS[name]
    found = run(reader, 40 if name in SLOW else 100)
    assert all(one.code == 0 for one in found[: len(reader.seeds())]), "what is not mutated is read"
    assert any(one.code for one in found) or name in TOLERANT, "some are refused"
