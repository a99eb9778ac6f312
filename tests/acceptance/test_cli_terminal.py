"""How the command line behaves on a terminal, in a pipe, and when it is interrupted."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import signal
import sys
import termios
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.acceptance.commands import Shell
from tests.postgres import Connection
from tests.waiting import until

WIDE = "w" * 300
STEERING = "\x1b[31m"


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let children hear SIGINT: parallel test runners ignore it, which children inherit."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


async def capture_one(connection: Connection) -> None:
    """Capture a failure whose error is wide and would colour a terminal."""
    await connection.execute(
        "select retryd.capture_failure('a.failed', error_type => 'E', error_message => $1)",
        STEERING + WIDE,
    )


async def test_in_a_pipe_nothing_is_cut_and_nothing_coloured(
    shell: Shell, connection: Connection
) -> None:
    await capture_one(connection)
    header, line = (await shell("list")).out.splitlines()
    assert header.split() == [
        *("id", "place", "state", "operation", "handler", "attempt", "next", "attempt", "error"),
    ]
    assert "\\x1b[31m" + WIDE in line


async def test_on_a_terminal_tables_are_coloured_and_texts_cannot_steer_it(
    shell: Shell, connection: Connection
) -> None:
    await capture_one(connection)
    ours, theirs = os.openpty()
    plain = {"TERM": "xterm", "COLUMNS": "100"}
    on_terminal = Shell(shell.folder, {**shell.variables, **plain})
    try:
        ended = await on_terminal("list", stdout=theirs)
        shown = os.read(ours, 65_536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert ended.status == 0, ended.err
    assert "\x1b[36mlive" in shown
    assert STEERING not in shown
    assert "\\x1b[31m" in shown
    assert 150 < len(re.findall("w", shown)) < 200


async def test_a_reader_that_is_gone_is_no_fault_to_tell(
    shell: Shell, connection: Connection
) -> None:
    await capture_one(connection)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = await shell("list", "--json", stdout=writing)
    finally:
        os.close(writing)
    assert (ended.status, ended.err) == (1, "")


async def test_an_interrupt_ends_it_quietly(bare_shell: Shell, interruptible: None) -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b" ")
        process = await bare_shell.start("capture", "a.failed", "-", stdin=reading)
        await until(lambda: unread(writing) == 0)
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    finally:
        os.close(reading)
        os.close(writing)
    assert (process.returncode, out, err) == (130, b"", b"")


def unread(pipe: int) -> int:
    """Return how many bytes nobody has read yet."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


async def test_the_version_is_that_of_the_package(bare_shell: Shell) -> None:
    ended = await bare_shell("--version")
    assert (ended.status, ended.out) == (0, f"retryd {version('retryd')}\n")


@pytest.mark.parametrize("command", [[], ["run"], ["dlq"], ["dlq", "retry"]])
async def test_help_is_there_for_every_command(bare_shell: Shell, command: list[str]) -> None:
    ended = await bare_shell(*command, "--help")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith(" ".join(["Usage: retryd", *command]))


async def test_help_imports_no_driver_no_models_and_no_tables() -> None:
    heavy = {"alembic", "asyncpg", "prometheus_client", "pydantic", "rich", "sqlalchemy"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "import retryd.cli.app, sys; print(*sys.modules)"),
        cwd=Path(__file__).parent,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert "retryd.cli.retries" in out.decode().split()
    assert heavy.isdisjoint(out.decode().split())
