"""Dead letters by the hundred: replayed, deleted, taken out as lines and brought back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

import pytest

from tests.postgres import Connection, Database
from tests.sql.doors import Doors, refused
from tests.sql.rivals import Rivals
from tests.waiting import until

LETTER: dict[str, Any] = {
    "event_type": "work.do.failed",
    "event_id": "e-1",
    "source": "shop",
    "correlation_id": "c-1",
    "handler": "work",
    "status": "failed",
    "reason": "exhausted",
    "error_type": "SmtpError",
    "error_message": "no box",
    "error_stack": "line 1\nline 2",
    "payload": {"n": 1.10, "to": "Zoë"},
    "attributes": {"a": None},
    "policy": "default",
    "priority": 2,
    "ordering_key": "k",
    "attempt": 4,
    "lost_attempts": 1,
    "max_retries": 3,
    "snoozes": 5,
    "life": 2,
    "occurred_at": None,
    "captured_at": "2025-01-01T00:00:00.000001+00:00",
    "dead_at": "2025-01-02T00:00:00+00:00",
    "replays": 1,
    "replayed_at": "2025-01-01T12:00:00+00:00",
    "replayed_by": "eve",
    "replay_reason": "again",
    "resolved_by": None,
    "resolved_at": None,
    "resolved_actor": None,
    "resolved_reason": None,
    "event_error_type": "First",
    "event_error_message": "what came in",
    "event_error_stack": "stack",
    "raw": "AP8=",
}


async def brought(sql: Doors, *letters: object) -> list[tuple[Any, ...]]:
    """Import dead letters; returns outcome and problem of each."""
    rows = await sql.rows("import_dead_letters", dead_letters=json.dumps(letters))
    assert [row["index"] for row in rows] == list(range(len(letters)))
    return [(row["outcome"], row["problem"]) for row in rows]


async def exported(connection: Connection) -> list[dict[str, Any]]:
    """Read every line, without its id."""
    rows = await connection.fetch("select line from retryd.dead_letter_export order by id")
    lines = [json.loads(row["line"]) for row in rows]
    for line in lines:
        del line["id"]
    return lines


# --- many at once -----------------------------------------------------------------------------


async def test_many_are_replayed_and_the_others_left(sql: Doors) -> None:
    dead = [await sql.dead(), await sql.dead()]
    closed, live = await sql.dead(), await sql.capture()
    assert await sql.one("resolve_dead_letter", id=closed)
    ids = [live, *reversed(dead), closed, 999]
    rows = await sql.rows("replay_dead_letters", ids=ids, reason="fixed", actor="eve")
    assert [row[0] for row in rows] == dead
    assert await sql.rows("replay_dead_letters", ids=ids) == []
    noted = await sql.connection.fetch(
        "select status, replayed_by, replay_reason, replays from retryd.dead_letter order by id"
    )
    assert [tuple(row) for row in noted] == [
        *[("retrying", "eve", "fixed", 1)] * 2,
        ("resolved", None, None, 0),
    ]
    claimed = {row["id"]: row["life"] for row in await sql.acquire()}
    assert claimed == {**dict.fromkeys(dead, 2), live: 1}


async def test_of_many_with_one_ordering_key_the_first_goes_on(sql: Doors) -> None:
    dead = [await sql.dead(ordering_key="k") for _ in range(3)]
    await sql.rows("replay_dead_letters", ids=dead)
    assert [row["id"] for row in await sql.acquire()] == dead[:1]


async def test_many_without_a_handler_go_to_who_matches(sql: Doors) -> None:
    dead = [await sql.dead(), await sql.dead(ordering_key="k")]
    assert await sql.one("forget_handler", name="work")
    await sql.register("successor", "work.*")
    await sql.rows("replay_dead_letters", ids=dead)
    assert [row["handler"] for row in await sql.acquire()] == ["successor", "successor"]


async def test_more_ordering_keys_than_locks_are_worth_are_left_to_the_sweep(
    sql: Doors, connection: Connection
) -> None:
    letters = [
        {**LETTER, "event_id": f"e-{number}", "ordering_key": f"k-{number}"}
        for number in range(501)
    ]
    await brought(sql, *letters)
    ids = list((await sql.places()).keys())
    assert len(await sql.rows("replay_dead_letters", ids=ids)) == 501
    assert await sql.acquire(1000) == []
    assert await sql.one("unpark_stranded", batch_size=1000) == 501
    assert len(await sql.acquire(1000)) == 501


@pytest.mark.forgets
async def test_many_are_deleted_but_for_those_being_retried(sql: Doors) -> None:
    dead, closed, busy = await sql.dead(), await sql.dead(), await sql.dead()
    assert await sql.one("resolve_dead_letter", id=closed)
    assert await sql.one("replay_dead_letter", id=busy)
    rows = await sql.rows("delete_dead_letters", ids=[busy, closed, dead, 999])
    assert [row[0] for row in rows] == [dead, closed]
    assert await sql.places() == {busy: "live"}


@pytest.mark.parametrize("verb", ["replay_dead_letters", "delete_dead_letters"])
@pytest.mark.forgets
async def test_many_are_locked_in_the_order_of_their_ids(
    verb: str, database: Database, sql: Doors
) -> None:
    rivals = await Rivals.of(database)
    early, late = await sql.dead(), await sql.dead()
    transaction = rivals.first.connection.transaction()
    await transaction.start()
    assert await rivals.first.one("resolve_dead_letter", id=late)
    waiting: asyncio.Future[Any] = asyncio.ensure_future(
        rivals.second.rows(verb, ids=[late, early])
    )
    await until(lambda: rivals.second_waits(waiting))
    free = await sql.connection.fetch(
        "select id from retryd.dead_letter where id = $1 for update skip locked", early
    )
    assert free == []
    await transaction.commit()
    done = [row[0] for row in await waiting]
    assert done == ([early] if verb == "replay_dead_letters" else [early, late])
    if verb == "replay_dead_letters":
        await sql.one("cancel_retry", id=early)
        await sql.rows("delete_dead_letters", ids=[early, late])


# --- there and back ---------------------------------------------------------------------------


@pytest.mark.forgets
async def test_what_was_exported_and_deleted_comes_back_equal_under_a_new_id(
    sql: Doors, connection: Connection
) -> None:
    await sql.register("log", "work.*")
    claim = await sql.held(
        event_id="e-7",
        payload='{"net": 1.10, "n": 12345678901234567890.123}',
        attributes='{"trace": "t"}',
        error_type="First",
        correlation_id="c",
    )
    assert await sql.one("fail_retry", **claim, reason="rejected", error_message="no \U0001f600")
    undecodable = await sql.one(
        "capture_dead", event='{"source": "bus"}', reason="undecodable", raw=bytes(range(256)) * 9
    )
    closed = await sql.dead(event_id="closed")
    assert await sql.one("resolve_dead_letter", id=closed, reason="refunded", actor="eve")
    lines = "select (line::jsonb - 'id')::text from retryd.dead_letter_export order by id"
    kept = "select to_jsonb(d) - 'id' from retryd.dead_letters d order by id"
    before = [row[0] for row in await connection.fetch(lines)]
    seen = [row[0] for row in await connection.fetch(kept)]
    assert len(before) == len(seen) == 3
    assert '{"n": 12345678901234567890.123, "net": 1.10}' in before[0]

    ids = [claim["id"], undecodable, closed]
    assert len(await sql.rows("delete_dead_letters", ids=ids)) == 3
    await connection.execute("delete from retryd.failure_event where id = any($1)", ids[1:])
    rows = await sql.rows("import_dead_letters", dead_letters=f"[{','.join(before)}]")
    assert [row["outcome"] for row in rows] == ["imported"] * 3
    assert [row[0] for row in await connection.fetch(lines)] == before
    assert [row[0] for row in await connection.fetch(kept)] == seen


async def test_every_key_of_a_line_is_taken(sql: Doors, connection: Connection) -> None:
    assert await brought(sql, LETTER) == [("imported", None)]
    assert await exported(connection) == [LETTER]
    view = await connection.fetchval("select line::jsonb from retryd.dead_letter_export")
    assert {*json.loads(view)} == {*LETTER, "id"}


async def test_what_was_imported_stays_dead_until_it_is_replayed(
    sql: Doors, connection: Connection
) -> None:
    await brought(sql, {**LETTER, "raw": None})
    assert await sql.acquire() == []
    [(number, place)] = (await sql.places()).items()
    assert place == "dead"
    assert await sql.one("replay_dead_letter", id=number)
    (row,) = await sql.acquire()
    assert (row["id"], row["life"], row["attempt"]) == (number, 3, 1)
    assert json.loads(row["payload"]) == LETTER["payload"]
    assert row["error_type"] == "First"


async def test_what_is_there_is_imported_once(sql: Doors) -> None:
    twice = {**LETTER, "event_id": "e-2"}
    outcomes = await brought(sql, LETTER, twice, twice)
    assert outcomes == [("imported", None), ("imported", None), ("existing", None)]
    assert await brought(sql, LETTER, twice) == [("existing", None)] * 2
    assert await sql.count("dead_letter") == 2


async def test_what_is_live_or_done_here_is_not_made_dead_by_an_import(sql: Doors) -> None:
    event = {"event_id": "e-1", "source": "shop", "payload": json.dumps(LETTER["payload"])}
    number = await sql.capture(**event)
    assert await brought(sql, LETTER) == [("existing", None)]
    assert await sql.places() == {number: "live"}
    assert await sql.one("cancel_retry", id=number)
    assert await brought(sql, LETTER) == [("existing", None)]
    assert await sql.places() == {number: "done"}


async def test_two_handlers_of_one_event_share_it(sql: Doors) -> None:
    await brought(sql, LETTER, {**LETTER, "handler": "log"}, {**LETTER, "handler": None})
    assert await brought(sql, {**LETTER, "handler": "third"}) == [("imported", None)]
    assert await sql.count("failure_event") == 1
    assert len(await sql.places()) == 4
    ids = await sql.rows("capture_failure", event_type="work.do.failed", **event_of(LETTER))
    assert [row[0] for row in ids] == sorted(await sql.places())


def event_of(letter: dict[str, Any]) -> dict[str, Any]:
    """Name the event as capture does."""
    return {"event_id": letter["event_id"], "source": letter["source"]}


@pytest.mark.parametrize("change", [{"payload": {"n": 2}}, {"event_type": "work.other.failed"}])
async def test_another_event_with_the_same_name_is_a_conflict(
    change: dict[str, Any], sql: Doors
) -> None:
    await brought(sql, LETTER)
    [(outcome, problem)] = await brought(sql, {**LETTER, "handler": "log", **change})
    assert outcome == "conflict"
    assert "another event" in problem
    assert await sql.count("dead_letter") == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"event_type": None}, "event_type is missing"),
        ({"event_type": "a b"}, "event_type 'a b' may hold only"),
        ({"nonsense": 1}, "unknown key 'nonsense'"),
        ({"status": "retrying"}, "status 'retrying' is not one of"),
        ({"reason": "bored"}, "reason 'bored'"),
        ({"resolved_by": "person"}, "resolved_by must be"),
        ({"status": "resolved"}, "resolved_by must be"),
        ({"status": "resolved", "resolved_by": "cat"}, "resolved_by must be"),
        ({"attempt": -1}, "attempt must be a whole number"),
        ({"attempt": 1.5}, "attempt must be a whole number"),
        ({"life": "2"}, "life must be a whole number"),
        ({"max_retries": 0}, "max_retries must be 1 to 1000000"),
        ({"priority": 10}, "priority 10 is out of range"),
        ({"policy": 7}, "policy must be a string"),
        ({"handler": "h" * 256}, "at most 255 bytes"),
        ({"event_id": "e" * 256}, "event_id has 256 bytes"),
        ({"dead_at": "some day"}, "some day"),
        ({"dead_at": "infinity"}, "years 1 to 9999"),
        ({"captured_at": "0044-03-15 BC"}, "years 1 to 9999"),
        ({"raw": "?"}, "base64"),
        ({"attributes": []}, "attributes must be a JSON object"),
        ({"payload": "x" * 1024 * 1024}, "payload has"),
    ],
)
async def test_a_bad_line_says_what_is_wrong_and_harms_no_other(
    change: dict[str, Any], words: str, sql: Doors
) -> None:
    good = {**LETTER, "event_id": "good"}
    (outcome, problem), other = await brought(sql, {**LETTER, **change}, good)
    assert outcome == "bad"
    assert words in problem
    assert other == ("imported", None)


@pytest.mark.parametrize("line", [None, 1, "x", []])
async def test_a_line_that_is_no_object_is_bad(line: object, sql: Doors) -> None:
    assert await brought(sql, line) == [("bad", "must be a JSON object")]


async def test_a_call_takes_an_array_of_ten_thousand(sql: Doors) -> None:
    with refused("RT400", "must be a JSON array"):
        await sql.rows("import_dead_letters", dead_letters="{}")
    with refused("RT400", "10001 dead letters in one call"):
        await sql.rows("import_dead_letters", dead_letters=json.dumps([{}] * 10_001))
    assert await brought(sql) == []


async def test_two_imports_of_one_file_bring_each_line_once(database: Database, sql: Doors) -> None:
    rivals = await Rivals.of(database)
    letters = [{**LETTER, "event_id": f"e-{number}"} for number in range(20)]
    await brought(sql, *({**letter, "handler": "other"} for letter in letters[:10]))

    def bring(doors: Doors) -> Awaitable[object]:
        return brought(doors, *letters)

    first, second = await rivals.meet(bring, bring)
    assert first == [("imported", None)] * 20
    assert second == [("existing", None)] * 20
    assert await sql.count("dead_letter") == 30


async def test_what_is_being_retried_is_not_exported(sql: Doors, connection: Connection) -> None:
    number = await sql.dead()
    assert len(await exported(connection)) == 1
    assert await sql.one("replay_dead_letter", id=number)
    assert await exported(connection) == []
