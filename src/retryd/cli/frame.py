"""One look at everything for `retryd top`, and how it is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from retryd.cli import output

if TYPE_CHECKING:
    from rich.console import RenderableType

    from retryd.compose import Store
    from retryd.store.reads import Row

HANDLERS: Final = (
    "handler",
    "due",
    "waiting",
    "running",
    "parked",
    "oldest due",
    "per s",
    "ok",
    "failed",
    "other",
    "dead",
    "workers",
    "held",
)
ALERTS: Final = ("severity", "kind", "subject", "detail")
# Given up one after the other where a terminal is narrow.
DISPENSABLE: Final = ("other", "waiting", "parked", "workers", "ok", "oldest due", "per s")
SECONDS_OF_RATES: Final = 60
MOST_ALERTS: Final = 6
LONGEST_NAME: Final = 30
SPACE: Final = 3  # between two columns


@dataclass(frozen=True, slots=True)
class Frame:
    """What was seen, and when."""

    at: datetime
    handlers: list[Row]
    alerts: list[Row]
    workers: list[Row]


async def look(store: Store) -> Frame:
    """Read everything once."""
    reads = store.reads
    handlers = await reads.handler_activity()
    alerts = await reads.retry_queue_alerts()
    workers = [row for row in await reads.workers() if row["alive"]]
    return Frame(datetime.now(UTC), handlers, alerts, workers)


def document_of(frame: Frame) -> dict[str, object]:
    """Return a frame as JSON has it."""
    return {
        "handler_activity": frame.handlers,
        "retry_queue_alerts": frame.alerts,
        "workers": frame.workers,
    }


def print_once(frame: Frame) -> None:
    """Print a frame as text."""
    output.print_text(summary(frame))
    typed = (
        ("handlers", HANDLERS, map(handler_cells, frame.handlers)),
        ("alerts", ALERTS, map(alert_cells, frame.alerts)),
    )
    for heading, columns, cells in typed:
        rows = list(cells)
        output.print_heading(heading if rows else f"{heading}: none")
        if rows:
            output.print_table(columns, rows)


def drawn(frame: Frame | None, notice: str | None, interval: float, width: int) -> RenderableType:
    """Return what stands on a terminal: what was seen last, and what is wrong with it.

    What is cut off at the bottom of a small one is idle handlers.
    """
    from rich.console import Group  # noqa: PLC0415 - rich takes long to import
    from rich.text import Text  # noqa: PLC0415

    parts: list[RenderableType] = []
    if notice is not None:
        parts.append(Text(output.harmless(notice), style="bold red"))
    parts.append(Text("looking …" if frame is None else summary(frame), style="bold"))
    parts += [Text(f"every {interval:g} s; q leaves", style="dim"), Text()]
    if frame is None:
        return Group(*parts)
    alerts = lines_of(map(alert_cells, frame.alerts))
    if alerts:
        parts.append(output.rich_table(ALERTS, alerts[:MOST_ALERTS]))
    else:
        parts.append(Text("no alerts", style="green"))
    if (more := len(alerts) - MOST_ALERTS) > 0:
        parts.append(Text(f"and {more} more: `retryd stats`"))
    parts.append(Text())
    handlers = lines_of(map(handler_cells, sorted(frame.handlers, key=is_idle)))
    if handlers:
        parts.append(output.rich_table(*fitting(HANDLERS, handlers, width)))
    else:
        parts.append(Text("no handler is registered: `retryd run --app …` registers its own"))
    return Group(*parts)


def is_idle(row: Row) -> bool:
    """Tell whether nothing is to be told of a handler."""
    busy = ("due", "waiting", "processing", "parked", "attempts_1m", "dead", "held")
    return not any(row[column] for column in busy)


def fitting(
    columns: Sequence[str], lines: Sequence[Sequence[str]], width: int
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Return a table without the columns that it can do without, as far as it is too wide."""
    lines = [[shortened(line[0]), *line[1:]] for line in lines]
    widths = [max(map(len, column)) + SPACE for column in zip(columns, *lines, strict=True)]
    kept = list(range(len(columns)))
    for name in DISPENSABLE:
        if sum(widths[number] for number in kept) > width:
            kept.remove(columns.index(name))
    return [columns[n] for n in kept], [[line[n] for n in kept] for line in lines]


def shortened(name: str) -> str:
    """Return the beginning of a long name."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def lines_of(rows: Iterable[tuple[object, ...]]) -> list[list[str]]:
    """Return rows as text."""
    return [[output.cell(value) for value in row] for row in rows]


def summary(frame: Frame) -> str:
    """Return the sums of a frame."""

    def total(column: str) -> int:
        return sum(row[column] for row in frame.handlers)

    return " · ".join(
        (
            f"retryd at {output.cell(frame.at)}",
            f"workers alive {len(frame.workers)}",
            f"due {total('due')}",
            f"running {total('processing')}",
            f"attempts/s {total('attempts_1m') / SECONDS_OF_RATES:.2f}",
            f"dead letters {total('dead')}",
            f"held {sum(row['held'] is not None for row in frame.handlers)}",
        )
    )


def handler_cells(row: Row) -> tuple[object, ...]:
    """Return a handler's line; outcomes are those of the last minute."""
    other = row["attempts_1m"] - row["succeeded_1m"] - row["failed_1m"]
    name = row["handler"] if row["handler"] is not None else "(unrouted)"
    return (
        name,
        row["due"],
        row["waiting"],
        row["processing"],
        row["parked"],
        None if row["oldest_due_seconds"] is None else f"{row['oldest_due_seconds']:.0f} s",
        f"{row['attempts_1m'] / SECONDS_OF_RATES:.2f}",
        row["succeeded_1m"],
        row["failed_1m"],
        other,
        row["dead"],
        row["workers"],
        row["held"],
    )


def alert_cells(row: Row) -> tuple[object, ...]:
    """Return an alert's line."""
    return tuple(row[column] for column in ALERTS)
