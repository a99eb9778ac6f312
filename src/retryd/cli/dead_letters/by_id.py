"""`retryd dlq retry` and `resolve`: what is decided about dead letters by their ids."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from retryd.cli.by_id import each, report
from retryd.cli.database import Database
from retryd.cli.options import Config, DatabaseUrl, Embedded, Ids, Json, Reason

if TYPE_CHECKING:
    from retryd.compose import Store


def retry(
    ids: Ids,
    *,
    reason: Reason = None,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """Replay dead letters.

    Each gets a new life under the same id, due at once, its attempts counted anew.
    """
    refusals = Database(config, database_url, embedded).ask(
        lambda store: each(
            ids, lambda id: store.operators.replay_dead_letter(id, reason), why_not(store)
        )
    )
    report("replayed", refusals, json_=json_)


def resolve(
    ids: Ids,
    *,
    reason: Reason = None,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """Close dead letters without another attempt."""
    refusals = Database(config, database_url, embedded).ask(
        lambda store: each(
            ids, lambda id: store.operators.resolve_dead_letter(id, reason), why_not(store)
        )
    )
    report("resolved", refusals, json_=json_)


def why_not(store: Store) -> Callable[[int], Awaitable[str]]:
    """Tell why a dead letter cannot be replayed, resolved or deleted."""

    async def refusal(id: int) -> str:
        row = await store.reads.find_dead_letter(id)
        if row is None:
            return unknown(id)
        if row["status"] == "retrying":
            return f"dead letter {id} is being retried; `retryd show {id}` tells how it goes"
        how = row["resolved_by"]
        return f"dead letter {id} is resolved already ({how}); `retryd show {id}` tells its history"

    return refusal


def unknown(id: int) -> str:
    """Say that there is no such dead letter."""
    return f"there is no dead letter {id}; `retryd dlq list --status all` shows them"
