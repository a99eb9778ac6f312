"""`retryd capture`: a failure event from the shell, as the SQL function takes it."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from typing import Annotated, Any

import typer

from retryd.cli.database import Database
from retryd.cli.options import Config, DatabaseUrl, Embedded, Json
from retryd.cli.output import print_json
from retryd.client import capture as client
from retryd.domain.json_text import read_json


def read_time(text: str) -> datetime:
    """Read an instant with its time zone."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        message = f"{text!r} is no instant with a time zone, such as 2030-01-31T08:00:00Z"
        raise typer.BadParameter(message)
    return instant


def read_argument(text: str) -> Any:
    """Read JSON, its numbers with every digit."""
    try:
        return read_json(text)
    except ValueError as error:
        message = f"not readable as JSON: {error}"
        raise typer.BadParameter(message) from error


def read_payload(text: str) -> Any:
    """Read JSON from the argument, or from standard input when it is `-`."""
    if text != "-":
        return read_argument(text)
    try:
        # Piece by piece: between two of them Python hears Ctrl-C, within one read it may not.
        pieces = iter(lambda: os.read(sys.stdin.fileno(), 65_536), b"")
        return read_argument(b"".join(pieces).decode())
    except UnicodeDecodeError as error:
        message = f"standard input is not UTF-8 text: {error}"
        raise typer.BadParameter(message) from error


def capture(
    event_type: Annotated[str, typer.Argument(help="What failed, such as invoice.email.failed.")],
    payload: Annotated[
        Any,
        typer.Argument(
            parser=read_payload, metavar="PAYLOAD", help="Its payload as JSON, or - to read it."
        ),
    ] = None,
    *,
    event_id: Annotated[
        str | None, typer.Option(help="Its id: captured again it adds nothing.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Where it comes from.")] = None,
    correlation_id: Annotated[str | None, typer.Option(help="What it belongs to.")] = None,
    error_type: Annotated[str | None, typer.Option(help="The type of the error.")] = None,
    error_message: Annotated[str | None, typer.Option(help="What the error said.")] = None,
    priority: Annotated[
        int | None, typer.Option(help="0 to 9; 0 runs first.", show_default="the policy's, else 5")
    ] = None,
    ordering_key: Annotated[
        str | None, typer.Option(help="Retries with one key run one after the other.")
    ] = None,
    not_before: Annotated[
        datetime | None,
        typer.Option(parser=read_time, metavar="TIME", help="Due not before this instant."),
    ] = None,
    attributes: Annotated[
        Any, typer.Option(parser=read_argument, metavar="JSON", help="An object of notes.")
    ] = None,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """Capture a failure event.

    Prints the ids of its retries, one a line.
    """
    ids = Database(config, database_url, embedded).ask(
        lambda store: client.capture(
            store.pool,
            event_type,
            payload,
            event_id=event_id,
            source=source,
            correlation_id=correlation_id,
            error_type=error_type,
            error_message=error_message,
            priority=priority,
            ordering_key=ordering_key,
            not_before=not_before,
            attributes=attributes,
        )
    )
    if json_:
        print_json({"ids": ids})
    else:
        typer.echo("\n".join(map(str, ids)))
