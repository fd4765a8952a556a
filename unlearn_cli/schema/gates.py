"""Gates, the conditions on a report: `SPLIT.METRIC OP NUMBER`, or `SPLIT.METRIC OP original|reference [+|- NUMBER]`."""

import math
import re
from dataclasses import dataclass
from typing import Literal, cast

from unlearn_cli.errors import UserError, did_you_mean

SPLITS = ("train", "test", "forget", "retain", "test_forget", "test_retain", "forgotten", "model")

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_GRAMMAR = re.compile(
    r"\s*(?P<split>\w+)\.(?P<metric>\w+)\s*(?P<operator><=|>=|==|<|>)\s*"
    rf"(?:(?P<number>[+-]?{_NUMBER})|(?P<other>original|reference)(?:\s*(?P<offset>[+-]\s*{_NUMBER}))?)\s*",
    re.ASCII,
)


@dataclass(frozen=True)
class GateCondition:
    """A parsed gate: one metric compared with a number, or with the same metric of another model."""

    text: str
    split: str
    metric: str
    operator: str
    number: float | None
    other: Literal["original", "reference"] | None
    offset: float


def parse_condition(text: str) -> GateCondition:
    """Parse one condition; refuse an unknown form, an unknown split and a number that is not finite."""
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise UserError(
            f"condition '{text}': expected SPLIT.METRIC OP NUMBER, or SPLIT.METRIC OP original|reference [+|- NUMBER],"
            " with OP one of <= >= < > ==; for example: test_retain.accuracy >= original - 0.02"
        )
    split, metric, operator, number, other, offset = match.groups()
    _check_split(text, split)
    return GateCondition(
        text=text.strip(),
        split=split,
        metric=metric,
        operator=operator,
        number=None if number is None else _parse_finite(text, number),
        other=cast(Literal["original", "reference"] | None, other),
        offset=0.0 if offset is None else _parse_finite(text, offset),
    )


def _check_split(text: str, split: str) -> None:
    if split not in SPLITS:
        raise UserError(f"condition '{text}': unknown split '{split}'; {did_you_mean(split, SPLITS)}")


def _parse_finite(text: str, digits: str) -> float:
    """Parse a number and check that it is finite, which `1e999` is not."""
    number = float(re.sub(r"\s", "", digits))
    if not math.isfinite(number):
        raise UserError(f"condition '{text}': '{digits}' is not a finite number")
    return number
