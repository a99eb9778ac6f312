"""A PostgreSQL of the fault tests' own: it is crashed, frozen, filled up and misconfigured."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from retryd.embedded import EmbeddedPostgres
from retryd.embedded.binaries import find
from tests.postgres import Connection
from tests.waiting import until

# Commits are synchronous, as in production; the file system's cache outlives a crash of the server.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "max_wal_size": "256MB",
    "deadlock_timeout": "100ms",
}
SMALL_QUEUE = {"max_notify_queue_pages": "64"}
LOGIN = "retryd_fault"
PASSWORD = "only-for-tests"
HELD = "wait_event = 'SyncRep'"
LISTENING = "query ilike '%listen%'"


class Server:
    """A server with the verbs of a bad day. Patterns are those of `like`, on application_name."""

    def __init__(self, directory: Path) -> None:
        self.dsn = ""
        directory.mkdir()
        directory.chmod(0o711)
        (directory / "port").write_text(str(quiet_port()))
        small = SMALL_QUEUE if self.fills_up else {}
        self._postgres = EmbeddedPostgres(directory, {**SETTINGS, **small})
        self.data = directory / "data"
        self._log = directory / "postgres.log"
        self._altered: set[str] = set()
        self._frozen: set[int] = set()

    @property
    def fills_up(self) -> bool:
        """Whether its queue of notifications is small: before PostgreSQL 17 it has 8 GB."""
        return int(find().major()) >= 17

    async def start(self) -> None:
        """Start it, also after a crash, at the same address as before."""
        await self._postgres.start()
        assert self.dsn in {"", self._postgres.dsn}, "it came back at another address"
        self.dsn = self._postgres.dsn

    async def crash(self) -> None:
        """End it at once, as a crash does: nothing is flushed, every session is broken."""
        os.kill(self._postgres.pid, signal.SIGQUIT)
        await self._postgres.stop()

    async def position(self) -> str:
        """Return how far its log of changes is written."""
        return str((await self.fetch("select pg_current_wal_lsn()::text"))[0][0])

    async def mend(self) -> None:
        """Undo what a test did to it: start it, let all backends go on, reset every setting."""
        self.thaw_all()
        await self.start()
        await self.fetch("select pg_notification_queue_usage()")  # frees what everyone has read
        for setting in tuple(self._altered):
            await self.alter(setting, None)

    async def stop(self) -> None:
        """Shut it down."""
        self.thaw_all()
        await self._postgres.stop()

    async def make_login(self) -> None:
        """Make a login that is a worker and nothing more, so that limits and settings reach it."""
        await self.execute(f"create role {LOGIN} login password '{PASSWORD}'")
        await self.execute(f"grant retryd_worker to {LOGIN}")

    def worker_dsn(self, dsn: str) -> str:
        """Return the address of a database for a worker."""
        parts = urlsplit(dsn)
        return parts._replace(netloc=f"{LOGIN}:{PASSWORD}@127.0.0.1:{parts.port}").geturl()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(urlsplit(self.dsn).port or 0)

    async def execute(self, statement: str) -> None:
        """Run one statement as the superuser."""
        async with self._connected() as connection:
            await connection.execute(statement)

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask as the superuser."""
        async with self._connected() as connection:
            return await connection.fetch(query, *arguments)

    def logged(self, text: str) -> int:
        """Return how often the server's log has this text since the last start."""
        return self._log.read_text(errors="replace").count(text)

    async def alter(self, setting: str, value: str | None) -> None:
        """Set a setting for the whole server, None for what it was; wait until it is seen."""
        self._altered.add(setting)
        change = f"set {setting} = '{value}'" if value is not None else f"reset {setting}"
        await self.execute(f"alter system {change}")
        await self.execute("select pg_reload_conf()")

        async def seen() -> bool:
            query = "select setting, boot_val from pg_settings where name = $1"
            [(now, at_boot)] = await self.fetch(query, setting)
            return bool(now == (at_boot if value is None else value))

        await until(seen)
        if value is None:
            self._altered.discard(setting)

    async def backends(self, application: str, also: str = "true") -> list[int]:
        """Return the processes of sessions, those that began first in front."""
        query = (
            "select pid from pg_stat_activity where application_name like $1"
            f" and pid <> pg_backend_pid() and {also} order by backend_start, pid"
        )
        return [row[0] for row in await self.fetch(query, application)]

    async def terminate(self, application: str, *, at_most: int = 1_000, also: str = "true") -> int:
        """Terminate backends, chosen at random; returns how many really ended."""
        pids = await self.backends(application, also)
        chosen = random.sample(pids, min(at_most, len(pids)))
        ended = await self.fetch(
            "select pg_terminate_backend(pid, 5000) from unnest($1::int[]) as p (pid)", chosen
        )
        return sum(row[0] for row in ended)

    def freeze(self, pid: int) -> None:
        """Stop a backend: its connections stay open and answer nothing."""
        self._frozen.add(pid)
        os.kill(pid, signal.SIGSTOP)

    async def freeze_idle(self, application: str) -> int:
        """Stop backends between two statements, where they hold no lock; returns how many."""

        async def all_idle() -> bool:
            for pid in await self.backends(application):
                self.freeze(pid)
            if not await self.backends(application, "state <> 'idle'"):
                return True
            self.thaw_all()
            return False

        await until(all_idle)
        return len(self._frozen)

    def thaw_all(self) -> int:
        """Let all frozen backends go on; returns how many there still were."""
        thawed = 0
        for pid in self._frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                thawed += 1
        self._frozen.clear()
        return thawed

    @asynccontextmanager
    async def commits_held(self) -> AsyncIterator[None]:
        """Let every commit wait, after it is written, for a standby that there is not."""
        await self.alter("synchronous_standby_names", "nobody")
        probe = asyncio.create_task(self._commit_for_ever())
        try:
            # It is the checkpointer that makes commits wait, some time after the reload.
            await until(lambda: self.backends("retryd-probe", HELD))
            yield
        finally:
            await self.alter("synchronous_standby_names", None)
            probe.cancel()
            await asyncio.gather(probe, return_exceptions=True)

    async def held(self, statement: str, application: str = "retryd/%") -> list[int]:
        """Return the backends whose commit of `statement`, a part of its text, is held."""
        return await self.backends(application, f"{HELD} and query like '%{statement}%'")

    async def end_in_doubt(self, statement: str, application: str = "retryd/%") -> int:
        """Wait for a held commit of `statement` and terminate its backend.

        The transaction is committed and its client never hears of it. Returns how many there were.
        """
        await until(lambda: self.held(statement, application))
        waiting = f"{HELD} and query like '%{statement}%'"
        return await self.terminate(application, also=waiting)

    async def _commit_for_ever(self) -> None:
        async with self._connected("retryd-probe") as connection:
            while True:
                await connection.execute("select pg_logical_emit_message(true, 'probe', '')")

    @asynccontextmanager
    async def _connected(self, application: str = "fault-tests") -> AsyncIterator[Connection]:
        settings = {"application_name": application}
        connection = await asyncpg.connect(self.dsn, server_settings=settings)
        try:
            yield connection
        finally:
            connection.terminate()


def quiet_port() -> int:
    """Return a free port below those of outgoing connections: none takes it during an outage."""
    while True:
        port = random.randrange(10_240, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
