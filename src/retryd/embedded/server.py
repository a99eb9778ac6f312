"""A PostgreSQL server of our own: made, started, shared with other processes, and stopped."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from retryd.embedded.account import Account
from retryd.embedded.binaries import Binaries, find, within_reach
from retryd.embedded.boot import Running, launch, make_data, running
from retryd.embedded.child import POLL_SECONDS, end
from retryd.embedded.directory import Directory
from retryd.embedded.errors import (
    DirectoryInUse,
    EmbeddedPostgresError,
    OutOfReach,
    VersionMismatch,
)
from retryd.embedded.lock import Lock

_DEFAULTS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path ends at 107 bytes, a directory's does not
}


class EmbeddedPostgres:
    """PostgreSQL in `directory`, with `settings` over its own defaults.

    The first process to start it owns the server and ends it with `stop`; on Linux it also ends
    when the thread that called `start` does, whatever way. Others that start the same directory
    meanwhile are connected to that server, with its settings, and leave it alone.
    """

    def __init__(
        self,
        directory: Path | str,
        settings: Mapping[str, str] = MappingProxyType({}),
        *,
        timeout_seconds: float = 60.0,
    ) -> None:
        """Nothing happens before `start`, which may take `timeout_seconds`."""
        self._directory = Directory(Path(directory).absolute())
        self._settings = {**_DEFAULTS, **settings}
        self._timeout = timeout_seconds
        self._lock = Lock(self._directory.path)
        self._child: subprocess.Popen[bytes] | None = None
        self._running: Running | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def dsn(self) -> str:
        """The superuser's address of the database `postgres`, for asyncpg, psycopg and psql."""
        return self._now.dsn

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1; a restart keeps it while it is free."""
        return self._now.port

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._now.pid

    @property
    def owned(self) -> bool:
        """Whether this object started the server and will stop it."""
        return self._child is not None

    async def start(self) -> None:
        """Answer connections: with the running server of the directory, else with a new one.

        Data are made at the first start and recovered after a crash. Call it again after a crash
        of the server; a call while it runs changes nothing. Raises `EmbeddedPostgresError`.
        """
        if self._child is not None and self._child.poll() is None:
            return
        await self.stop()
        deadline = time.monotonic() + self._timeout
        try:
            self._directory.make()
            while not self._lock.acquire():
                self._running = await running(self._directory)
                if self._running is not None:
                    return
                if time.monotonic() > deadline:
                    raise DirectoryInUse(self._directory.path, self._lock.holder())
                await asyncio.sleep(POLL_SECONDS)
            await self._start_own(deadline)
        except PermissionError as error:
            barred = Path(error.filename or self._directory.path)
            remedy = "choose a directory of your own"
            raise OutOfReach(barred, Account.owning(barred).name, remedy) from error

    async def stop(self, *, within: float = 10.0) -> None:
        """Stop the server if it is ours, else only let go of it.

        It is a fast shutdown, which loses nothing; `within` seconds later an immediate one, which
        the next start recovers from, and after as long again the process is killed.
        """
        child, self._child, self._running = self._child, None, None
        try:
            if child is not None:
                await end(child, within)
        finally:
            self._lock.release()

    @property
    def _now(self) -> Running:
        if self._running is None:
            message = f"the PostgreSQL of {self._directory.path} is not started: call start() first"
            raise EmbeddedPostgresError(message)
        return self._running

    async def _start_own(self, deadline: float) -> None:
        try:
            account = Account.owning(self._directory.data)
            binaries = await asyncio.to_thread(self._usable_binaries, account)
            if self._directory.written_by() is None:
                await make_data(self._directory, binaries, account, deadline)
            self._child, self._running = await launch(
                self._directory, binaries, account, self._settings, deadline
            )
        except BaseException:
            await self.stop()
            raise

    def _usable_binaries(self, account: Account) -> Binaries:
        account.must_reach(self._directory.path)
        binaries = within_reach(find(), account, cache=self._directory.path / "binaries")
        written_by, major = self._directory.written_by(), binaries.major()
        if written_by not in {None, major}:
            raise VersionMismatch(self._directory.data, str(written_by), major)
        return binaries
