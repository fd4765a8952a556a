"""Applies the steps of `data.transform` to the records of a source; samples are transformed when they are read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from unlearn_cli.data.records import Inputs, Records, StoredInput, choose_records
from unlearn_cli.data.tables.cells import Block, CellInputs, TextCells, WordCells
from unlearn_cli.data.transforms.encode import find_quantities
from unlearn_cli.data.transforms.enlarge import EnlargedInputs
from unlearn_cli.data.transforms.standardise import StandardisedInputs, Statistics, measure_statistics
from unlearn_cli.data.transforms.tokens import Texts, tokenise
from unlearn_cli.data.transforms.windows import make_windows
from unlearn_cli.schema.data_sections import Input
from unlearn_cli.schema.transform_steps import Step, Tokens, find_standardise, invert_shape


def derive_stored_input(steps: Sequence[Step], input: Input, dates: Mapping[str, str] = {}) -> StoredInput:
    """Return the stored samples that sources must provide for the transforms to produce `input.shape`.

    `dates` are the formats of the source's columns of dates.
    """
    standardise = find_standardise(steps)
    gaps = standardise is not None and standardise.missing == "mean"
    return StoredInput(invert_shape(steps, input.shape), input.image_steps, gaps, input.scale, dates)


def apply_steps(records: Records, steps: Sequence[Step], formats: Mapping[str, str] = {}) -> Records:
    """Apply all steps except standardising to one source; standardising needs the retained records first.

    Rows without a label are dropped after windows are made, because windows may include them.
    """
    for step in steps:
        if step.tokens:
            records = replace(records, inputs=_tokenise(records.inputs, step.tokens))
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


def _tokenise(inputs: Inputs, tokens: Tokens) -> Inputs:
    if isinstance(inputs, CellInputs):
        return replace(inputs, blocks=[_tokenise_block(block, tokens) for block in inputs.blocks])
    assert isinstance(inputs, Texts)  # the manifest was checked
    return tokenise(inputs, tokens.length, tokens.buckets)


def _tokenise_block(block: Block, tokens: Tokens) -> Block:
    if not isinstance(block, TextCells):
        return block
    numbers = tokenise(Texts(block.texts), tokens.length, tokens.buckets).numbers
    return WordCells(block.columns, numbers.reshape(len(numbers), -1))
