"""`retryd handler`: the registry as a person sees it, and what a person does to it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import retryd
from tests.acceptance.commands import Ended, Shell
from tests.postgres import Connection, Database

ALIVE = "select retryd.worker_seen($1, 'here', 1, '1', '{\"mail\": \"0\"}')"


@pytest.fixture
def shell(database: Database, tmp_path: Path) -> Shell:
    """A shell whose commands have the rights of an operator."""
    separator = "&" if "?" in database.dsn else "?"
    return Shell(
        tmp_path, {"RETRYD_DATABASE_URL": f"{database.dsn}{separator}role=retryd_operator"}
    )


@pytest.fixture
async def mail(connection: Connection) -> None:
    """A handler with two retries, of which one is due."""
    await connection.execute(
        "select retryd.register_handler('mail', '{mail.*,post.*}', dependency => 'smtp')"
    )
    await connection.execute(
        "select retryd.capture_failure('mail.send.failed', not_before => retryd.now())"
    )
    await connection.execute(
        "select retryd.capture_failure('mail.send.failed', not_before => retryd.now() + '1 h')"
    )


async def unrouted(connection: Connection) -> int:
    """Count the retries without a handler."""
    query = "select count(*) from retryd.retries where handler is null and place = 'live'"
    count: int = await connection.fetchval(query)
    return count


async def test_list_tells_the_definition_the_depth_the_workers_and_the_hold(
    shell: Shell, connection: Connection, mail: None
) -> None:
    await connection.execute(ALIVE, "ann")
    await connection.execute("select retryd.capture_failure('nobody.knows.failed')")
    await connection.execute("select retryd.pause_handler('mail', 'box full', 'bob')")
    [row] = (await shell("handler", "list", "--json")).document
    assert (row["handler"], row["kind"], row["match"]) == ("mail", "external", ["mail.*", "post.*"])
    assert (row["dependency"], row["policy"], row["workers"]) == ("smtp", None, 1)
    assert (row["due"], row["waiting"], row["processing"], row["parked"]) == (1, 1, 0, 0)
    assert (row["held"], row["held_by"], row["held_reason"]) == ("paused", "bob", "box full")
    told = (await shell("handler", "list")).out
    assert "mail.*, post.*" in told
    assert "paused by bob since " in told
    assert told.rstrip().endswith(": box full")


async def test_pause_holds_the_lanes_and_resume_lets_them_go_on(
    shell: Shell, connection: Connection, mail: None
) -> None:
    ended = await shell("handler", "pause", "mail", "--reason", "box full")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == "paused mail; 2 retries wait for `retryd handler resume mail`\n"
    assert not await connection.fetch("select * from retryd.acquire_retry_batch('ann', 9)")
    line = (await shell("handler", "pause", "mail")).refused(1)
    assert "handler mail is paused by" in line
    assert "box full already" in line

    row = (await shell("handler", "resume", "mail", "--json")).document
    assert (row["handler"], row["held"], row["due"]) == ("mail", None, 1)
    assert len(await connection.fetch("select * from retryd.acquire_retry_batch('ann', 9)")) == 1
    assert "is not paused" in (await shell("handler", "resume", "mail")).refused(1)


@pytest.mark.parametrize("verb", ["pause", "resume", "forget"])
async def test_an_unknown_handler_is_refused_with_the_near_name(
    shell: Shell, mail: None, verb: str
) -> None:
    line = (await shell("handler", verb, "mails")).refused(1)
    assert line == "retryd: there is no handler 'mails'; did you mean mail?"
    line = (await shell("handler", verb, "nothing-like-it")).refused(1)
    assert "`retryd handler list`" in line


async def test_forget_leaves_the_retries_unrouted_and_says_how_many(
    shell: Shell, connection: Connection, mail: None
) -> None:
    ended = await shell("handler", "forget", "mail", "--yes")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == "forgot mail; 2 retries are unrouted\n"
    assert await unrouted(connection) == 2
    assert (await shell("handler", "list", "--json")).document == []
    assert "there is no handler" in (await shell("handler", "forget", "mail")).refused(1)


async def test_what_a_capture_brings_to_a_forgotten_handler_is_freed_by_forgetting_it_again(
    shell: Shell, connection: Connection, mail: None
) -> None:
    async with connection.transaction():
        await retryd.capture(connection, "mail.late.failed")
        assert (await shell("handler", "forget", "mail", "--yes")).status == 0
    assert await unrouted(connection) == 2
    assert "there is no handler" in (await shell("handler", "pause", "mail")).refused(1)
    assert (await shell("handler", "forget", "mail", "--yes")).out == (
        "forgot mail; 1 retry is unrouted\n"
    )
    assert await unrouted(connection) == 3


async def test_forget_without_yes_does_nothing_where_nobody_can_be_asked(
    shell: Shell, connection: Connection, mail: None
) -> None:
    line = (await shell("handler", "forget", "mail")).refused(2)
    assert "2 retries are unrouted" in line
    assert "say --yes" in line
    assert await unrouted(connection) == 0


async def test_forget_is_refused_while_a_live_worker_serves_it_unless_yes_is_said(
    shell: Shell, connection: Connection, mail: None
) -> None:
    await connection.execute(ALIVE, "ann")
    line = (await shell("handler", "forget", "mail")).refused(1)
    assert "served by 1 live worker" in line
    assert "--yes" in line
    assert await unrouted(connection) == 0
    row = (await shell("handler", "forget", "mail", "--yes", "--json")).document
    assert (row["handler"], row["workers"]) == ("mail", 1)
    assert await unrouted(connection) == 2


async def test_a_worker_that_vanished_keeps_no_handler_from_being_forgotten(
    shell: Shell, connection: Connection, mail: None
) -> None:
    await connection.execute(ALIVE, "ann")
    await connection.execute(
        "update retryd.worker set seen_at = seen_at - interval '61 s' where id = 'ann'"
    )
    assert "say --yes" in (await shell("handler", "forget", "mail")).refused(2)


async def answering(shell: Shell, answer: str) -> Ended:
    """Forget the handler on a terminal on which a person answers."""
    ours, theirs = os.openpty()
    try:
        process = await shell.start("handler", "forget", "mail", "--json", stdin=theirs)
        assert process.stderr is not None
        question = await process.stderr.readuntil(b"[y/N] ")
        assert b"Forget handler mail? 2 retries are unrouted" in question
        os.write(ours, answer.encode())
        out, err = await process.communicate()
    finally:
        os.close(ours)
        os.close(theirs)
    return Ended(process.returncode, out.decode(), err.decode())


async def test_a_person_is_asked_and_may_say_no(
    shell: Shell, connection: Connection, mail: None
) -> None:
    refused = await answering(shell, "n\n")
    assert (refused.status, refused.out) == (1, "")
    assert await unrouted(connection) == 0
    done = await answering(shell, "y\n")
    assert done.status == 0
    assert json.loads(done.out)["handler"] == "mail"
    assert await unrouted(connection) == 2
