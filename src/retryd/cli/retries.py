"""`retryd list` and `retryd show`: retries as they are, and what happened to one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from retryd.cli import output
from retryd.cli.database import Database
from retryd.cli.options import (
    Before,
    Config,
    DatabaseUrl,
    Embedded,
    Handler,
    Id,
    Json,
    Limit,
    Operation,
    check_operation,
)
from retryd.domain.errors import NotFound

if TYPE_CHECKING:
    from retryd.compose import Store
    from retryd.store.reads import Row

Place: TypeAlias = Literal["live", "done", "all"]
State: TypeAlias = Literal["pending", "processing", "parked", "completed", "cancelled"]


def list_retries(
    *,
    place: Annotated[Place, typer.Option(help="Where they are.")] = "all",
    state: Annotated[State | None, typer.Option(help="In this state.")] = None,
    handler: Handler = None,
    operation: Operation = None,
    limit: Limit = 50,
    before: Before = None,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """List live and done retries.

    The dead ones are in `retryd dlq list`.
    """
    check_operation(operation)
    rows = Database(config, database_url, embedded).ask(
        lambda store: store.reads.list_retries(
            place=None if place == "all" else place,
            state=state,
            handler=handler,
            operation=operation,
            before=before,
            limit=limit,
        )
    )
    if json_:
        output.print_json(rows)
        return
    columns = ("id", "place", "state", "operation", "handler", "attempt", "next attempt", "error")
    output.print_table(
        columns,
        [
            (
                row["id"],
                row["place"],
                row["state"],
                row["operation"],
                row["handler"],
                attempt_of(row),
                row["next_attempt_at"] if row["state"] == "pending" else None,
                error_of(row),
            )
            for row in rows
        ],
    )


def show(
    id: Id,
    *,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """Show a retry and its history.

    Wherever it is: live, done or dead.
    """
    found = Database(config, database_url, embedded).ask(lambda store: case_of(store, id))
    if json_:
        output.print_json(found)
    else:
        print_case(found)


async def case_of(store: Store, id: int) -> Row:
    """Read all that is known of a retry. Raises NotFound."""
    row = await store.reads.find_retry(id)
    if row is None:
        message = f"there is no retry {id}, or retention has removed it; `retryd list` shows ids"
        raise NotFound(message)
    return {
        **row,
        "dead_letter": await store.reads.find_dead_letter(id),
        "timeline": await store.reads.timeline(id),
    }


def print_case(found: Row) -> None:
    """Print a retry, its event, its dead letter and its timeline for a person."""
    output.print_text(f"retry {found['id']}", style="bold")
    output.print_facts(
        {
            "place": found["place"] or "removed by retention",
            "state": found["state"],
            "handler": found["handler"] or "none that matches is registered",
            "policy": found["policy"],
            "priority": found["priority"],
            "ordering key": found["ordering_key"],
            "attempt": attempt_of(found),
            "life": found["life"],
            "next attempt": found["next_attempt_at"] if found["state"] == "pending" else None,
            "claimed by": found["claimed_by"],
            "lease until": found["lease_expires_at"],
            "ended": found["ended_at"],
        }
    )
    output.print_heading("event")
    output.print_facts(
        {
            "type": found["event_type"],
            "operation": found["operation"],
            "event id": found["event_id"],
            "source": found["source"] or None,
            "correlation id": found["correlation_id"],
            "captured": found["captured_at"],
        }
    )
    output.print_heading("payload")
    output.print_text(output.pretty(found["payload"]))
    if found["attributes"]:
        output.print_heading("attributes")
        output.print_text(output.pretty(found["attributes"]))
    if found["dead_letter"] is not None:
        print_dead_letter(found["dead_letter"])
    output.print_heading("timeline")
    output.print_table(
        ("at", "step", "life", "attempt", "what", "seconds", "by"),
        [
            (
                step["at"],
                step["step"],
                step["life"],
                step["attempt"],
                told(step),
                step["seconds"],
                step["worker"] or step["actor"],
            )
            for step in found["timeline"]
        ],
    )


def print_dead_letter(row: Row) -> None:
    """Print what a case file has beside the retry."""
    output.print_heading("dead letter")
    output.print_facts(
        {
            "status": row["status"],
            "reason": row["reason"],
            "died": row["dead_at"],
            "replays": row["replays"],
            "replayed": row["replayed_at"],
            "resolved": row["resolved_at"],
            "resolved by": row["resolved_by"],
            "error": error_of(row),
        }
    )
    if row["error_stack"]:
        output.print_heading("stack of the error")
        output.print_text(row["error_stack"].rstrip())


def told(step: Row) -> str | None:
    """Return in words what a step of the timeline brought."""
    words: list[Any] = [step["outcome"], step["reason"], error_of(step)]
    if step["next_attempt_at"] is not None:
        words.append(f"again at {output.cell(step['next_attempt_at'])}")
    return "; ".join(word for word in words if word) or None


def attempt_of(row: Row) -> str:
    """Return how many attempts were made of how many, lost ones apart."""
    lost = f" + {row['lost_attempts']} lost" if row["lost_attempts"] else ""
    return f"{row['attempt'] - row['lost_attempts']}/{row['max_retries']}{lost}"


def error_of(row: Row) -> str | None:
    """Return type and message of an error."""
    return ": ".join(filter(None, (row["error_type"], row["error_message"]))) or None
