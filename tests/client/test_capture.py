"""Capture on the application's own connection: what arrives, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from types import MappingProxyType
from typing import Any

import asyncpg
import pytest
from typing_extensions import override

import retryd
from tests.postgres import Connection, Database

DUE = datetime(2030, 1, 2, 3, 4, 5, 678901, timezone(timedelta(hours=5, minutes=30)))
EVENT: Mapping[str, Any] = {
    "event_type": "invoice.email.failed",
    "payload": {"nested": [1, 2.5, None, True, "ä"]},
    "event_id": "e-1",
    "source": "shop",
    "correlation_id": "order-7",
    "error_type": "SMTPError",
    "error_message": "mailbox busy",
    "error_stack": "line 1\nline 2",
    "priority": 2,
    "ordering_key": "customer-1",
    "not_before": DUE,
    "attributes": {"traceparent": "00-abc"},
}
STORED = (
    "select e.event_type, e.payload::text, e.event_id, e.source, e.correlation_id, e.error_type,"
    " e.error_message, e.error_stack, q.priority, q.ordering_key, q.next_attempt_at as not_before,"
    " e.attributes::text from retryd.failure_event e join retryd.retry_queue q on q.event = e.id"
    " where q.id = $1"
)


async def stored(connection: Connection, retry_id: int) -> dict[str, Any]:
    """Return what became of an event, by the names of the arguments."""
    row = await connection.fetchrow(STORED, retry_id)
    assert row is not None
    found = dict(row)
    return {
        **found,
        "payload": json.loads(found["payload"]),
        "attributes": json.loads(found["attributes"]),
    }


async def one(connection: Connection, **event: Any) -> list[int]:
    """Capture an event by the single door."""
    return await retryd.capture(connection, **event)


async def bulk(connection: Connection, **event: Any) -> list[int]:
    """Capture an event by the bulk door."""
    return await retryd.capture_many(connection, [event])


doors = pytest.mark.parametrize("door", [one, bulk])


@doors
async def test_every_argument_arrives(connection: Connection, door: Callable[..., Any]) -> None:
    [retry_id] = await door(connection, **EVENT)
    assert await stored(connection, retry_id) == EVENT


@doors
async def test_an_event_type_is_enough(connection: Connection, door: Callable[..., Any]) -> None:
    [retry_id] = await door(connection, event_type="a.failed")
    found = await stored(connection, retry_id)
    assert found["payload"] == found["attributes"] == {}
    assert (found["source"], found["priority"]) == ("", 5)
    assert found["event_id"]


@doors
@pytest.mark.parametrize("payload", [0, False, "", [], "text", [[]], 1e15, 10**300, {"": ""}])
async def test_every_json_value_is_a_payload(
    connection: Connection, door: Callable[..., Any], payload: object
) -> None:
    [retry_id] = await door(connection, event_type="a.failed", payload=payload)
    assert (await stored(connection, retry_id))["payload"] == payload


@doors
async def test_an_exception_fills_what_is_not_given(
    connection: Connection, door: Callable[..., Any]
) -> None:
    caught = ConnectionError("no \x00 route \ud800")
    caught.add_note("asked twice")
    [retry_id] = await door(connection, event_type="a.failed", error=caught)
    found = await stored(connection, retry_id)
    assert found["error_type"] == "ConnectionError"
    assert found["error_message"] == "no \ufffd route \ufffd"
    assert "asked twice" in found["error_stack"]
    [retry_id] = await door(connection, event_type="a.failed", error=caught, error_message="")
    found = await stored(connection, retry_id)
    assert (found["error_type"], found["error_message"]) == ("ConnectionError", "")


@doors
async def test_the_same_source_and_event_id_give_the_same_ids(
    connection: Connection, door: Callable[..., Any]
) -> None:
    ids = await door(connection, event_type="a.failed", event_id="e", source="s")
    assert await door(connection, event_type="a.failed", event_id="e", source="s") == ids
    assert await door(connection, event_type="a.failed", event_id="e", source="other") != ids


async def test_ids_come_in_the_order_of_the_events(connection: Connection) -> None:
    keys = ["c", "a", "b", "a"]
    events = ({"event_type": "a.failed", "event_id": key} for key in keys)
    ids = await retryd.capture_many(connection, events)
    assert [(await stored(connection, i))["event_id"] for i in ids] == keys


async def test_nothing_captures_nothing(connection: Connection) -> None:
    assert await retryd.capture_many(connection, []) == []


async def test_what_rolls_back_was_never_captured(connection: Connection) -> None:
    transaction = connection.transaction()
    await transaction.start()
    await retryd.capture(connection, "a.failed")
    await transaction.rollback()
    assert await connection.fetchval("select count(*) from retryd.failure_event") == 0


class Nowhere(tzinfo):
    """A time zone that does not know its offset, so its times are naive."""

    @override
    def utcoffset(self, _: datetime | None) -> None:
        return None

    @override
    def dst(self, _: datetime | None) -> None:
        return None

    @override
    def tzname(self, _: datetime | None) -> None:
        return None


def deep(levels: int) -> list[Any]:
    """Return a list in a list in a list …"""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def endless() -> list[Any]:
    """Return a list that holds itself."""
    value: list[Any] = []
    value.append(value)
    return value


BAD: Mapping[str, Mapping[str, Any]] = {
    "no event type": {"event_type": ""},
    "an event type with a space": {"event_type": "a b"},
    "an event type that is no text": {"event_type": b"a.failed"},
    "an event type too long": {"event_type": "a" * 201},
    "a surrogate in the payload": {"payload": "\ud800"},
    "a surrogate in a key of the payload": {"payload": {"\udfff": 1}},
    "a NUL in the payload": {"payload": ["\x00"]},
    "a NUL in a key": {"event_id": "\x00"},
    "a surrogate in a key": {"correlation_id": "\ud800"},
    "a payload too deep": {"payload": deep(65)},
    "a payload without end": {"payload": endless()},
    "a payload too large": {"payload": "x" * 1024 * 1024},
    "NaN": {"payload": float("nan")},
    "infinity": {"payload": {"n": float("inf")}},
    "an enormous integer": {"payload": 10**308},
    "an integer that cannot be printed": {"payload": 10**5000},
    "a tiny number": {"payload": 5e-324},
    "a datetime in the payload": {"payload": {"at": DUE}},
    "bytes": {"payload": b"{}"},
    "a generator": {"payload": (n for n in (1, 2))},
    "a set": {"payload": {1, 2}},
    "a mapping that is no dict": {"payload": MappingProxyType({})},
    "a number as key of the payload": {"payload": {1: 1}},
    "a priority that is a bool": {"priority": True},
    "a priority that is a float": {"priority": 1.0},
    "a priority out of range": {"priority": 10},
    "an enormous priority": {"priority": 2**70},
    "a naive not_before": {"not_before": datetime(2030, 1, 1)},  # noqa: DTZ001
    "a not_before of no known offset": {"not_before": datetime(2030, 1, 1, tzinfo=Nowhere())},
    "a not_before that is text": {"not_before": "2030-01-01T00:00:00Z"},
    "a not_before beyond all years": {
        "not_before": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))
    },
    "an empty event_id": {"event_id": ""},
    "an event_id that is a number": {"event_id": 7},
    "a source too long": {"source": "ä" * 128},
    "an empty ordering key": {"ordering_key": ""},
    "an error type that is a number": {"error_type": 0},
    "an error type too long": {"error_type": "x" * 256},
    "an error message that is bytes": {"error_message": b""},
    "an error that is text": {"error": "boom"},
    "an error that is a class": {"error": ValueError},
    "attributes that are a list": {"attributes": []},
    "attributes too large": {"attributes": {"a": "x" * 16_384}},
    "an unknown key": {"prio": 1},
}


@pytest.mark.parametrize("fault", BAD)
async def test_a_refusal_of_the_bulk_door_names_the_index_and_leaves_the_transaction_usable(
    connection: Connection, fault: str
) -> None:
    async with connection.transaction():
        with pytest.raises(retryd.Refused, match=r"^event 1: ") as caught:
            await retryd.capture_many(
                connection, [{"event_type": "a.failed"}, {"event_type": "a.failed", **BAD[fault]}]
            )
        assert caught.value.sqlstate == "RT400"
        assert await connection.fetchval("select count(*) from retryd.failure_event") == 0


@pytest.mark.parametrize("fault", BAD)
async def test_a_refusal_leaves_the_transaction_usable(connection: Connection, fault: str) -> None:
    async with connection.transaction():
        with pytest.raises(retryd.Refused):
            await retryd.capture(connection, **{"event_type": "a.failed", **BAD[fault]})
        assert await retryd.capture(connection, "good.failed")


@pytest.mark.parametrize(
    "event", [None, "a.failed", 7, [("event_type", "a.failed")], {1: 2, "a": 3}]
)
async def test_what_is_no_event_is_refused(connection: Connection, event: Any) -> None:
    with pytest.raises(retryd.Refused, match=r"^event 0: "):
        await retryd.capture_many(connection, [event])


async def test_too_many_events_are_refused(connection: Connection) -> None:
    with pytest.raises(retryd.Refused, match="10000 events"):
        await retryd.capture_many(connection, [{"event_type": "a.failed"}] * 10_001)


@doors
async def test_the_last_time_of_all_is_as_good_as_any(
    connection: Connection, door: Callable[..., Any]
) -> None:
    never = datetime.max.replace(tzinfo=UTC)
    [retry_id] = await door(connection, event_type="a.failed", not_before=never)
    assert (await stored(connection, retry_id))["not_before"] == never


class Name(str):
    """Text that is a little more than text."""

    __slots__ = ()


@doors
async def test_a_kind_of_text_is_text(connection: Connection, door: Callable[..., Any]) -> None:
    [retry_id] = await door(
        connection, event_type=Name("a.failed"), payload={Name("k"): Name("v")}, source=Name("s")
    )
    found = await stored(connection, retry_id)
    assert (found["payload"], found["source"]) == ({"k": "v"}, "s")


@doors
async def test_an_aborted_transaction_is_named_as_what_it_is(
    connection: Connection, door: Callable[..., Any]
) -> None:
    transaction = connection.transaction()
    await transaction.start()
    with pytest.raises(asyncpg.DivisionByZeroError):
        await connection.execute("select 1/0")
    with pytest.raises(retryd.TransactionAborted, match="savepoint"):
        await door(connection, event_type="a.failed")
    await transaction.rollback()
    assert await door(connection, event_type="a.failed")


@doors
async def test_codecs_of_the_application_do_no_harm(
    database: Database, connection: Connection, door: Callable[..., Any]
) -> None:
    own = await database.connect()
    for name in ("json", "jsonb"):
        await own.set_type_codec(name, encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    await own.set_type_codec(
        "timestamptz",
        encoder=lambda value: value.stamp,
        decoder=str,
        schema="pg_catalog",
    )
    [retry_id] = await door(own, **EVENT)
    assert await stored(connection, retry_id) == EVENT


async def test_a_pool_will_do(database: Database) -> None:
    async with asyncpg.create_pool(database.dsn, min_size=1, max_size=1) as pool:
        assert await retryd.capture(pool, "a.failed")
