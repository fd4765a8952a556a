"""Values of conditions on columns of numbers, and of true and false."""

from collections.abc import Sequence
from typing import Any

from unlearn_cli.errors import UserError
from unlearn_cli.schema.spelling import number_of


def check_numbers(given: Sequence[Any], label: str, *, is_boolean: bool) -> None:
    """Refuse text, 1 for true and true for 1, which are equal for NumPy and DuckDB; `label` names the column.

    Raises:
        UserError: a value is of another kind than the column; the message has no value, which may be personal data.
    """
    for number in map(number_of, given):
        if number is None or isinstance(number, bool) != is_boolean:
            content, expected = ("true and false", "true or false") if is_boolean else ("numbers", "numbers")
            raise UserError(f"{label} contains {content}; compare it with {expected}")
