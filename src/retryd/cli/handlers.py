"""`retryd handler`: the registry of handlers; to pause one, resume it, or forget it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from retryd.cli import output
from retryd.cli.asking import ask, counted
from retryd.cli.database import Database
from retryd.cli.failure import refuse
from retryd.cli.options import Config, DatabaseUrl, Embedded, Json
from retryd.domain.errors import NotFound

if TYPE_CHECKING:
    from retryd.compose import Store
    from retryd.store.reads import Row

Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="The handler.")]
Why: TypeAlias = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why; others see it.")
]

LIVE = ("due", "waiting", "processing", "parked")

app = typer.Typer(help="Look after the handlers.", rich_markup_mode=None)


@app.command("list")
def list_handlers(
    *,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """List the registered handlers, what waits for them and who serves them."""
    rows = Database(config, database_url, embedded).ask(registered)
    if json_:
        output.print_json(rows)
        return
    output.print_table(
        ("name", "kind", "match", "policy", "dependency", *LIVE, "workers", "held"),
        [
            (
                row["handler"],
                row["kind"],
                row["match"],
                row["policy"],
                row["dependency"],
                *(row[state] for state in LIVE),
                row["workers"],
                held(row),
            )
            for row in rows
        ],
    )


@app.command("pause")
def pause(
    name: Name,
    *,
    reason: Why = None,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """Stop claims for a handler.

    Attempts that run may end, and no attempt is spent. New failures are captured as ever.
    """

    async def act(store: Store) -> Row:
        row = await find(store, name)
        if not await store.operators.pause_handler(name, reason):
            refuse(f"handler {name} is {held(row)} already; `retryd handler resume {name}` ends it")
        return await find(store, name)

    row = Database(config, database_url, embedded).ask(act)
    report(row, f"paused {name}; {waiting(row)} for `retryd handler resume {name}`", json_=json_)


@app.command("resume")
def resume(
    name: Name,
    *,
    reason: Why = None,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """Let a paused handler go on."""

    async def act(store: Store) -> Row:
        await find(store, name)
        if not await store.operators.resume_handler(name, reason):
            refuse(f"handler {name} is not paused; `retryd handler list` shows what is held")
        return await find(store, name)

    row = Database(config, database_url, embedded).ask(act)
    report(row, f"resumed {name}; {row['due']} due", json_=json_)


@app.command("forget")
def forget(
    name: Name,
    *,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Do not ask, and forget it even if live workers serve it."),
    ] = False,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """Take a handler out of the registry.

    Its retries wait, unrouted, until a handler that matches is registered. A worker that serves it
    registers it again when it starts or reloads.
    """
    database = Database(config, database_url, embedded)
    row = database.ask(lambda store: find(store, name, or_left=True))
    if not yes:
        if row["workers"]:
            refuse(
                f"handler {name} is served by {counted(row['workers'], 'live worker')}, and would "
                "come back with the next start of one: stop them first, or say --yes"
            )
        ask(f"Forget handler {name}? {unrouted(row)} until a handler that matches is registered.")
    if not database.ask(lambda store: store.operators.forget_handler(name)):
        raise NotFound(f"handler {name} is forgotten already")
    report(row, f"forgot {name}; {unrouted(row)}", json_=json_)


async def registered(store: Store) -> list[Row]:
    """Return the handlers that are in the registry."""
    return [row for row in await store.reads.handler_activity() if row["kind"] is not None]


async def find(store: Store, name: str, *, or_left: bool = False) -> Row:
    """Return a handler as it is now; with `or_left` also a forgotten one that has retries.

    Raises NotFound with the name that was probably meant.
    """
    rows = {row["handler"]: row for row in await store.reads.handler_activity()}
    row = rows.get(name)
    if row and (row["kind"] is not None or (or_left and any(row[state] for state in LIVE))):
        return row
    known = [each["handler"] for each in rows.values() if each["kind"] is not None]
    raise NotFound(unknown(name, known))


def unknown(name: str, known: Sequence[str]) -> str:
    """Say that no handler has this name, and which one was probably meant."""
    near = difflib.get_close_matches(name, known, 1)
    remedy = f"did you mean {near[0]}?" if near else "`retryd handler list` shows them"
    return f"there is no handler {name!r}; {remedy}"


def held(row: Row) -> str | None:
    """Return why a handler is held, by whom and since when."""
    if row["held"] is None:
        return None
    by = f" by {row['held_by']}" if row["held_by"] else ""
    why = f": {row['held_reason']}" if row["held_reason"] else ""
    return f"{row['held']}{by} since {output.cell(row['held_since'])}{why}"


def waiting(row: Row) -> str:
    """Say how many retries of a handler wait."""
    count = row["due"] + row["waiting"]
    return f"{counted(count, 'retry', 'retries')} wait{'s' if count == 1 else ''}"


def unrouted(row: Row) -> str:
    """Say how many retries lose their handler."""
    count = sum(row[state] for state in LIVE)
    return f"{counted(count, 'retry', 'retries')} {'is' if count == 1 else 'are'} unrouted"


def report(row: Row, sentence: str, *, json_: bool) -> None:
    """Print what was done."""
    if json_:
        output.print_json(row)
    else:
        output.print_text(sentence)
