"""What operators do goes through the functions of the schema, in their name."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from retryd.domain.errors import DatabaseRefused
from retryd.store.operators import Operators
from retryd.store.pool import open_pool
from tests.postgres import Connection, Database


@pytest.fixture
async def eve(database: Database) -> AsyncIterator[Operators]:
    """An operator with a name, and with an operator's rights."""
    separator = "&" if "?" in database.dsn else "?"
    dsn = f"{database.dsn}{separator}role=retryd_operator"
    async with open_pool(dsn, size=1, application="retryd/test") as pool:
        yield Operators(pool, "eve")


@pytest.fixture
async def dead(connection: Connection) -> int:
    """The id of a dead letter of handler `mail`."""
    await connection.execute("select retryd.register_handler('mail', '{mail.*}')")
    number: int = await connection.fetchval(
        "select retryd.capture_failure('mail.send.failed', not_before => retryd.now())"
    )
    assert await connection.fetchval(
        "select retryd.fail_retry(id, claim_token) from retryd.acquire_retry_batch('ann', 1)"
    )
    return number


async def test_a_replay_is_noted_with_actor_and_reason_and_done_once(
    eve: Operators, connection: Connection, dead: int
) -> None:
    assert await eve.replay_dead_letter(dead, "box is back")
    row = await connection.fetchrow("select * from retryd.dead_letter where id = $1", dead)
    assert row is not None
    assert (row["status"], row["replayed_by"], row["replay_reason"]) == (
        *("retrying", "eve"),
        "box is back",
    )
    assert not await eve.replay_dead_letter(dead)
    assert not await eve.resolve_dead_letter(dead)
    assert not await eve.delete_dead_letter(dead)
    assert await eve.retry_now(dead)
    assert await eve.cancel_retry(dead, "no use")
    assert not await eve.cancel_retry(dead)
    assert not await eve.retry_now(dead)


@pytest.mark.forgets
async def test_a_resolved_case_names_who_closed_it(
    eve: Operators, connection: Connection, dead: int
) -> None:
    assert await eve.resolve_dead_letter(dead, "known")
    row = await connection.fetchrow("select * from retryd.dead_letter where id = $1", dead)
    assert row is not None
    assert (row["resolved_by"], row["resolved_actor"]) == ("person", "eve")
    assert row["resolved_reason"] == "known"
    assert await eve.delete_dead_letter(dead)
    assert not await eve.delete_dead_letter(dead)


async def test_without_a_name_the_session_user_is_noted(
    database: Database, connection: Connection, dead: int
) -> None:
    async with open_pool(database.dsn, size=1, application="retryd/test") as pool:
        assert await Operators(pool).replay_dead_letter(dead)
    noted = "select replayed_by = session_user from retryd.dead_letter where id = $1"
    assert await connection.fetchval(noted, dead)


async def test_a_handler_is_paused_and_resumed(
    eve: Operators, connection: Connection, dead: int
) -> None:
    assert dead
    assert await eve.pause_handler("mail", "maintenance")
    assert not await eve.pause_handler("mail")
    held = await connection.fetchrow("select * from retryd.retry_handler where name = 'mail'")
    assert held is not None
    assert (held["paused_by"], held["pause_reason"]) == ("eve", "maintenance")
    assert await eve.resume_handler("mail")
    assert not await eve.resume_handler("mail")
    assert not await eve.pause_handler("unknown")


async def test_a_reader_is_no_operator(database: Database, dead: int) -> None:
    separator = "&" if "?" in database.dsn else "?"
    dsn = f"{database.dsn}{separator}role=retryd_reader"
    async with open_pool(dsn, size=1, application="retryd/test") as pool:
        with pytest.raises(DatabaseRefused, match="rights"):
            await Operators(pool).resolve_dead_letter(dead)
