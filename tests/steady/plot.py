"""The run as a picture: a line for each thing over time, as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from benchmarks.peers.plot import text
from tests.steady.judge import COSTS
from tests.steady.run import Record

WIDTH, HEIGHT, LEFT, TOP, STEP = 860, 150, 60, 40, 210
PLOT_WIDTH = 560
COLOURS = ("#c2410c", "#2563eb", "#16a34a", "#9333ea", "#64748b", "#ca8a04", "#db2777", "#0891b2")
MOST_LINES = len(COLOURS)


def plot(record: Record) -> str:
    """Draw it."""
    charts = charts_of(record)
    height = TOP + STEP * len(charts)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
    style = 'font-family="sans-serif" font-size="12">'
    lines = [head + style, f'<rect width="{WIDTH}" height="{height}" fill="white"/>']
    for number, (title, series) in enumerate(charts.items()):
        lines += chart(TOP + STEP * number, title, series, record.samples[-1].at)
    return "\n".join([*lines, "</svg>", ""])


Series = Mapping[str, Sequence[tuple[float, float]]]


def charts_of(record: Record) -> dict[str, Series]:
    """Return what is drawn: titles, and lines by name; of tables and indexes the largest."""
    samples = record.samples
    largest = sorted(samples[-1].bytes, key=lambda name: -samples[-1].bytes[name])[:MOST_LINES]
    tables = sorted(samples[-1].rows, key=lambda name: -samples[-1].rows[name])[:MOST_LINES]
    costs = {
        name: [
            (later.at, buffers / units)
            for earlier, later in pairwise(samples)
            for buffers, units in [spent(earlier, later)]
            if units
        ]
        for name, spent in COSTS.items()
    }
    return {
        "tables and indexes, MB": {
            name: [(sample.at, sample.bytes.get(name, 0) / 1e6) for sample in samples]
            for name in largest
        },
        "rows": {name: [(each.at, each.rows.get(name, 0)) for each in samples] for name in tables},
        "dead rows": {
            name: [(sample.at, sample.dead.get(name, 0)) for sample in samples] for name in tables
        },
        "buffers": costs,
        "memory of a worker, MB": {
            name: [(sample.at, sample.resident_mb[name]) for sample in samples]
            for name in samples[-1].resident_mb
        },
        "due to start, ms": {
            name: [(sample.at, sample.pickup_ms[index]) for sample in samples]
            for index, name in enumerate(("p50", "p99"))
        },
        "connections; age of the oldest snapshot, s": {
            "connections": [(sample.at, sample.connections) for sample in samples],
            "snapshot": [(sample.at, sample.snapshot_seconds) for sample in samples],
        },
    }


def chart(top: float, title: str, series: Series, seconds: float) -> Iterator[str]:
    """Draw one chart with its legend."""
    most = max((value for line in series.values() for _, value in line), default=0) or 1
    bottom = top + HEIGHT
    yield text(10, int(top - 8), title, weight="bold")
    yield (f'<path d="M{LEFT} {top} V{bottom} H{LEFT + PLOT_WIDTH}" fill="none" stroke="#94a3b8"/>')
    yield text(10, int(top + 10), f"{most:,.0f}" if most >= 100 else f"{most:,.1f}")
    yield text(LEFT + PLOT_WIDTH - 30, int(bottom + 14), f"{seconds:,.0f} s")
    for number, (name, line) in enumerate(series.items()):
        points = " ".join(
            f"{LEFT + PLOT_WIDTH * at / seconds:.1f},{bottom - HEIGHT * value / most:.1f}"
            for at, value in line
        )
        colour = COLOURS[number % len(COLOURS)]
        yield f'<polyline points="{points}" fill="none" stroke="{colour}"/>'
        at = LEFT + PLOT_WIDTH + 15
        yield f'<rect x="{at}" y="{top + 18 * number}" width="10" height="10" fill="{colour}"/>'
        yield text(at + 15, int(top + 18 * number + 10), name)
