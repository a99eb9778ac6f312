"""The steps from an empty directory to a server that answers."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import asyncpg

from retryd.embedded.account import Account
from retryd.embedded.binaries import Binaries
from retryd.embedded.child import POLL_SECONDS, end, exited, spawn
from retryd.embedded.directory import Directory
from retryd.embedded.errors import ServerNotStarted

USER = "retryd"
STOP_SECONDS = 5.0
_QUERY = "sslmode=disable&target_session_attrs=any"
_ANSWER_SECONDS = 5.0
_TAKEN_PORT = "Address already in use"
_STILL_THERE = 'lock file "postmaster.pid" already exists'


@dataclass(frozen=True, slots=True)
class Running:
    """A server that accepts connections."""

    pid: int
    port: int
    password: str = field(repr=False)

    @property
    def dsn(self) -> str:
        """Its address, complete: libpq's PG variables cannot add to it."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/postgres?{_QUERY}"


async def running(directory: Directory) -> Running | None:
    """Return the server of `directory` if one runs: a pid file may lie, a connection does not."""
    postmaster = directory.postmaster()
    if postmaster is None or not postmaster.ready:
        return None
    found = Running(postmaster.pid, postmaster.port, directory.password())
    try:
        connection = await asyncpg.connect(found.dsn, timeout=_ANSWER_SECONDS)
        try:
            data = await connection.fetchval(
                "select current_setting('data_directory')", timeout=_ANSWER_SECONDS
            )
        finally:
            await connection.close(timeout=_ANSWER_SECONDS)
        # The pid file of a copied directory leads to the server of the original.
        return found if directory.data.samefile(data) else None
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return None


async def make_data(
    directory: Directory, binaries: Binaries, account: Account, deadline: float
) -> None:
    """Make the data directory under another name and rename it: what exists is complete."""
    unfinished = directory.path / "data.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    account.take(unfinished)
    with directory.begin_log() as log, tempfile.NamedTemporaryFile(dir=directory.path) as password:
        password.write(directory.new_password().read_bytes())
        password.flush()
        account.take(Path(password.name))
        command = (
            *(binaries.initdb, "--pgdata", unfinished, "--username", USER),
            *("--auth", "scram-sha-256", "--pwfile", password.name),
            *("--encoding", "UTF8", "--no-locale", "--no-instructions"),
        )
        child = spawn(command, account, log)
        try:
            in_time = await exited(child, within=deadline - time.monotonic())
        finally:
            await end(child, within=STOP_SECONDS)
    if not in_time or child.returncode != 0:
        raise _not_started("initdb failed" if in_time else "initdb took too long", directory)
    unfinished.rename(directory.data)


async def launch(
    directory: Directory,
    binaries: Binaries,
    account: Account,
    settings: Mapping[str, str],
    deadline: float,
) -> tuple[subprocess.Popen[bytes], Running]:
    """Start a server and wait until it answers; one that ends early is reported with its log."""
    port = directory.port() or _free_port()
    while True:
        with directory.begin_log() as log:
            child = _spawn_server(
                directory, binaries, account, {**settings, "port": str(port)}, log
            )
        try:
            # Even the last attempt gets the time to say why it fails.
            found = await _answer(child, directory, max(deadline, time.monotonic() + 1.0))
        except BaseException:
            await end(child, within=STOP_SECONDS)
            raise
        if found is not None:
            directory.remember_port(port)
            return child, found
        said = directory.log_tail()
        if time.monotonic() > deadline or not (_TAKEN_PORT in said or _STILL_THERE in said):
            raise _not_started(f"PostgreSQL ended with code {child.returncode}", directory)
        if _TAKEN_PORT in said:
            port = _free_port()
        else:
            await _end_orphan(directory, account, deadline)
            await asyncio.sleep(POLL_SECONDS)


async def _end_orphan(directory: Directory, account: Account, deadline: float) -> None:
    """Stop a server whose owner died without it, which happens where the kernel does not do it."""
    orphan = await running(directory)
    if orphan is None:
        return
    account.interrupt(orphan.pid)
    # Only a parent is told that a process ended.
    while directory.postmaster() is not None and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(POLL_SECONDS)


def _spawn_server(
    directory: Directory,
    binaries: Binaries,
    account: Account,
    settings: Mapping[str, str],
    log: IO[bytes],
) -> subprocess.Popen[bytes]:
    options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
    return spawn([binaries.postgres, "-D", directory.data, *options], account, log)


async def _answer(
    child: subprocess.Popen[bytes], directory: Directory, deadline: float
) -> Running | None:
    """Return the server as soon as it answers; none when it has ended instead."""
    while child.poll() is None:
        found = await running(directory)
        if found is not None and found.pid == child.pid:
            return found
        if time.monotonic() > deadline:
            raise _not_started("PostgreSQL did not answer in time", directory)
        await asyncio.sleep(POLL_SECONDS)
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _not_started(what: str, directory: Directory) -> ServerNotStarted:
    return ServerNotStarted(what, directory.log, directory.log_tail())
