"""Matplotlib figures as SVG that can be put into a page: same look everywhere, same bytes every time.

The colours of a figure are variables of the page's style sheet, which has a light and a dark set.
"""

import hashlib
import html
import re
import warnings
from collections.abc import Callable
from io import StringIO

from markupsafe import Markup
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 6.0
LONGEST_LABEL, LETTERS_A_LINE = 34, 45
INK, QUIET, GRID, BAND, FAINT = "#222222", "#8a8a8a", "#e6e6e6", "#dddddd", "#cccccc"
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"  # distinct for colour-blind people, and dark enough on white
PINK, BROWN, SKY, VIOLET = "#cc79a7", "#7a5c00", "#56b4e9", "#6a51a3"
LINES = (BLUE, ORANGE, GREEN, PINK, BROWN, SKY, INK, VIOLET)
VARIABLES = {  # colour of a figure -> variable of the style sheet
    INK: "ink",
    QUIET: "axis",
    GRID: "grid",
    BAND: "band",
    FAINT: "faint",
    BLUE: "blue",
    ORANGE: "orange",
    GREEN: "green",
    PINK: "pink",
    BROWN: "brown",
    SKY: "sky",
    VIOLET: "violet",
}
COLOR = re.compile(r"(?<=: )#[0-9a-f]{6}\b(?=[;\"])")

STYLE = {
    "svg.hashsalt": "unlearn_cli",
    "svg.fonttype": "none",  # text stays text: small, can be searched, and the page's reader has all letters
    "text.parse_math": False,  # a class may be called "$x$"
    "font.family": "sans-serif",
    "font.size": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "legend.frameon": False,
    "legend.fontsize": 11,
}


def draw_svg(title: str, paint: Callable[[Axes], object], height: float = 3.6) -> Markup:
    """Return the drawing of `paint` as an SVG element with a title for screen readers.

    `paint` must use the colours of this module.
    """
    text = StringIO()
    with style.context(["default", STYLE]), warnings.catch_warnings():
        # The font used for measuring lacks some scripts; the browser, which draws, has them.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        paint(figure.subplots())
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return Markup(inline_svg(text.getvalue(), title))


def inline_svg(svg: str, title: str) -> str:
    """Prepare a file's SVG for a page: no prolog, no fixed size, a title, unique ids, and variables as colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' width="[\d.]+pt" height="[\d.]+pt"', ' role="img"', svg, count=1)
    svg = svg.replace(">", f">\n <title>{html.escape(title)}</title>", 1)
    prefix = hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = re.sub(r'( id="|url\(#|xlink:href="#)', rf"\1f{prefix}-", svg)
    return COLOR.sub(lambda match: f"var(--{VARIABLES[match[0]]})" if match[0] in VARIABLES else match[0], svg)


def place_legend(axes: Axes) -> None:
    """Place the legend above the axes, where it hides no data, in as many columns as fit."""
    handles, names = axes.get_legend_handles_labels()
    labels = [name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1]}…" for name in names]
    columns = max(number for number in range(1, len(labels) + 1) if number == 1 or fits_legend(labels, number))
    axes.legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2)


def fits_legend(labels: list[str], columns: int) -> bool:
    """Return whether a legend of `columns` columns fits into the figure; a line sample is as wide as six letters."""
    rows = -(-len(labels) // columns)
    widest = [max(map(len, labels[first : first + rows])) + 6 for first in range(0, len(labels), rows)]
    return sum(widest) <= LETTERS_A_LINE
