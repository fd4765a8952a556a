"""Applies the steps of `data.transform` to the records of a source; samples are transformed when they are read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from unlearn_cli.data.records import Inputs, Records, StoredInput, choose_records
from unlearn_cli.data.tables.cells import Block, CellInputs, TextCells, WordCells
from unlearn_cli.data.transforms.encode import find_quantities
from unlearn_cli.data.transforms.enlarge import EnlargedInputs
from unlearn_cli.data.transforms.standardise import StandardisedInputs, Statistics, measure_statistics
from unlearn_cli.data.transforms.tokenizer import open_tokenizer
from unlearn_cli.data.transforms.tokens import Texts, TokenInputs, tokenise, tokenise_with
from unlearn_cli.data.transforms.windows import make_windows
from unlearn_cli.schema.data_sections import Input
from unlearn_cli.schema.transform_steps import Step, Tokens, find_standardise, invert_shape
from unlearn_cli.storage.remote import locate


def derive_stored_input(steps: Sequence[Step], input: Input, dates: Mapping[str, str] = {}) -> StoredInput:
    """Return the stored samples that sources must provide for the transforms to produce `input.shape`.

    `dates` are the formats of the source's columns of dates.
    """
    standardise = find_standardise(steps)
    gaps = standardise is not None and standardise.missing == "mean"
    return StoredInput(invert_shape(steps, input.shape), input.image_steps, gaps, input.scale, dates)


def apply_steps(
    records: Records, steps: Sequence[Step], formats: Mapping[str, str] = {}, folder: Path = Path()
) -> Records:
    """Apply all steps except standardising to one source; standardising needs the retained records first.

    `formats` are those of columns of dates; paths of steps are relative to `folder`.
    Rows without a label are dropped after windows are made, because windows may include them.
    """
    for step in steps:
        if step.tokens:
            records = replace(records, inputs=_tokenise(records.inputs, step.tokens, folder))
        elif step.window:
            records = make_windows(records, step.window, formats)
        elif step.enlarge:
            records = replace(records, inputs=EnlargedInputs(records.inputs, step.enlarge))
    return records if records.labelled is None else choose_records(records, np.flatnonzero(records.labelled))


def make_standardiser(steps: Sequence[Step], basis: Records, rows: np.ndarray) -> Callable[[Records], Records] | None:
    """Return a function that standardises records by fixed numbers or the statistics of rows of `basis`, or None."""
    step = find_standardise(steps)
    if step is None:
        return None
    fixed = step.mean is not None and step.std is not None
    statistics = (
        Statistics(np.array(step.mean), np.array(step.std)) if fixed else measure_statistics(basis.inputs, rows)
    )
    if not fixed and (are_quantities := find_quantities(basis.inputs)) is not None:
        statistics = statistics.only_of(are_quantities)
    return lambda records: replace(records, inputs=StandardisedInputs(records.inputs, statistics))


def _tokenise(inputs: Inputs, tokens: Tokens, folder: Path) -> Inputs:
    if isinstance(inputs, CellInputs):
        return replace(inputs, blocks=[_tokenise_block(block, tokens, folder) for block in inputs.blocks])
    assert isinstance(inputs, Texts)  # the manifest was checked
    return _tokenise_texts(inputs, tokens, folder)


def _tokenise_block(block: Block, tokens: Tokens, folder: Path) -> Block:
    if not isinstance(block, TextCells):
        return block
    numbers = _tokenise_texts(Texts(block.texts), tokens, folder).numbers
    return WordCells(block.columns, numbers.reshape(len(numbers), -1))


def _tokenise_texts(texts: Texts, tokens: Tokens, folder: Path) -> TokenInputs:
    if tokens.tokenizer is None:
        assert tokens.buckets is not None  # the manifest was checked
        return tokenise(texts, tokens.length, tokens.buckets)
    tokenizer = open_tokenizer(locate(tokens.tokenizer, folder), tokens.length)
    return tokenise_with(tokenizer, texts, tokens.length, pair=tokens.pair)
