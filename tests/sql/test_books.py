"""The base check finds what it is there for: each of these leaves something, and is told."""

from __future__ import annotations

import os
import signal
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from tests.books import balanced
from tests.postgres import Connection, Database
from tests.remains import Processes, no_lock_left, no_session_left
from tests.sql.doors import Doors
from tests.waiting import until

FUNCTIONS = Path(__file__).parents[2] / "sql" / "functions"
ARCHIVED = "from gone g\n    ), closed"
WAITS = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
LEAVES_ONE_THAT_WAITS = f"import os\nif not os.fork():\n    {WAITS}"


async def test_a_completion_that_archives_nothing_is_a_loss(
    sql: Doors, connection: Connection
) -> None:
    text = (FUNCTIONS / "complete_one.sql").read_text()
    assert text.count(ARCHIVED) == 1
    claim = await sql.held()
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(text.replace(ARCHIVED, "from gone g where false\n    ), closed"))
    assert await sql.one("complete_retry", **claim)
    for forgets in (False, True):
        with pytest.raises(AssertionError, match="retry 1 is lost: accepted, last live"):
            await balanced(connection, forgets=forgets)
    await transaction.rollback()
    await balanced(connection)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("delete from retryd.retry_queue", "retry 1 is lost"),
        ("delete from retryd.dead_letter", "retry 2 was dead and is gone"),
        ("update retryd.dead_letter set id = 1", "retry 1 is in 2 places"),
        ("update retryd.retry_queue set id = 0", "retry 0 .* nobody has noted"),
        ("update retryd.dead_letter set attempt = 9", "too many attempts"),
        ("update books.attempt set token = 0", "do not grow"),
    ],
)
async def test_the_books_show_what_is_wrong(
    wrong: str, told: str, sql: Doors, connection: Connection
) -> None:
    await sql.capture(not_before=datetime(2100, 1, 1, tzinfo=UTC))
    dead = await sql.dead()
    assert await sql.one("replay_dead_letter", id=dead)
    (again,) = await sql.acquire()
    assert await sql.one("fail_retry", id=dead, claim_token=again["claim_token"])
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(wrong)
    with pytest.raises(AssertionError, match=told):
        await balanced(connection)
    await transaction.rollback()


async def test_a_session_that_nobody_closed_is_left(database: Database) -> None:
    looking = await database.connect()
    forgotten = await asyncpg.connect(database.dsn, server_settings={"application_name": "gone"})
    with pytest.raises(AssertionError, match=r"a session is left: .*gone"):
        await no_session_left(looking, within=0.1)
    await forgotten.close()
    await no_session_left(looking)


async def test_a_lock_of_a_session_that_goes_on_is_left(
    database: Database, connection: Connection
) -> None:
    looking = await database.connect()
    await connection.execute("select pg_advisory_lock(1)")
    with pytest.raises(AssertionError, match=r"an advisory lock is left: .*ExclusiveLock"):
        await no_lock_left(looking, within=0.1)
    await connection.execute("select pg_advisory_unlock(1)")
    await no_lock_left(looking)


@pytest.mark.parametrize("program", [WAITS, LEAVES_ONE_THAT_WAITS], ids=["child", "orphan"])
async def test_a_process_that_goes_on_is_left(program: str, processes: Processes) -> None:
    child = await create_subprocess_exec(sys.executable, "-c", program, stdout=PIPE)
    assert child.stdout is not None
    waiting = int(await child.stdout.readline())

    async def has_ended() -> bool:
        return child.returncode is not None

    try:
        if waiting != child.pid:
            # Its wait() may wait for the end of the pipe as well, which the orphan holds.
            await until(has_ended)
            assert child.returncode == 0
        with pytest.raises(AssertionError, match=rf"a process is left: .*{waiting} "):
            await processes.ended(within=0.1)
    finally:
        os.kill(waiting, signal.SIGTERM)
    await child.wait()
    await processes.ended()
