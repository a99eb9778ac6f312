"""The figures as a table in Markdown, and as a picture over the number of rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.growth.cost import PATIENCE_SECONDS
from benchmarks.peers.plot import text

WIDTH, LABEL, PLOT_WIDTH, HEIGHT, STEP = 860, 60, 560, 150, 210
COLOURS = ("#c2410c", "#2563eb", "#16a34a", "#9333ea", "#64748b", "#ca8a04", "#db2777", "#0891b2")

Measured = Mapping[int, Mapping[str, float]]
"""Figures by name, by how many retries waited."""


def table(measured: Measured) -> str:
    """Write a line for each figure."""
    head = ["", *(f"{rows:,}" for rows in measured)]
    lines = [head, ["---", *["---:"] * len(measured)]]
    lines += [
        [name, *(number(name, found.get(name)) for found in measured.values())]
        for name in names_of(measured)
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def names_of(measured: Measured) -> list[str]:
    """Return the names of all figures, in the order in which they were measured."""
    return list(dict.fromkeys(name for found in measured.values() for name in found))


def number(name: str, figure: float | None) -> str:
    """Write a figure with as many digits as make sense."""
    if figure is None:
        return "-"
    if name.endswith(", ms") and figure >= PATIENCE_SECONDS * 1000:
        return f"> {PATIENCE_SECONDS * 1000:,}"
    return f"{figure:,.0f}" if figure >= 100 or figure == int(figure) else f"{figure:,.2f}"


CHARTS: Mapping[str, Sequence[str]] = {
    "claims and looks, ms": (
        "claim of 100, none due, ms",
        "claim of 100, all due, ms",
        "look ahead, none due, ms",
        "look ahead, all due, ms",
    ),
    "captures and drain, 1/s": ("bulk capture, 1/s", "single capture, 1/s", "drain of 20,000, 1/s"),
    "reads, ms": (
        "gauges together, ms",
        "retry_queue_stats, ms",
        "list, ms",
        "list --handler nobody, ms",
        "explain, ms",
        "show, ms",
    ),
    "upkeep, ms": (
        "prune_events, all young, ms",
        "prune_events, all older than retention, ms",
        "rescue_retries, ms",
        "route_unrouted, ms",
    ),
    "size, MB": ("all, MB",),
}


def plot(measured: Measured) -> str:
    """Draw the figures over the number of rows, both by powers of ten."""
    height = 50 + STEP * len(CHARTS)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
    lines = [head + 'font-family="sans-serif" font-size="12">']
    lines.append(f'<rect width="{WIDTH}" height="{height}" fill="white"/>')
    for at, (title, names) in enumerate(CHARTS.items()):
        lines += chart(40 + STEP * at, title, names, measured)
    return "\n".join([*lines, "</svg>", ""])


def chart(top: int, title: str, names: Sequence[str], measured: Measured) -> Iterator[str]:
    """Draw one chart with its legend."""
    points = [
        (power(rows), power(found[name]))
        for rows, found in measured.items()
        for name in names
        if name in found
    ]
    if not points:
        return
    low, high = (edge(value for _, value in points) for edge in (min_whole, max_whole))
    first, last = power(min(measured)), power(max(measured))
    bottom = top + HEIGHT

    def place(across: float, up: float) -> tuple[float, float]:
        wide, tall = last - first or 1, high - low or 1
        return (
            LABEL + PLOT_WIDTH * (across - first) / wide,
            bottom - HEIGHT * (up - low) / tall,
        )

    yield text(10, top - 8, title, weight="bold")
    yield f'<path d="M{LABEL} {top} V{bottom} H{LABEL + PLOT_WIDTH}" fill="none" stroke="#94a3b8"/>'
    yield text(5, top + 10, f"{10**high:,g}")
    yield text(5, bottom, f"{10**low:,g}")
    for rows in measured:
        yield text(place(power(rows), low)[0] - 20, bottom + 16, f"{rows:,}")
    for nth, name in enumerate(names):
        colour = COLOURS[nth]
        line = [
            place(power(rows), power(found[name]))
            for rows, found in measured.items()
            if name in found
        ]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
        yield f'<polyline points="{joined}" fill="none" stroke="{colour}"/>'
        yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in line)
        yield text(LABEL + PLOT_WIDTH + 30, top + 10 + 18 * nth, name)
        at = LABEL + PLOT_WIDTH + 15
        yield f'<rect x="{at}" y="{top + 18 * nth}" width="10" height="10" fill="{colour}"/>'


def power(value: float) -> float:
    """Return the power of ten that a figure is; what is next to nothing counts as a hundredth."""
    return math.log10(max(value, 0.01))


def min_whole(values: Iterator[float]) -> int:
    """Return the least of these powers, rounded down."""
    return math.floor(min(values))


def max_whole(values: Iterator[float]) -> int:
    """Return the greatest of these powers, rounded up."""
    return math.ceil(max(values))
