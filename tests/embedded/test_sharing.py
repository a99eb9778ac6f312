"""Several processes use one directory: one owns the server, the others are connected to it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from retryd.embedded import DirectoryInUse, EmbeddedPostgres, ServerNotStarted
from retryd.embedded.account import Account
from retryd.embedded.binaries import find, within_reach
from tests.postgres import FAST
from tests.waiting import until


@asynccontextmanager
async def owner_of(directory: Path) -> AsyncIterator[tuple[Process, str]]:
    """Run another process that owns the server; gives it and the address."""
    program = Path(__file__).with_name("owner.py")
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, program, directory), stdin=PIPE, stdout=PIPE, start_new_session=True
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    try:
        yield owner, (await owner.stdout.readline()).decode().strip()
    finally:
        owner.stdin.close()
        await owner.wait()


async def answers(dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(dsn)
    except (OSError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True


async def silent(dsn: str) -> bool:
    return not await answers(dsn)


async def test_a_second_process_is_connected_and_leaves_the_server_alone(directory: Path) -> None:
    async with owner_of(directory) as (_, dsn):
        second = EmbeddedPostgres(directory)
        await second.start()
        assert (second.dsn, second.owned) == (dsn, False)
        await second.stop()
        assert await answers(dsn)
    assert await silent(dsn)


async def test_of_two_that_make_a_new_server_at_once_one_joins_the_other(
    new_directory: Path,
) -> None:
    one, other = EmbeddedPostgres(new_directory, FAST), EmbeddedPostgres(new_directory, FAST)
    await asyncio.gather(one.start(), other.start())
    assert one.dsn == other.dsn
    assert one.pid == other.pid
    assert {one.owned, other.owned} == {True, False}
    await asyncio.gather(one.stop(), other.stop())


async def test_after_the_owner_has_stopped_the_next_to_start_owns_a_server(
    directory: Path,
) -> None:
    first, second = EmbeddedPostgres(directory, FAST), EmbeddedPostgres(directory, FAST)
    await first.start()
    await second.start()
    await first.stop()

    await second.start()

    assert second.owned
    assert await answers(second.dsn)
    await second.stop()


async def test_a_held_directory_without_a_server_names_who_holds_it(directory: Path) -> None:
    async with EmbeddedPostgres(directory, FAST) as server:
        os.kill(server.pid, signal.SIGKILL)
        await until(lambda: silent(server.dsn))

        with pytest.raises(DirectoryInUse, match=f"process {os.getpid()} holds") as caught:
            await EmbeddedPostgres(directory, FAST, timeout_seconds=0.3).start()

    assert caught.value.holder == os.getpid()


async def test_a_server_does_not_outlive_the_process_that_started_it(directory: Path) -> None:
    async with owner_of(directory) as (owner, dsn):
        connection = await asyncpg.connect(dsn)
        await connection.execute("create table memory as select 5 as number")
        owner.kill()
        await until(connection.is_closed)
        if sys.platform == "linux":  # a clean end, told by the kernel
            await until(lambda: not (directory / "data" / "postmaster.pid").exists())

    async with EmbeddedPostgres(directory) as server:
        assert server.owned
        connection = await asyncpg.connect(server.dsn)
        assert await connection.fetchval("select number from memory") == 5
        await connection.close()


async def test_a_control_c_at_the_terminal_leaves_the_end_to_the_owner(directory: Path) -> None:
    async with owner_of(directory) as (owner, dsn):
        os.killpg(owner.pid, signal.SIGINT)
        assert owner.stdout is not None
        assert await owner.stdout.readline() == b"interrupted\n"
        assert await answers(dsn)


async def test_an_orphaned_server_is_ended_and_replaced(directory: Path) -> None:
    async with EmbeddedPostgres(directory) as server:
        port = server.port
    account = Account.owning(directory / "data")
    binaries = within_reach(find(), account, cache=directory / "binaries")
    orphan = subprocess.Popen(
        (
            *(binaries.postgres, "-D", directory / "data", "-p", str(port)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
        ),
        stdout=DEVNULL,
        stderr=DEVNULL,
        **account.options(),
    )
    try:
        async with server:
            assert orphan.wait(timeout=10) == 0
            assert server.pid != orphan.pid
            assert await answers(server.dsn)
    finally:
        orphan.kill()
        orphan.wait()


async def test_a_copied_directory_does_not_lead_to_the_server_of_the_original(
    directory: Path,
) -> None:
    copy = directory.with_name("copy")
    async with EmbeddedPostgres(directory, FAST) as server:
        subprocess.run(("cp", "-a", directory, copy), check=True)
        with pytest.raises(ServerNotStarted, match=r"postmaster\.pid"):
            await EmbeddedPostgres(copy, FAST, timeout_seconds=1.0).start()

        assert await answers(server.dsn)
