"""The table as a picture: one group of bars per row, as SVG, with nothing but text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from benchmarks.peers.figures import Spread
from benchmarks.peers.report import Report
from benchmarks.peers.rows import Row

WIDTH, LABEL, BAR, STEP, GAP = 860, 150, 480, 18, 34
COLOURS = {"retryd": "#c2410c", "floor": "#64748b"}
OTHERS = "#60a5fa"
SHOWN = ("rate", "p99", "last_p99", "buffers", "megabytes", "table_mb")
"""The figure of a row that is drawn: the first of these that it has."""


def plot(report: Report, wanted: Sequence[Row]) -> str:
    """Draw it."""
    lines, at = [], 10
    spreads = report.spreads()
    for row in wanted:
        measured = {key[2] for key in spreads if key[0] == row.name}
        figure = next((each for each in SHOWN if each in measured), "")
        bars = [
            (name, spreads[row.name, name, figure])
            for name in report.contenders
            if (row.name, name, figure) in spreads
        ]
        if not bars:
            continue
        at += GAP
        title = row.title if figure == "rate" else f"{row.title}: {figure}"
        lines.append(text(10, at - 8, title, weight="bold"))
        most = max(spread.most for _, spread in bars) or 1
        for name, spread in bars:
            lines += bar(at, name, spread, most)
            at += STEP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{at + 20}" '
    style = 'font-family="sans-serif" font-size="12">'
    back = f'<rect width="{WIDTH}" height="{at + 20}" fill="white"/>'
    return "\n".join([head + style, back, *lines, "</svg>", ""])


def bar(at: int, name: str, spread: Spread, end: float) -> Iterator[str]:
    """Draw one bar with its span."""
    middle = spread.median
    width, low, high = (BAR * value / end for value in (middle, spread.least, spread.most))
    colour = COLOURS.get(name, OTHERS)
    yield text(10, at + 12, name)
    yield f'<rect x="{LABEL}" y="{at}" width="{width:.1f}" height="{STEP - 5}" fill="{colour}"/>'
    across = at + (STEP - 5) / 2
    yield (
        f'<line x1="{LABEL + low:.1f}" x2="{LABEL + high:.1f}" y1="{across}" y2="{across}" '
        'stroke="black"/>'
    )
    yield text(LABEL + high + 8, at + 11, f"{middle:,.0f}" if middle >= 100 else f"{middle:,.1f}")


def text(x: float, y: float, words: str, weight: str = "normal") -> str:
    """Write."""
    return f'<text x="{x:.1f}" y="{y}" font-weight="{weight}">{escape(words)}</text>'
