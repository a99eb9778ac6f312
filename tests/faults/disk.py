"""A small disk, for one database or one spool, to be filled up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg

from retryd.embedded.account import Account
from tests.faults.programs import lacking, program
from tests.faults.server import Server
from tests.postgres import Database, open_directory

MEGABYTES = 32
NAME = "retryd_small"


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """Have a file system of this size at a folder while the context lasts."""
    if os.geteuid() != 0:
        lacking("only root may mount a small disk: run as root")
    mount = [program("mount"), "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        lacking("a small disk cannot be mounted: give the container CAP_SYS_ADMIN")
    try:
        yield
    finally:
        subprocess.run([program("umount"), folder], check=True)


@asynccontextmanager
async def small_disk(server: Server, dsn: str, template: str) -> AsyncIterator[Database]:
    """Make a copy of a template on a file system of its own; yields it as a database."""
    with open_directory() as folder, mounted(folder, f"{MEGABYTES}m"):
        place = folder / "tablespace"
        place.mkdir()
        Account.owning(server.data).take(place)
        await server.execute(f"create tablespace {NAME} location '{place}'")
        await server.execute(f"create database {NAME} template {template} tablespace {NAME}")
        database = Database(dsn)
        try:
            yield database
        finally:
            database.disconnect()
            await server.execute(f"drop database {NAME} with (force)")
            await server.execute(f"drop tablespace {NAME}")


async def fill(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Fill the disk to its last page with a table named ballast."""
    await connection.execute("create table ballast (filler text)")
    await connection.execute("alter table ballast alter column filler set storage plain")
    for rows in (1_000, 100, 10, 1):
        try:
            while True:
                await connection.execute(
                    "insert into ballast select repeat('x', 7000) from generate_series(1, $1)", rows
                )
        except asyncpg.DiskFullError:
            continue
