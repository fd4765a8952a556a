"""The section `data.transform` of the manifest: transforms of stored samples before they enter the network."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from unlearn_cli.schema.sources import FilePath, Section, added

Buckets = Annotated[PositiveInt, Field(ge=2, le=2**24)]  # float32 represents all integers up to 2**24
Factor = Annotated[PositiveInt, Field(ge=2)]


SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800}
GAP = rf"(\d+(?:\.\d+)?)({'|'.join(SECONDS)})"


class Tokens(Section):
    """Converts columns of text to numbers of words: lower-cased, hashed (CRC-32) to 1 .. buckets - 1; 0 pads left.

    With `tokenizer`, the numbers are those of its tokens, padded with its padding token.
    """

    length: PositiveInt = Field(description="number of words of each column to keep, from its start")
    buckets: Buckets | None = Field(
        default=None, description="number of different values, including 0; this or `tokenizer` is required"
    )
    tokenizer: FilePath | None = added(None, "a folder with tokenizer.json of Hugging Face, or the file")
    pair: bool = added(
        False, "with `tokenizer`: two columns become one sequence with the separator in between, of shape [1, length]"
    )

    @model_validator(mode="after")
    def check(self) -> Self:
        if (self.buckets is None) == (self.tokenizer is None):
            raise ValueError("expected exactly one of buckets and tokenizer")
        if self.pair and self.tokenizer is None:
            raise ValueError("'pair' needs 'tokenizer', because hashed words have no separator")
        return self


class Window(Section):
    """Converts rows in the order of time to series: a record has the `length` rows that end `ahead` rows before it."""

    length: PositiveInt = Field(description="number of rows of a window")
    ahead: NonNegativeInt = Field(default=1, description="0: the window ends with the record's own row")
    every: PositiveInt = Field(default=1, description="keep each nth row as a record; windows use all rows")
    time: str | None = Field(
        default=None, description="the column by which rows of a series must ascend: numbers or dates"
    )
    series: str | None = Field(
        default=None, description="the column with the series of a row; windows do not cross series"
    )
    max_gap: PositiveFloat | Annotated[str, Field(pattern=rf"^{GAP}$")] | None = Field(
        default=None, description="omit windows with a larger step in time: a number, or 30s, 15min, 2h, 1d, 1w"
    )

    @model_validator(mode="after")
    def check(self) -> Self:
        if self.max_gap is not None and self.time is None:
            raise ValueError("max_gap needs a column of times; add time: COLUMN")
        return self

    @property
    def gap_seconds(self) -> float:
        """The largest gap in seconds, if it is a duration."""
        number, unit = re.fullmatch(GAP, str(self.max_gap)).groups()  # type: ignore[union-attr]
        return float(number) * SECONDS[unit]


class Standardise(Section):
    """(x - mean) / std per feature, with the statistics of the retain split (of train if nothing is forgotten)."""

    missing: Literal["refuse", "mean"] = Field(default="refuse", description="mean: an empty cell becomes 0")
    mean: Annotated[list[float], Field(min_length=1)] | None = Field(
        default=None, description="fixed numbers instead of the statistics"
    )
    std: Annotated[list[NonNegativeFloat], Field(min_length=1)] | None = Field(
        default=None, description="as mean; a feature with std 0 becomes 0"
    )

    @model_validator(mode="after")
    def check(self) -> Self:
        if (self.mean is None) != (self.std is None) or len(self.mean or []) != len(self.std or []):
            raise ValueError("mean and std must be given together, each with one number per feature")
        return self


class Step(Section):
    """One transform."""

    tokens: Tokens | None = None
    window: Window | None = None
    standardise: Standardise | None = None
    enlarge: Factor | None = Field(default=None, description="images: every pixel becomes a square with this side")

    @model_validator(mode="after")
    def check(self) -> Self:
        if len(self.model_fields_set) != 1 or getattr(self, self.name) is None:
            raise ValueError(f"is one transform; expected exactly one of {', '.join(type(self).model_fields)}")
        return self

    @property
    def name(self) -> str:
        return min(self.model_fields_set)


def find_standardise(steps: Sequence[Step]) -> Standardise | None:
    return next((step.standardise for step in steps if step.standardise), None)


def invert_shape(steps: Sequence[Step], shape: list[int]) -> list[int]:
    """Return the shape of stored samples that the steps transform to `shape`, the manifest's input.shape.

    Raises:
        ValueError: the steps cannot produce this shape.
    """
    for number, step in enumerate(steps):
        if step.name in [other.name for other in steps[:number]]:
            raise ValueError(f"data.transform: duplicate {step.name}; remove one of the two")
        if step.tokens and (number or any(not other.standardise for other in steps[1:])):
            raise ValueError(
                "data.transform: only standardise can follow tokens, for numbers next to text; remove other transforms"
            )
    for step in reversed(steps):
        shape = _invert_shape(step, shape)
    standardise = find_standardise(steps)
    if standardise and standardise.mean and len(standardise.mean) != shape[-1]:
        raise ValueError(
            f"data.transform: standardise has {len(standardise.mean)} numbers, but there are {shape[-1]} features"
        )
    return shape


def _invert_shape(step: Step, shape: list[int]) -> list[int]:
    """Return the shape of samples before one step."""
    advice = f"but input.shape is {shape}; make them agree"
    if step.tokens:
        return _invert_tokens(step.tokens, shape, advice)
    if step.window:
        if len(shape) != 2 or shape[0] != step.window.length:
            raise ValueError(f"data.transform: window makes samples of [{step.window.length}, features], {advice}")
        return shape[1:]
    if step.enlarge:
        if len(shape) != 3 or any(size % step.enlarge for size in shape[1:]):
            raise ValueError(f"data.transform: enlarge makes images with sides divisible by {step.enlarge}, {advice}")
        return [shape[0], *(size // step.enlarge for size in shape[1:])]
    if len(shape) == 3:
        raise ValueError(
            f"data.transform: standardise is only for features, {advice.partition(';')[0]}; for images, set "
            "input.mean and input.std"
        )
    return shape


def _invert_tokens(tokens: Tokens, shape: list[int], advice: str) -> list[int]:
    if len(shape) == 1:  # numbers next to text
        return shape
    if len(shape) != 2 or shape[1] != tokens.length:
        raise ValueError(f"data.transform: tokens makes [columns of text, {tokens.length}], {advice}")
    if tokens.pair and shape[0] != 1:
        raise ValueError(f"data.transform: tokens with 'pair' makes [1, {tokens.length}], {advice}")
    return [2] if tokens.pair else shape[:1]
