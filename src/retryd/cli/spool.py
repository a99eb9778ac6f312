"""`retryd spool`: what waits on this disk for PostgreSQL; to look at it, drain it, verify it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from retryd.cli import output
from retryd.cli.asking import counted
from retryd.cli.database import Database
from retryd.cli.failure import PROBLEM, tell
from retryd.cli.options import WHERE, Config, DatabaseUrl, Embedded, Json
from retryd.domain.errors import ConfigurationError
from retryd.spool.drain import Drained
from retryd.spool.drain import drain as drain_directory
from retryd.spool.inventory import rejected, waiting
from retryd.spool.inventory import verify as verify_directory
from retryd.spool.segments import REJECTED, segments

if TYPE_CHECKING:
    from retryd.compose import Store

# ruff: noqa: PLC0415 - drivers and models take longer to import than `retryd --help` may

Directories: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        "--directory",
        metavar="DIRECTORY",
        exists=True,
        file_okay=False,
        help="This spool, may be given again; else those of the configuration.",
        rich_help_panel=WHERE,
    ),
]

PATIENCE_SECONDS: Final = 3.0  # a living writer seals what it has written within one
AGAIN_SECONDS: Final = 0.2

app = typer.Typer(help="Look after what waits on this disk.", rich_markup_mode=None)


@app.command("list")
def list_segments(
    *, directory: Directories = None, json_: Json = False, config: Config = None
) -> None:
    """List what waits in spools, and what was rejected.

    A segment is open while its writer lives, sealed when it can be drained, and abandoned when its
    writer died: then it is drained as well.
    """
    directories = named(directory, config)
    found = [segment for each in directories for segment in waiting(each)]
    refused = [file for each in directories for file in rejected(each)]
    if json_:
        documents = {"segments": map(asdict, found), "rejected": map(asdict, refused)}
        output.print_json({key: list(map(with_text, rows)) for key, rows in documents.items()})
        return
    now = datetime.now(UTC)
    output.print_table(
        ("segment", "state", "records", "bytes", "age"),
        [
            (each.path, each.state, each.records, each.bytes, f"{age.total_seconds():.0f} s")
            for each, age in ((each, now - each.born) for each in found)
        ],
    )
    if refused:
        output.print_heading("Rejected")
        output.print_table(
            ("file", "records", "reason"),
            [
                (each.path, count, reason)
                for each in refused
                for reason, count in each.reasons.items()
            ],
        )


@app.command("drain")
def drain(
    *,
    directory: Directories = None,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> int:
    """Capture what waits in spools, as workers do.

    Records that PostgreSQL refuses are put into `rejected` with their reason. Exit status 1 when
    something still waits.
    """
    directories = named(directory, config)
    database = Database(config, database_url, embedded)
    drained = database.ask(lambda store: drain_all(store, directories))
    left = [segment for each in directories for segment in segments(each)]
    if json_:
        output.print_json(asdict(drained) | {"left": [str(each.path) for each in left]})
    else:
        output.print_text(f"captured {counted(drained.kept, 'record')}")
    if drained.rejected:
        tell(
            f"{counted(drained.rejected, 'record')} refused: `retryd spool list` tells why, and "
            f"the records are in {', '.join(str(each / REJECTED) for each in directories)}"
        )
    if left:
        tell(
            f"{counted(len(left), 'segment')} still being written or drained by another process: "
            "drain again later, or leave it to the workers"
        )
    return PROBLEM if left else 0


async def drain_all(store: Store, directories: Sequence[Path]) -> Drained:
    """Drain until nothing is left but what living processes hold on to."""
    from retryd.sources.spool import take

    drained = Drained()
    patience = time.monotonic() + PATIENCE_SECONDS
    while True:
        for directory in directories:
            drained += await drain_directory(directory, partial(take, store.intake))
        left = any(map(segments, directories))
        if not left or time.monotonic() > patience:
            return drained
        await asyncio.sleep(AGAIN_SECONDS)


@app.command("verify")
def verify(*, directory: Directories = None, json_: Json = False, config: Config = None) -> int:
    """Read every record that waits, and tell what is damaged.

    Changes nothing. Exit status 1 when something is damaged.
    """
    read = [each for path in named(directory, config) for each in verify_directory(path)]
    damaged = [(each.path, damage) for each in read for damage in each.damage]
    if json_:
        rows = [
            {
                "path": str(each.path),
                "records": each.records,
                "torn_bytes": each.torn,
                "damage": [{"offset": it.offset, "bytes": len(it.body)} for it in each.damage],
            }
            for each in read
        ]
        output.print_json({"ok": not damaged, "segments": rows})
    else:
        output.print_table(
            ("segment", "records", "damaged", "torn bytes"),
            [(each.path, each.records, len(each.damage), each.torn) for each in read],
        )
    for path, damage in damaged:
        tell(f"{path}: {counted(len(damage.body), 'byte')} at offset {damage.offset} are no record")
    if damaged:
        tell("a drain captures the other records, and keeps the damaged bytes in `rejected`")
    return PROBLEM if damaged else 0


def named(directories: list[Path] | None, config: Path | None) -> Sequence[Path]:
    """Return the spools that are meant. Raises ConfigurationError where none is."""
    from retryd.compose import load_configuration

    found = directories or load_configuration(config, os.environ, {}).spool.directories
    if not found:
        message = "no spool is named: say --directory, or set spool.directory in the configuration"
        raise ConfigurationError(message)
    return found


def with_text(document: dict[str, object]) -> dict[str, object]:
    """Return a document whose path is text."""
    return document | {"path": str(document["path"])}
