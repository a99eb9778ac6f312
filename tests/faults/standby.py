"""A standby of the fault tests' PostgreSQL, which takes its place with what it has."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg

from retryd.embedded.binaries import find
from tests.faults.programs import lacking
from tests.faults.server import Server
from tests.waiting import until


class Standby(Server):
    """An asynchronous copy that follows a server, falls behind it and may take its place."""

    _starting: asyncio.Task[None]

    @classmethod
    @asynccontextmanager
    async def of(cls, primary: Server, directory: Path) -> AsyncIterator[Standby]:
        """Copy a running server and let the copy follow it; it is shut down at the end."""
        standby = cls(directory)
        await asyncio.to_thread(standby._copy, primary)
        port = (directory / "port").read_text().strip()
        standby.dsn = primary.dsn.replace(f":{primary.port}/", f":{port}/")
        # A start ends when the server can be written to: with the promotion.
        starting = standby._starting = asyncio.create_task(standby.start())
        try:
            await until(lambda: starting.done() or standby._follows(), within=30)
            yield standby
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await standby.stop()

    async def caught_up(self, position: str) -> None:
        """Wait until it has all changes up to a position."""

        async def has_them() -> bool:
            query = "select pg_last_wal_replay_lsn() >= $1::text::pg_lsn"
            return bool((await self.fetch(query, position))[0][0])

        await until(has_them)

    async def cut_off(self) -> None:
        """Receive nothing more, as without a network; wait until that is so."""
        await self.execute("alter system set primary_conninfo = ''")
        await self.execute("select pg_reload_conf()")

        async def hears_nothing() -> bool:
            return not await self.fetch("select from pg_stat_wal_receiver")

        await until(hears_nothing)

    async def promote(self) -> None:
        """Become a primary with what it has, on a timeline of its own."""
        [(promoted,)] = await self.fetch("select pg_promote()")
        assert promoted, "it was not promoted in time"
        await self._starting

    async def _follows(self) -> bool:
        with suppress(OSError, asyncpg.CannotConnectNowError):
            query = "select from pg_stat_wal_receiver where status = 'streaming'"
            return bool(await self.fetch(query))
        return False

    def _copy(self, primary: Server) -> None:
        copier = find().directory / "pg_basebackup"
        if not copier.is_file():
            lacking(f"{copier} is missing: install PostgreSQL's client programs beside the server")
        command = (copier, "-d", primary.dsn.partition("?")[0], "-D", self.data, "-R", "-c", "fast")
        subprocess.run(command, check=True, capture_output=True)
        owner = primary.data.stat()
        for path in (self.data, *self.data.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
        shutil.copy(primary.data.with_name("password"), self.data.with_name("password"))
