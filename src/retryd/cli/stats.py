"""`retryd stats`: how much waits, what died, how each handler does, and what needs a look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retryd.cli import output
from retryd.cli.database import Database
from retryd.cli.options import Config, DatabaseUrl, Embedded, Json

if TYPE_CHECKING:
    from retryd.compose import Store
    from retryd.store.reads import Row

# Section, its view, and what of it fits a terminal; --json has every column.
SECTIONS = {
    "alerts": ("retry_queue_alerts", ("severity", "kind", "subject", "detail", "since")),
    "live": (
        "retry_queue_stats",
        ("operation", "handler", "state", "count", "attempts", "oldest_due"),
    ),
    "dead": (
        "dead_letter_stats",
        ("operation", "handler", "status", "reason", "count", "replays", "last_dead_at"),
    ),
    "handlers": (
        "handler_stats",
        ("handler", "match", "due", "waiting", "processing", "parked", "dead", "succeeded_1h",
         "failed_1h"),
    ),
}  # fmt: skip


def stats(
    *,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """Show counts, and what needs a look."""
    found = Database(config, database_url, embedded).ask(read)
    if json_:
        output.print_json(found)
        return
    for section, (view, columns) in SECTIONS.items():
        rows = found[view]
        output.print_heading(section if rows else f"{section}: none")
        if rows:
            output.print_table(columns, [[row[column] for column in columns] for row in rows])


async def read(store: Store) -> dict[str, list[Row]]:
    """Read the four views."""
    reads = store.reads
    return {
        "retry_queue_stats": await reads.retry_queue_stats(),
        "dead_letter_stats": await reads.dead_letter_stats(),
        "handler_stats": await reads.handler_stats(),
        "retry_queue_alerts": await reads.retry_queue_alerts(),
    }
