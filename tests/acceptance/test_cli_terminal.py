"""How the command line behaves on a terminal, in a pipe, and when it is interrupted."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.acceptance.commands import Shell
from tests.postgres import Connection

WIDE = "w" * 300
STEERING = "\x1b[31m"


async def capture_one(connection: Connection) -> None:
    """Capture a failure whose error is wide and would colour a terminal."""
    await connection.execute(
        "select retryd.capture_failure('a.failed', error_type => 'E', error_message => $1)",
        WIDE + STEERING,
    )


async def test_in_a_pipe_nothing_is_cut_and_nothing_coloured(
    shell: Shell, connection: Connection
) -> None:
    await capture_one(connection)
    header, line = (await shell("list")).out.splitlines()
    assert header.split() == [
        *("id", "place", "state", "operation", "handler", "attempt", "next", "attempt", "error"),
    ]
    assert WIDE + "\\x1b[31m" in line


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
    assert len(re.findall("w", shown)) >= len(WIDE)


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


async def test_an_interrupt_ends_it_quietly(shell: Shell) -> None:
    process = await shell.start("capture", "a.failed", "-")
    assert process.stdin is not None
    process.stdin.write(b" " * 1_000_000)
    await process.stdin.drain()  # it reads: the pipe alone does not hold so much
    process.send_signal(signal.SIGINT)
    await process.wait()
    assert process.stderr is not None
    assert (process.returncode, await process.stderr.read()) == (130, b"")


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
