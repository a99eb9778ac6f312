"""`retryd dlq`: the retries that died, and what a person decides about them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from retryd.cli import output
from retryd.cli.database import Database
from retryd.cli.failure import PROBLEM, tell
from retryd.cli.options import (
    Before,
    Config,
    DatabaseUrl,
    Embedded,
    Handler,
    Id,
    Ids,
    Json,
    Limit,
    Operation,
    Reason,
    check_operation,
)
from retryd.cli.retries import case_of, error_of, print_case
from retryd.domain.errors import NotFound

if TYPE_CHECKING:
    from retryd.compose import Store
    from retryd.store.reads import Row

Status: TypeAlias = Literal["open", "pending", "failed", "retrying", "resolved", "all"]
Cause: TypeAlias = Literal[
    "exhausted", "rejected", "expired", "undecodable", "worker_lost", "snoozed_out", "loop"
]

STATUSES = {"open": ["pending", "failed"], "all": None}

app = typer.Typer(help="Look after the dead letters.", rich_markup_mode=None)


@app.command("list")
def list_dead_letters(
    *,
    status: Annotated[
        Status, typer.Option(help="open: never replayed, or died again after a replay.")
    ] = "open",
    reason: Annotated[Cause | None, typer.Option(help="Why they died.")] = None,
    handler: Handler = None,
    operation: Operation = None,
    limit: Limit = 50,
    before: Before = None,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """List dead letters."""
    check_operation(operation)
    rows = Database(config, database_url, embedded).ask(
        lambda store: store.reads.list_dead_letters(
            statuses=STATUSES.get(status, [status]),
            reason=reason,
            handler=handler,
            operation=operation,
            before=before,
            limit=limit,
        )
    )
    if json_:
        output.print_json(rows)
        return
    output.print_table(
        ("id", "status", "reason", "operation", "handler", "replays", "died", "error"),
        [
            (
                row["id"],
                row["status"],
                row["reason"],
                row["operation"],
                row["handler"],
                row["replays"],
                row["dead_at"],
                error_of(row),
            )
            for row in rows
        ],
    )


@app.command("show")
def show(
    id: Id,
    *,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """Show a dead letter and its history."""

    async def read(store: Store) -> Row:
        if await store.reads.find_dead_letter(id) is None:
            raise NotFound(unknown(id))
        return await case_of(store, id)

    found = Database(config, database_url, embedded).ask(read)
    if json_:
        output.print_json(found["dead_letter"] | {"timeline": found["timeline"]})
    else:
        print_case(found)


@app.command("retry")
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
        lambda store: each(store, store.operators.replay_dead_letter, ids, reason)
    )
    report("replayed", refusals, json_=json_)


@app.command("resolve")
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
        lambda store: each(store, store.operators.resolve_dead_letter, ids, reason)
    )
    report("resolved", refusals, json_=json_)


async def each(
    store: Store,
    act: Callable[[int, str | None], Awaitable[bool]],
    ids: list[int],
    reason: str | None,
) -> dict[int, str | None]:
    """Do it to each dead letter; returns by id what stood in the way, None where it is done."""
    refusals: dict[int, str | None] = {}
    for id in dict.fromkeys(ids):
        done = await act(id, reason)
        refusals[id] = None if done else refusal(id, await store.reads.find_dead_letter(id))
    return refusals


def refusal(id: int, row: Row | None) -> str:
    """Say why a dead letter cannot be replayed or resolved."""
    if row is None:
        return unknown(id)
    if row["status"] == "retrying":
        return f"dead letter {id} is being retried; `retryd show {id}` tells how it goes"
    how = row["resolved_by"]
    return f"dead letter {id} is resolved already ({how}); `retryd show {id}` tells its history"


def unknown(id: int) -> str:
    """Say that there is no such dead letter."""
    return f"there is no dead letter {id}; `retryd dlq list --status all` shows them"


def report(participle: str, refusals: dict[int, str | None], *, json_: bool) -> None:
    """Print what was done, tell what was not; any of the latter is a problem."""
    done = [id for id, problem in refusals.items() if problem is None]
    if json_:
        output.print_json({participle: done, "refused": [id for id in refusals if id not in done]})
    else:
        for id in done:
            typer.echo(f"{participle} {id}")
    for problem in filter(None, refusals.values()):
        tell(problem)
    if len(done) < len(refusals):
        raise typer.Exit(PROBLEM)
