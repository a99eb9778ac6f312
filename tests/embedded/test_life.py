"""A server is made, answers, is stopped, and is the same again at the next start."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from retryd.domain.errors import RetrydError
from retryd.embedded import (
    EmbeddedPostgres,
    EmbeddedPostgresError,
    ServerNotStarted,
    VersionMismatch,
    default_directory,
)
from tests.postgres import FAST
from tests.waiting import until


async def ask(server: EmbeddedPostgres, query: str) -> object:
    connection = await asyncpg.connect(server.dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def remember(server: EmbeddedPostgres, number: int) -> None:
    connection = await asyncpg.connect(server.dsn)
    try:
        await connection.execute("create table if not exists memory (number int)")
        await connection.execute("insert into memory values ($1)", number)
    finally:
        await connection.close()


async def test_a_server_answers_while_it_is_used_and_ends_with_its_use(directory: Path) -> None:
    async with EmbeddedPostgres(directory, FAST) as server:
        assert await ask(server, "select 40 + 2") == 42
        dsn = server.dsn

    with pytest.raises(ConnectionRefusedError):
        await asyncpg.connect(dsn)
    with pytest.raises(EmbeddedPostgresError, match="call start"):
        _ = server.dsn


async def test_a_restart_keeps_the_rows_and_the_address(directory: Path) -> None:
    server = EmbeddedPostgres(directory, FAST)
    await server.start()
    first = server.dsn
    await remember(server, 7)
    await server.stop()

    async with server:
        assert server.dsn == first
        assert await ask(server, "select number from memory") == 7


async def test_starting_a_running_server_changes_nothing(directory: Path) -> None:
    async with EmbeddedPostgres(directory, FAST) as server:
        pid = server.pid
        await server.start()
        assert server.pid == pid


async def test_a_taken_port_is_replaced_by_a_free_one(directory: Path) -> None:
    async with EmbeddedPostgres(directory, FAST) as server:
        port = server.port

    taken = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    async with taken, EmbeddedPostgres(directory, FAST) as server:
        assert server.port != port
        assert await ask(server, "select 1") == 1


async def test_settings_reach_the_server(directory: Path) -> None:
    async with EmbeddedPostgres(directory, {**FAST, "work_mem": "7MB"}) as server:
        assert await ask(server, "show work_mem") == "7MB"


async def test_a_server_killed_with_force_recovers_what_was_committed(directory: Path) -> None:
    async with EmbeddedPostgres(directory) as server:
        await remember(server, 1)
        assert server._child is not None
        server._child.kill()
        server._child.wait()

        await server.start()

        assert await ask(server, "select array_agg(number) from memory") == [1]


async def test_a_server_that_does_not_react_is_stopped_by_force(directory: Path) -> None:
    server = EmbeddedPostgres(directory)
    await server.start()
    await remember(server, 1)
    os.kill(server.pid, signal.SIGSTOP)

    await server.stop(within=0.2)

    async with server:
        assert await ask(server, "select number from memory") == 1


async def test_open_transactions_do_not_delay_the_stop(directory: Path) -> None:
    server = EmbeddedPostgres(directory, FAST)
    await server.start()
    connection = await asyncpg.connect(server.dsn)
    await connection.execute("begin")
    began = time.monotonic()
    await server.stop()
    assert time.monotonic() - began < 5
    await until(connection.is_closed)


async def test_a_wrong_setting_fails_at_once_and_names_it(directory: Path) -> None:
    began = time.monotonic()
    with pytest.raises(ServerNotStarted, match="no_such_setting") as caught:
        await EmbeddedPostgres(directory, {"no_such_setting": "1"}).start()

    assert time.monotonic() - began < 10
    assert "\n" not in str(caught.value)
    assert "FATAL" in caught.value.log
    assert isinstance(caught.value, RetrydError)


async def test_data_of_another_major_version_are_refused_with_both_versions(
    directory: Path,
) -> None:
    async with EmbeddedPostgres(directory, FAST) as server:
        major = str(int(str(await ask(server, "show server_version_num"))) // 10_000)
    (directory / "data" / "PG_VERSION").write_text("11\n")

    with pytest.raises(VersionMismatch, match="written by PostgreSQL 11") as caught:
        await server.start()

    assert (caught.value.written_by, caught.value.binaries) == ("11", major)
    assert "RETRYD_PG_BIN" in str(caught.value)


async def test_a_foreign_directory_is_not_taken_for_data(new_directory: Path) -> None:
    (new_directory / "data").mkdir(parents=True)
    new_directory.chmod(0o711)
    (new_directory / "data" / "novel.txt").write_text("Chapter 1")

    with pytest.raises(EmbeddedPostgresError, match="is no PostgreSQL data directory"):
        await EmbeddedPostgres(new_directory).start()

    assert (new_directory / "data" / "novel.txt").read_text() == "Chapter 1"


async def test_an_initialisation_cut_short_leaves_nothing_behind(new_directory: Path) -> None:
    half = new_directory / "data.unfinished"
    half.mkdir(parents=True)
    new_directory.chmod(0o711)
    (half / "PG_VERSION").write_text("18\n")

    async with EmbeddedPostgres(new_directory, FAST) as server:
        assert await ask(server, "select 1") == 1
    assert not half.exists()


async def test_a_cancelled_start_leaves_no_process_and_can_be_repeated(new_directory: Path) -> None:
    server = EmbeddedPostgres(new_directory, FAST)
    starting = asyncio.create_task(server.start())
    await until((new_directory / "data.unfinished").exists)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    async with server:
        assert await ask(server, "select 1") == 1


async def test_a_long_path_is_no_obstacle(new_directory: Path) -> None:
    deep = new_directory.parent / ("d" * 60) / ("e" * 60) / "postgres"
    async with EmbeddedPostgres(deep, FAST) as server:
        assert await ask(server, "select 1") == 1


async def test_the_password_is_random_needed_and_only_ours_to_read(new_directory: Path) -> None:
    async with EmbeddedPostgres(new_directory, FAST) as server:
        password = (new_directory / "password").read_text().strip()
        assert len(password) >= 32
        assert stat.S_IMODE((new_directory / "password").stat().st_mode) == 0o600
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.dsn.replace(password, "guess"))
        assert await ask(
            server, "select bool_and(auth_method = 'scram-sha-256') from pg_hba_file_rules"
        )


async def test_a_lost_password_file_is_named(directory: Path) -> None:
    async with EmbeddedPostgres(directory, FAST):
        pass
    (directory / "password").unlink()

    with pytest.raises(EmbeddedPostgresError, match="password is missing"):
        await EmbeddedPostgres(directory, FAST).start()


async def test_postgresql_variables_of_the_user_change_nothing(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGDATA", "/nonexistent")
    monkeypatch.setenv("PGHOST", "nowhere.example")
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "standby")
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")

    async with EmbeddedPostgres(directory, FAST) as server:
        assert await ask(server, "show timezone") == "UTC"
        if sys.platform == "linux":
            environment = Path(f"/proc/{server.pid}/environ").read_bytes()
            assert b"PGPORT" not in environment


def test_the_default_directory_is_the_users_data_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/people/me")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    if os.geteuid() == 0:
        expected = "/var/lib/retryd/postgres"
    elif sys.platform == "darwin":
        expected = "/people/me/Library/Application Support/retryd/postgres"
    else:
        expected = "/people/me/.local/share/retryd/postgres"
    assert default_directory() == Path(expected)


@pytest.mark.parametrize("account", [0, 1000])
def test_a_data_home_that_is_named_is_taken(monkeypatch: pytest.MonkeyPatch, account: int) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: account)
    monkeypatch.setenv("XDG_DATA_HOME", "/data/mine")
    assert default_directory() == Path("/data/mine/retryd/postgres")


@pytest.mark.parametrize(
    ("system", "place"), [("linux", ".local/share"), ("darwin", "Library/Application Support")]
)
def test_each_system_has_its_place_for_the_data_of_a_user(
    monkeypatch: pytest.MonkeyPatch, system: str, place: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setenv("HOME", "/people/me")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert default_directory() == Path("/people/me") / place / "retryd/postgres"


def test_a_relative_data_home_is_ignored_as_its_standard_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", "/people/me")
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    assert default_directory() == Path("/people/me/.local/share/retryd/postgres")
