"""Lays out a table that is at most as wide as the terminal, by wrapping one column of labels."""

import shutil
import textwrap

from unlearn_cli.console import escape_line, table

GAP = 2  # spaces between columns
LEAST_LABEL = 12  # characters of the wrapped column; with fewer, the columns are divided instead


def format_fitted_table(header: list[str], rows: list[list[str]], *, labels: int = 1, width: int | None = None) -> str:
    """Return the table as text of at most `width` characters; default: the terminal's width, 80 in a pipe.

    The first `labels` columns are aligned to the left, the others to the right. The last label is wrapped if necessary;
    if that is not sufficient, columns that do not fit are below the others.
    """
    width = width or shutil.get_terminal_size().columns
    cells = [[escape_line(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    wrapped = labels - 1
    room = width - sum(widths) + widths[wrapped] - GAP * (len(widths) - 1)
    if room < min(LEAST_LABEL, widths[wrapped]):
        return table("", header, rows, labels=labels, width=width)
    widths[wrapped] = min(widths[wrapped], room)
    first, *others = [_lay_out_row(row, widths, labels) for row in cells]
    rule = "-" * max(len(line) for lines in (first, *others) for line in lines)
    return "\n".join([*first, rule, *(line for lines in others for line in lines)])


def _lay_out_row(row: list[str], widths: list[int], labels: int) -> list[str]:
    """Return the lines of one row: the numbers are in the first one."""
    wrapped = labels - 1
    first, *others = textwrap.wrap(row[wrapped], widths[wrapped]) or [""]
    texts = [*row[:wrapped], first, *row[labels:]]
    pairs = list(zip(texts, widths, strict=True))
    left, right = (
        [text.ljust(width) for text, width in pairs[:labels]],
        [text.rjust(width) for text, width in pairs[labels:]],
    )
    indent = " " * (sum(widths[:wrapped]) + GAP * wrapped)
    return [(" " * GAP).join([*left, *right]).rstrip(), *(f"{indent}{line}" for line in others)]
