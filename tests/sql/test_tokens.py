"""Tokens of the HTTP API: kept by a hash, ended by a person or by time, shown without the hash."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.postgres import Clock, Connection
from tests.sql.doors import Doors, refused

SCOPES = ["ingest", "read", "payload", "operate", "admin"]


def sha256(secret: str) -> bytes:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).digest()


async def create(sql: Doors, name: str | None = "shop", **arguments: object) -> int:
    """Keep a token that may ingest."""
    given = {"scopes": ["ingest"], "secret_sha256": sha256(str(name)), **arguments}
    number = await sql.one("create_token", name=name, **given)
    assert isinstance(number, int)
    return number


async def live(sql: Doors) -> set[int]:
    """Return the ids of those that a server takes."""
    return {row["id"] for row in await sql.rows("live_tokens")}


async def test_a_token_is_told_to_servers_with_its_hash_and_to_people_without(sql: Doors) -> None:
    number = await create(sql, scopes=["read", "ingest", "read"], actor="eve")
    [row] = await sql.rows("live_tokens")
    assert dict(row) == {
        "id": number,
        "name": "shop",
        "scopes": ["ingest", "read"],
        "secret_sha256": sha256("shop"),
        "expires_in_seconds": None,
    }
    shown = dict(await sql.connection.fetchrow("select * from retryd.api_tokens") or {})
    assert (shown["id"], shown["name"], shown["state"]) == (number, "shop", "live")
    assert (shown["scopes"], shown["created_by"]) == (["ingest", "read"], "eve")
    assert not any(isinstance(value, bytes) for value in shown.values())


async def test_names_may_repeat_and_hashes_may_not(sql: Doors) -> None:
    first, second = await create(sql), await create(sql, secret_sha256=sha256("another"))
    assert await live(sql) == {first, second}
    with pytest.raises(asyncpg.UniqueViolationError):
        await create(sql, "twice", secret_sha256=sha256("another"))


async def test_a_token_is_revoked_once_and_by_whom_and_why_is_noted(sql: Doors) -> None:
    number, other = await create(sql), await create(sql, "other")
    assert await sql.one("revoke_token", id=number, reason="leaked", actor="eve")
    assert not await sql.one("revoke_token", id=number, reason="again", actor="bob")
    assert not await sql.one("revoke_token", id=other + 1)
    assert await live(sql) == {other}
    row = await sql.connection.fetchrow("select * from retryd.api_tokens where id = $1", number)
    assert row is not None
    assert (row["state"], row["revoked_by"], row["revoke_reason"]) == ("revoked", "eve", "leaked")
    assert row["revoked_at"] is not None


async def test_the_actor_is_the_role_of_the_session_unless_it_is_named(
    sql: Doors, connection: Connection
) -> None:
    await sql.one("revoke_token", id=await create(sql), actor=None)
    await create(sql, "other", actor=None)
    me = await connection.fetchval("select session_user::text")
    rows = await connection.fetch("select created_by, revoked_by from retryd.api_tokens")
    assert {value for row in rows for value in row} == {me, None}


async def test_a_token_ends_when_its_time_has_come(sql: Doors, clock: Clock) -> None:
    number = await create(sql, expires_in=timedelta(hours=1))
    [row] = await sql.rows("live_tokens")
    assert 3590 < row["expires_in_seconds"] <= 3600
    await clock.advance(3599)
    assert await live(sql) == {number}
    await clock.advance(1)
    assert await live(sql) == set()
    assert await sql.connection.fetchval("select state from retryd.api_tokens") == "expired"
    assert await sql.one("revoke_token", id=number)
    assert await sql.connection.fetchval("select state from retryd.api_tokens") == "revoked"


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        ({"name": ""}, "token name '' must be 1 to 255 bytes"),
        ({"name": None}, "token name null"),
        ({"name": "ä" * 128}, "must be 1 to 255 bytes"),
        ({"scopes": []}, "token 'shop' has no scope; give one or more of ingest, read"),
        ({"scopes": None}, "has no scope"),
        ({"scopes": ["ingest", "root"]}, "scope 'root' is not one of ingest, read, payload"),
        ({"scopes": ["ingest", None]}, "scope null is not one of"),
        ({"secret_sha256": b"short"}, "32 bytes of a SHA-256"),
        ({"secret_sha256": None}, "32 bytes of a SHA-256"),
        ({"expires_in": timedelta(0)}, "more than 0"),
        ({"expires_in": timedelta(days=-1)}, "more than 0"),
        ({"expires_in": timedelta(days=36501)}, "at most 36500 days"),
    ],
)
async def test_what_is_no_token_is_refused(
    arguments: dict[str, object], saying: str, sql: Doors
) -> None:
    with refused("RT400", saying):
        await create(sql, **{"name": "shop", **arguments})  # type: ignore[arg-type]
    assert await sql.count("api_token") == 0


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(scopes=st.lists(st.sampled_from([*SCOPES, "Admin", "", " read", None]), max_size=6))
async def test_the_table_takes_what_the_function_takes_and_no_more(
    scopes: list[str | None], sql: Doors
) -> None:
    fine = bool(scopes) and set(scopes) <= set(SCOPES)
    insert = (
        "insert into retryd.api_token (name, scopes, secret_sha256, created_at, created_by)"
        " values ('by hand', $1, sha256('x'), now(), 'me')"
    )
    for call in (
        lambda: create(sql, scopes=scopes),
        lambda: sql.connection.execute(insert, scopes),
    ):
        transaction = sql.connection.transaction()
        await transaction.start()
        try:
            await call()
        except asyncpg.PostgresError:
            assert not fine
        else:
            assert fine
        finally:
            await transaction.rollback()


async def test_only_a_worker_reads_hashes_and_only_an_operator_makes_tokens(
    sql: Doors, connection: Connection
) -> None:
    for role in ("retryd_worker", "retryd_producer", "retryd_reader"):
        await connection.execute(f"set role {role}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await create(sql)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await sql.one("revoke_token", id=1)
    await connection.execute("set role retryd_operator")
    number = await create(sql)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await sql.rows("live_tokens")
    assert await connection.fetchval("select id from retryd.api_tokens") == number
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.fetch("select * from retryd.api_token")
    await connection.execute("set role retryd_worker")
    assert await live(sql) == {number}
    await connection.execute("reset role")
