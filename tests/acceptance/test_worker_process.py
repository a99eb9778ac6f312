"""The real process: started, signalled and killed as in production."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

import retryd
from tests.postgres import Connection, Database
from tests.waiting import until

APP = """
import asyncio, os, pathlib
import retryd

app = retryd.App()
here = pathlib.Path(__file__).parent

@app.handler("job.*")
async def job(retry):
    with (here / "calls").open("a") as calls:
        print(retry.id, retry.attempt, os.getpid(), file=calls)
    while retry.payload.get("wait") and not (here / "go-on").exists():
        await asyncio.sleep(0.02)
    if retry.payload.get("fail"):
        raise ConnectionError("as asked")
"""
QUICK = {
    "RETRYD_RETRY__LEASE_SECONDS": "1",
    "RETRYD_RETRY__POLL_INTERVAL_SECONDS": "0.2",
    "RETRYD_RETRY__SHUTDOWN_TIMEOUT_SECONDS": "5",
    "RETRYD_RETRY__RETRY_POLICIES": '{"default": {"initial_delay_seconds": 0.05}}',
    "RETRYD_LOG__LEVEL": "error",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an application in it."""
    (tmp_path / "billing.py").write_text(APP)
    return tmp_path


@asynccontextmanager
async def worker(
    database: Database, folder: Path, *options: str, **variables: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `retryd run` in the folder of the application; kills it at the end if need be."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "retryd", "run", "--app", "billing:app", *options),
        cwd=folder,
        env={**os.environ, **QUICK, "RETRYD_DATABASE_URL": database.dsn, **variables},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def capture(connection: Connection, **payload: object) -> int:
    """Capture a failure that is due at once."""
    now = await connection.fetchval("select retryd.now()")
    [retry_id] = await retryd.capture(connection, "job.run.failed", payload, not_before=now)
    return retry_id


async def place(connection: Connection, retry_id: int) -> str | None:
    """Return where a retry is."""
    found: str | None = await connection.fetchval(
        "select place from retryd.place where id = $1", retry_id
    )
    return found


def calls(folder: Path) -> list[list[int]]:
    """Return id, attempt and process of each call of the handler."""
    path = folder / "calls"
    lines = path.read_text().splitlines() if path.exists() else []
    return [[int(word) for word in line.split()] for line in lines]


async def test_it_works_until_nothing_is_left_and_exits_0(
    database: Database, connection: Connection, folder: Path
) -> None:
    ids = [await capture(connection, fail=number == 0) for number in range(5)]
    async with worker(database, folder, "--until-empty") as process:
        assert await process.wait() == 0
    assert [await place(connection, retry_id) for retry_id in ids] == ["dead", *["done"] * 4]


async def test_sigterm_lets_the_running_attempt_end_and_exits_0(
    database: Database, connection: Connection, folder: Path
) -> None:
    retry_id = await capture(connection, wait=True)
    async with worker(database, folder) as process:
        await until(lambda: calls(folder))
        process.send_signal(signal.SIGTERM)
        late = await capture(connection)
        (folder / "go-on").touch()
        assert await process.wait() == 0
    assert await place(connection, retry_id) == "done"
    state = "select state, attempt from retryd.retry_queue where id = $1"
    row = await connection.fetchrow(state, late)
    assert row is None or tuple(row) == ("pending", 0)


async def test_what_does_not_end_in_time_is_given_back_with_its_attempt(
    database: Database, connection: Connection, folder: Path
) -> None:
    retry_id = await capture(connection, wait=True)
    hurry = {"RETRYD_RETRY__SHUTDOWN_TIMEOUT_SECONDS": "0.2"}
    async with worker(database, folder, **hurry) as process:
        await until(lambda: calls(folder))
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    row = await connection.fetchrow(
        "select state, attempt, lost_attempts from retryd.retry_queue where id = $1", retry_id
    )
    assert row is not None
    assert tuple(row) == ("pending", 0, 0)


async def test_a_second_signal_ends_it_at_once(
    database: Database, connection: Connection, folder: Path
) -> None:
    await capture(connection, wait=True)
    async with worker(database, folder) as process:
        await until(lambda: calls(folder))
        process.send_signal(signal.SIGTERM)

        def ended() -> bool:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)  # send_signal may reap, and lose the status
            return process.returncode is not None

        await until(ended)
        assert process.returncode == -signal.SIGTERM


async def test_another_worker_takes_over_what_was_killed(
    database: Database, connection: Connection, folder: Path
) -> None:
    retry_id = await capture(connection, wait=True)
    async with worker(database, folder) as first:
        await until(lambda: calls(folder))
        first.send_signal(signal.SIGKILL)
        await first.wait()
    assert await place(connection, retry_id) == "live"
    (folder / "go-on").touch()
    async with worker(database, folder, "--until-empty") as second:
        assert await second.wait() == 0
    assert await place(connection, retry_id) == "done"
    assert [call[:2] for call in calls(folder)] == [[retry_id, 1], [retry_id, 2]]
    lost = "select attempt, lost_attempts from retryd.retry_archive where id = $1"
    archived = await connection.fetchrow(lost, retry_id)
    assert archived is not None
    assert tuple(archived) == (2, 1)


async def test_two_workers_share_the_work_and_never_a_retry(
    database: Database, connection: Connection, folder: Path
) -> None:
    ids = {await capture(connection) for _ in range(60)}
    async with (
        worker(database, folder, "--until-empty") as first,
        worker(database, folder, "--until-empty") as second,
    ):
        assert [await first.wait(), await second.wait()] == [0, 0]
    called = [call[0] for call in calls(folder)]
    assert sorted(called) == sorted(ids)


async def test_a_database_that_is_not_migrated_is_named_with_the_remedy(
    plain_database: Database, folder: Path
) -> None:
    async with worker(plain_database, folder) as process:
        _, told = await process.communicate()
        assert process.returncode == 1
    assert b"retryd migrate" in told
    assert b"Traceback" not in told
