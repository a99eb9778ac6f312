"""What is on the edge of JSON: delivered with every digit and character, or refused at once."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import unquote

import asyncpg
import pytest

import retryd
from retryd.domain.errors import Refused
from retryd.domain.json_text import read_json
from tests.corpus import exact, refused, strings, taken
from tests.postgres import Connection
from tests.unit.handlers.receiver import Request, says
from tests.waiting import until
from tests.worker.conftest import Bench
from tests.worker.test_deliveries import PLAN, delivering

TYPE = "job.run.failed"
WIDE = {"retry": PLAN | {"worker_count": 16, "batch_size": 100}}
# Ours, and PostgreSQL's own of what is no JSON, NUL, no text, no number of its, and too deep.
STATES = {"RT400", "22P02", "22P05", "22021", "22003", "54001"}
MESSAGE_LENGTH = 500


async def by_sql(connection: Connection, name: str, body: bytes) -> None:
    call = (
        f"select retryd.capture_failure('{TYPE}', convert_from($1, 'UTF8')::jsonb, event_id => $2)"
    )
    await connection.execute(call, body, name)


async def by_sql_in_bulk(connection: Connection, name: str, body: bytes) -> None:
    event = b'[{"event_type": "%s", "event_id": %s, "payload": %s}]'
    whole = event % (TYPE.encode(), json.dumps(name).encode(), body)
    call = "select retryd.capture_failures(convert_from($1, 'UTF8')::jsonb)"
    await connection.execute(call, whole)


async def by_the_client(connection: Connection, name: str, body: bytes) -> None:
    await retryd.capture(connection, TYPE, read_json(body.decode()), event_id=name)


async def by_the_client_in_bulk(connection: Connection, name: str, body: bytes) -> None:
    event = {"event_type": TYPE, "payload": read_json(body.decode()), "event_id": name}
    await retryd.capture_many(connection, [event])


DOORS: dict[str, Callable[[Connection, str, bytes], Awaitable[None]]] = {
    "sql": by_sql,
    "sql in bulk": by_sql_in_bulk,
    "client": by_the_client,
    "client in bulk": by_the_client_in_bulk,
}


def bodies() -> Iterator[tuple[str, bytes, bytes]]:
    for name, (came, goes) in taken().items():
        yield name, came, goes
    for text in strings():
        yield f"string {text}"[:100], text.encode(), text.encode()


def delivered(request: Request, mode: str) -> Any:
    """Return what came, and under which id."""
    if mode == "binary":
        return unquote(request.headers["ce-id"]), exact(request.body)
    document = exact(request.body)
    return document["id"], document["data"]


@pytest.mark.parametrize("mode", ["binary", "structured"])
@pytest.mark.timeout(60)
async def test_what_a_door_takes_is_delivered_with_every_digit_and_character(
    bench: Bench, connection: Connection, mode: str
) -> None:
    expected = {}
    for name, came, goes in bodies():
        for door, capture in DOORS.items():
            await capture(connection, f"{door}: {name}", came)
            meant = b"{}" if goes == b"null" and door != "sql" else goes  # there it means none
            expected[f"{door}: {name}"] = exact(meant)
    async with delivering(bench.database, says("200 OK"), WIDE, content_mode=mode) as receiver:
        await until(lambda: all_ended(connection), within=40)
    assert await dead(connection) == []
    found = dict(delivered(request, mode) for request in receiver.requests)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []


async def all_ended(connection: Connection) -> bool:
    return not await connection.fetchval("select count(*) from retryd.retry_queue")


async def dead(connection: Connection) -> list[tuple[str, str]]:
    rows = await connection.fetch("select event_id, error_message from retryd.dead_letters")
    return [tuple(row) for row in rows]


async def refusal_of(call: Awaitable[None]) -> str | None:
    """Return with which words a call is refused, None if it is not."""
    try:
        await call
    except asyncpg.PostgresError as error:
        return str(error.args[0]) if error.sqlstate in STATES else None
    except (Refused, ValueError) as error:
        return str(error)
    return None


async def test_what_a_door_refuses_is_refused_by_all_and_leaves_nothing(
    connection: Connection,
) -> None:
    taken_by = []
    for name, body in refused().items():
        for door, capture in DOORS.items():
            async with connection.transaction():
                refusal = await refusal_of(capture(connection, name, body))
            if refusal is None or not 0 < len(refusal) < MESSAGE_LENGTH:
                taken_by.append((door, name, refusal))
    assert taken_by == []
    for table in ("failure_event", "retry_queue", "dead_letter"):
        assert await connection.fetchval(f"select count(*) from retryd.{table}") == 0


async def test_texts_beside_the_payload_are_delivered_as_they_came(
    bench: Bench, connection: Connection
) -> None:
    texts = {f"e-{number}": json.loads(text) for number, text in enumerate(strings())}
    for event_id, text in texts.items():
        beside = {"error_message": text, "correlation_id": text, "source": text, "error_type": text}
        await retryd.capture(connection, TYPE, event_id=event_id, **beside)
    async with delivering(bench.database, says("200 OK"), WIDE) as receiver:
        await until(lambda: all_ended(connection), within=30)
    assert await dead(connection) == []
    assert {request.headers["ce-id"] for request in receiver.requests} == texts.keys()
    for request in receiver.requests:
        text = texts[request.headers["ce-id"]]
        for name in ("ce-subject", "ce-errormessage", "ce-errortype"):
            assert unquote(request.headers.get(name, "")) == text
        assert unquote(request.headers["ce-source"]) == (text or "retryd")
