"""What a test must not leave behind: sessions, locks and processes."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.postgres import Connection
from tests.waiting import until

MARK = "PROCESS_OF_TEST"
PROC = Path("/proc")
SOON = 5.0  # seconds for an end that was asked for

# Before a session is gone from here it has told what it counted: deadlocks are asked for after.
SESSIONS = """
    select pid, application_name, state, query from pg_stat_activity
    where datname = current_database() and backend_type = 'client backend'
        and pid <> pg_backend_pid() and coalesce(application_name, '') like $1
"""
ADVISORY_LOCKS = """
    select l.pid, l.mode, l.classid, l.objid
    from pg_locks l
    where l.locktype = 'advisory'
        and l.database = (select d.oid from pg_database d where d.datname = current_database())
"""
DEADLOCKS = "select deadlocks from pg_stat_database where datname = current_database()"


async def no_lock_left(connection: Connection, *, within: float = SOON) -> None:
    """Fail if an advisory lock is held in the database, by the test's own connections too."""
    await nothing_left("an advisory lock", lambda: rows(connection, ADVISORY_LOCKS), within)


async def no_session_left(
    connection: Connection, *, named: str = "%", deadlocks: bool = False, within: float = SOON
) -> None:
    """Fail if anybody else of this name is connected, or if deadlocks are met unlike foretold."""
    await nothing_left("a session", lambda: rows(connection, SESSIONS, named), within)
    counted = await connection.fetchval(DEADLOCKS)
    assert bool(counted) == deadlocks, f"{counted} deadlocks were counted"


async def rows(connection: Connection, query: str, *arguments: object) -> list[str]:
    """Return each row as a text to show."""
    return [str(dict(row)) for row in await connection.fetch(query, *arguments)]


async def nothing_left(what: str, look: Callable[[], Awaitable[list[str]]], within: float) -> None:
    """Fail unless what `look` finds goes within these seconds."""
    left: list[str] = []

    async def nothing() -> bool:
        left[:] = await look()
        return not left

    with suppress(AssertionError):
        await until(nothing, within=within)
    assert not left, f"{what} is left: {left}"


@dataclass(frozen=True, slots=True)
class Process:
    """A process that runs, or that has ended and was not waited for."""

    pid: int
    parent: int
    command: str
    environment: bytes


@dataclass(slots=True)
class Processes:
    """Those of one test: its children, and all that inherited its mark, children or not."""

    before: frozenset[int]
    mark: str
    spared: set[int] = field(default_factory=set)

    @classmethod
    @contextmanager
    def watched(cls) -> Iterator[Processes]:
        """Mark what is started from here on."""
        processes = cls(frozenset(pids()), f"{MARK}={secrets.token_hex(8)}")
        name, _, value = processes.mark.partition("=")
        os.environ[name] = value
        try:
            yield processes
        finally:
            del os.environ[name]

    def spare(self, backend: int) -> None:
        """Leave out the server of this backend: some tests restart the one that all of them use."""
        self.spared |= {process.parent for process in listed({backend})}

    def left(self) -> list[str]:
        """Name those that are left."""
        mark = self.mark.encode()
        return [
            f"{process.pid} {process.command}"
            for process in listed(pids() - self.before)
            if (process.parent == os.getpid() or mark in process.environment)
            and not {process.pid, process.parent} & self.spared
        ]

    async def ended(self, *, within: float = SOON) -> None:
        """Fail if one of them is left."""

        async def left() -> list[str]:
            return self.left()

        await nothing_left("a process", left, within)


def pids() -> set[int]:
    """Return the numbers of all processes."""
    if sys.platform != "linux":
        return {process.pid for process in listed_by_ps()}
    return {int(folder.name) for folder in PROC.iterdir() if folder.name.isdecimal()}


def listed(wanted: set[int]) -> list[Process]:
    """Return those of these processes that are there."""
    if sys.platform != "linux":
        return [process for process in listed_by_ps() if process.pid in wanted]
    return [process for pid in wanted if (process := read(PROC / str(pid))) is not None]


def read(folder: Path) -> Process | None:
    """Read what Linux tells of a process; None when it is over."""
    try:
        stat = (folder / "stat").read_text()
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None
    try:
        environment = (folder / "environ").read_bytes()
    except OSError:  # somebody else's, or over
        environment = b""
    parent = int(stat.rpartition(")")[2].split()[1])
    return Process(int(folder.name), parent, command or "(not waited for)", environment)


def listed_by_ps() -> list[Process]:
    """Ask the ps of macOS, which has no /proc; -E shows the environment behind the command."""
    asked = ("ps", "-A", "-E", "-ww", "-o", "pid=,ppid=,command=")
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True, errors="replace") as ps:
        answer, _ = ps.communicate()
    lines = (line.split(None, 2) for line in answer.splitlines())
    return [
        Process(int(pid), int(parent), " ".join(command), " ".join(command).encode())
        for pid, parent, *command in lines
        if int(pid) != ps.pid
    ]
