"""`retryd explain`: why a retry is not running, and what a person can do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import typer

from retryd.cli import output
from retryd.cli.database import Database
from retryd.cli.options import Config, DatabaseUrl, Embedded, Id, Json
from retryd.domain.errors import NotFound

if TYPE_CHECKING:
    from retryd.store.reads import Row

# By the reasons of the SQL function explain_retry; None: there is nothing to do.
REMEDIES: Final[dict[str, str | None]] = {
    "running": None,
    "lease_expired": "start a worker, `retryd run`, if none is there",
    "parked": "`retryd explain` the one that it waits for",
    "unrouted": "start a worker with a handler that matches, `retryd run`",
    "too_old": "start a worker, `retryd run`, if none is there; replay it from the dead letters",
    "not_due": "`retryd retry-now {id}` makes it due at once",
    "lane_held": "`retryd handler resume` ends a pause; `retryd handler forget` frees what a"
    " forgotten handler has left",
    "no_worker": "start a worker that serves it, `retryd run`",
    "due": "wait, or start more workers",
    "retrying": None,
    "completed": None,
    "cancelled": None,
    "superseded": None,
    "dead": "`retryd dlq retry {id}` gives it a new life",
    "resolved": None,
}


def explain(
    id: Id,
    *,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """Tell why a retry is not running.

    Every reason that stands in its way, and what to do about it.
    """
    reasons = Database(config, database_url, embedded).ask(
        lambda store: store.reads.explain_retry(id)
    )
    if not reasons:
        message = f"there is no retry {id}, or retention has removed it; `retryd list` shows ids"
        raise NotFound(message)
    if json_:
        output.print_json({"id": id, "reasons": reasons})
        return
    for reason in reasons:
        print_reason(id, reason)


def print_reason(id: int, row: Row) -> None:
    """Print a reason, its time and its remedy."""
    times = [
        f"{word} {output.cell(row[word])}" for word in ("since", "until") if row[word] is not None
    ]
    output.print_text(
        f"{row['reason'].replace('_', ' ')}{', ' if times else ''}{', '.join(times)}", style="bold"
    )
    output.print_text(f"  {' '.join(row['detail'].split())}")
    remedy = REMEDIES[row["reason"]]
    if remedy is not None:
        typer.echo(f"  → {remedy.format(id=id)}")
