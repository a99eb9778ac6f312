"""`retryd retry-now` and `cancel`; and what is done to retries by their ids, one by one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from retryd.cli import output
from retryd.cli.database import Database
from retryd.cli.failure import PROBLEM, tell
from retryd.cli.options import Config, DatabaseUrl, Embedded, Ids, Json

if TYPE_CHECKING:
    from retryd.compose import Store

Why: TypeAlias = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why; others see it.")
]


def retry_now(
    ids: Ids,
    *,
    reason: Why = None,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """Make retries that wait due at once.

    They run when their turn comes; `retryd explain ID` tells what else stands in the way.
    """
    refusals = Database(config, database_url, embedded).ask(
        lambda store: each(
            ids, lambda id: store.operators.retry_now(id, reason), why_not_now(store)
        )
    )
    report("due", refusals, json_=json_)


def cancel(
    ids: Ids,
    *,
    reason: Why = None,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """Stop live retries for good.

    A worker that runs one of them can no longer report what comes of it.
    """
    refusals = Database(config, database_url, embedded).ask(
        lambda store: each(ids, lambda id: store.operators.cancel_retry(id, reason), why_not(store))
    )
    report("cancelled", refusals, json_=json_)


def why_not_now(store: Store) -> Callable[[int], Awaitable[str]]:
    """Tell why a retry cannot be made due."""
    ended = why_not(store)

    async def refusal(id: int) -> str:
        row = await store.reads.find_retry(id)
        match row and row["state"]:
            case "processing":
                return f"retry {id} is running; `retryd explain {id}` tells who runs it"
            case "parked":
                return f"retry {id} waits for another; `retryd explain {id}` tells for which"
        return await ended(id)

    return refusal


def why_not(store: Store) -> Callable[[int], Awaitable[str]]:
    """Tell why a retry is not live."""

    async def refusal(id: int) -> str:
        row = await store.reads.find_retry(id)
        if row is None:
            return f"there is no retry {id}; `retryd list` shows ids"
        if row["place"] == "dead":
            return f"retry {id} is dead; `retryd dlq retry {id}` gives it a new life"
        how = row["state"] or "removed by retention"
        return f"retry {id} is {how} already; `retryd show {id}` tells its history"

    return refusal


async def each(
    ids: list[int], act: Callable[[int], Awaitable[bool]], why_not: Callable[[int], Awaitable[str]]
) -> dict[int, str | None]:
    """Do it to each; returns by id what stood in the way, None where it is done."""
    return {id: None if await act(id) else await why_not(id) for id in dict.fromkeys(ids)}


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
