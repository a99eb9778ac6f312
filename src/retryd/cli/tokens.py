"""`retryd token`: who may use the HTTP API; to make a token, look at them, or end one."""

from __future__ import annotations

import re
import secrets
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from retryd.cli import output
from retryd.cli.by_id import each, report
from retryd.cli.database import Database
from retryd.cli.options import Config, DatabaseUrl, Embedded, Json
from retryd.domain.api_token import SECRET_BYTES, hash_of, token_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from retryd.compose import Store

ID: Final = re.compile(r"[0-9]{1,18}")
DAYS: Final = re.compile(r"[0-9]{1,5}(\.[0-9]{1,6})?")
FORGOTTEN: Final = "The token is shown this once: keep it where the one who uses it finds it."

app = typer.Typer(help="Look after the tokens of the HTTP API.", rich_markup_mode=None)


class Scope(StrEnum):
    """The scopes of the domain, as typer can offer several of them."""

    INGEST = "ingest"
    READ = "read"
    PAYLOAD = "payload"
    OPERATE = "operate"
    ADMIN = "admin"


def read_token_id(text: str) -> int:
    """Read the id of a token; of what may be a token nothing is shown again."""
    if not ID.fullmatch(text):
        message = "that is no id; an id is a whole number such as 3, `retryd token list` shows them"
        raise typer.BadParameter(message)
    return int(text)


def read_days(text: str) -> timedelta:
    """Read a number of days."""
    if not DAYS.fullmatch(text):
        message = f"{text!r} is no number of days; give one such as 90 or 0.5"
        raise typer.BadParameter(message)
    return timedelta(days=float(text))


Ids: TypeAlias = Annotated[
    list[int],
    typer.Argument(parser=read_token_id, metavar="ID", help="Of tokens, one or more."),
]
Days: TypeAlias = Annotated[
    timedelta | None,
    typer.Option(
        "--expires-days",
        parser=read_days,
        metavar="D",
        help="It ends by itself after so many days; fractions are allowed.",
    ),
]
Why: TypeAlias = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why; others see it.")
]


@app.command("create")
def create(
    *,
    name: Annotated[str, typer.Option(metavar="N", help="Whose it is, or what for.")],
    scopes: Annotated[
        list[Scope],
        typer.Option(
            "--scope",
            metavar="SCOPE",
            help="ingest, read, payload, operate, or admin, which may do everything; may be given"
            " several times.",
        ),
    ],
    expires_in: Days = None,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """Make a token and show it, this once.

    Only a hash of it is kept. Running workers take it at once.
    """
    allowed = sorted({scope.value for scope in scopes})
    secret = secrets.token_bytes(SECRET_BYTES)
    id = Database(config, database_url, embedded).ask(
        lambda store: store.operators.create_token(name, allowed, hash_of(secret), expires_in)
    )
    token = token_text(id, secret)
    if json_:
        output.print_json({"id": id, "token": token, "scopes": allowed})
        return
    output.print_facts({"id": id, "name": name, "scopes": allowed, "token": token})
    output.print_text(FORGOTTEN)


@app.command("list")
def list_tokens(
    *,
    all_: Annotated[
        bool, typer.Option("--all", help="Also those that expired or were revoked.")
    ] = False,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """List the tokens that live; none can be shown again."""
    rows = Database(config, database_url, embedded).ask(
        lambda store: store.reads.api_tokens(all=all_)
    )
    if json_:
        output.print_json(rows)
        return
    columns = ("id", "name", "scopes", "state", "created_at", "created_by", "expires_at")
    ends = ("revoked_at", "revoked_by", "revoke_reason") if all_ else ()
    shown = (*columns, *ends)
    output.print_table(
        [column.removesuffix("_at").replace("_", " ") for column in shown],
        [[row[column] for column in shown] for row in rows],
    )


@app.command("revoke")
def revoke(
    ids: Ids,
    *,
    reason: Why = None,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """End tokens for good.

    Workers refuse them within 10 seconds; one that cannot reach PostgreSQL once it can again.
    """
    refusals = Database(config, database_url, embedded).ask(
        lambda store: each(ids, lambda id: store.operators.revoke_token(id, reason), why_not(store))
    )
    report("revoked", refusals, json_=json_)


def why_not(store: Store) -> Callable[[int], Awaitable[str]]:
    """Tell why a token cannot be revoked."""

    async def refusal(id: int) -> str:
        rows = {row["id"]: row for row in await store.reads.api_tokens(all=True)}
        if (row := rows.get(id)) is None:
            return f"there is no token {id}; `retryd token list` shows them"
        when, by = output.cell(row["revoked_at"]), output.cell(row["revoked_by"])
        return f"token {id} was revoked already, by {by} at {when}"

    return refusal
