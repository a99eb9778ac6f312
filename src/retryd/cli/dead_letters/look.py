"""`retryd dlq list` and `show`: the dead letters as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from retryd.cli import output
from retryd.cli.database import Database
from retryd.cli.dead_letters.by_id import unknown
from retryd.cli.dead_letters.filters import CauseOption, statuses_of
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
from retryd.cli.retries import case_of, error_of, print_case
from retryd.domain.errors import NotFound

if TYPE_CHECKING:
    from retryd.compose import Store
    from retryd.store.reads import Row

Status: TypeAlias = Literal["open", "pending", "failed", "retrying", "resolved", "all"]


def list_dead_letters(
    *,
    status: Annotated[
        Status, typer.Option(help="open: never replayed, or died again after a replay.")
    ] = "open",
    reason: CauseOption = None,
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
            statuses=statuses_of(status),
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
