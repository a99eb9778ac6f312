"""Events over HTTP, with a real server and PostgreSQL: each answer, all or nothing."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retryd.spool.segments import size_of
from retryd.web import ingest
from tests.postgres import Connection, Database
from tests.unit.web.corpus import cases
from tests.web.posting import (
    BATCH,
    EVENT,
    JSON,
    PATH,
    STRUCTURED,
    cloudevent,
    errors,
    outcomes,
    post,
    stored,
)
from tests.web.serving import Served, serving


async def test_a_new_event_is_201_and_again_200_with_the_same_id(
    taking: Served, connection: Connection
) -> None:
    first = await post(taking, cloudevent("1", {"a": 1}), STRUCTURED)
    again = await post(taking, cloudevent("1", {"a": 1}), STRUCTURED)
    [id] = first.json()["ids"]
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == {
        "ids": [id],
        "durability": "committed",
        "events": [{"index": 0, "event_id": "1", "outcome": "new", "ids": [id]}],
    }
    assert again.json()["ids"] == [id]
    assert outcomes(again) == ["duplicate"]
    row = await connection.fetchrow("select * from retryd.retries where id = $1", int(id))
    assert row is not None
    assert (row["source"], row["event_id"], row["event_type"]) == (
        "/shop",
        "1",
        "order.sync.failed",
    )


async def test_an_answer_that_is_lost_is_the_same_when_it_is_asked_for_again(
    taking: Served, connection: Connection
) -> None:
    body = json.dumps({**EVENT, "event_id": "7"}).encode()
    _, writer = await asyncio.open_connection(*taking.address)
    writer.write(
        f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n".encode()
        + body
    )
    await writer.drain()
    writer.transport.abort()  # whatever the server answers, nobody reads it
    answer = await post(taking, body)
    assert answer.status_code in {200, 201}
    assert await stored(connection) == 1


async def test_the_same_id_with_other_content_is_409_and_changes_nothing(
    taking: Served, connection: Connection
) -> None:
    await post(taking, cloudevent("1", 1), STRUCTURED)
    alone = await post(taking, cloudevent("1", 2), STRUCTURED)
    among = await post(taking, [cloudevent("2"), cloudevent("1", 2), cloudevent("3")], BATCH)
    assert (alone.status_code, errors(alone)) == (409, [[0, ""]])
    assert (among.status_code, errors(among)) == (409, [[1, ""]])
    assert await stored(connection) == 1


async def test_a_batch_tells_of_each_event(taking: Served, connection: Connection) -> None:
    await post(taking, cloudevent("1"), STRUCTURED)
    answer = await post(taking, [cloudevent(id) for id in "2123"], BATCH)
    assert answer.status_code == 201
    assert outcomes(answer) == ["new", "duplicate", "duplicate", "new"]
    told = [each["ids"] for each in answer.json()["events"]]
    assert told[0] == told[2]
    assert answer.json()["ids"] == [id for ids in told for id in ids]
    assert await stored(connection) == 3
    assert (await post(taking, [], BATCH)).status_code == 200


async def test_a_thousand_events_come_in_at_once(taking: Served, connection: Connection) -> None:
    answer = await post(taking, [cloudevent(str(n), n) for n in range(1000)], BATCH)
    assert answer.status_code == 201
    assert await stored(connection) == 1000


async def test_of_the_whole_corpus_nothing_comes_in_and_nothing_breaks(
    taking: Served, connection: Connection
) -> None:
    told = {}
    for case in cases():
        answer = await taking.client.post(PATH, content=case.body, headers=case.headers)
        assert answer.headers["content-type"] == "application/problem+json"
        told[case.name] = (answer.status_code, errors(answer))
    assert told == {case.name: (case.status, case.errors) for case in cases()}
    assert await stored(connection) == 0
    assert (await taking.client.get("/livez")).status_code == 200


json_values = st.recursive(
    st.booleans()
    | st.integers(-(10**300), 10**300)
    | st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300).filter(
        lambda number: number == 0 or abs(number) > 1e-200
    )
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20),
    lambda values: (
        st.lists(values | st.none(), max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
            values | st.none(),
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(values=st.lists(json_values, min_size=1, max_size=20))
async def test_every_json_value_comes_out_of_postgresql_as_it_came_in(
    taking: Served, connection: Connection, values: list[object]
) -> None:
    events = [{"event_type": "any.value.failed", "payload": value} for value in values]
    answer = await post(taking, events)
    assert answer.status_code == 201, answer.text
    for value, event in zip(values, answer.json()["events"], strict=True):
        same = await connection.fetchval(
            "select payload = $2::text::jsonb from retryd.retries r where event_id = $1",
            event["event_id"],
            json.dumps(value),
        )
        assert same, value


@pytest.mark.parametrize("text", ["1.10", "1e2", "-0.0", "1" * 300, "0." + "1" * 300, "2E-7"])
async def test_a_number_is_stored_with_its_digits(
    taking: Served, connection: Connection, text: str
) -> None:
    answer = await post(taking, f'{{"event_type": "a.failed", "payload": [{text}]}}'.encode())
    stored = await connection.fetchval(
        "select payload ->> 0 from retryd.retries where id = $1", int(answer.json()["ids"][0])
    )
    assert stored == await connection.fetchval("select $1::text::jsonb #>> '{}'", text)


async def test_an_event_that_goes_round_and_round_is_a_dead_letter(
    taking: Served, connection: Connection
) -> None:
    third = await post(taking, cloudevent("3"), {**STRUCTURED, "retryd-hops": "3"})
    events = [cloudevent("4"), cloudevent("5")]
    fourth = await post(taking, events, {**BATCH, "retryd-hops": "4"})
    again = await post(taking, events, {**BATCH, "retryd-hops": "4"})
    assert outcomes(third) == ["new"]
    assert (fourth.status_code, outcomes(fourth)) == (201, ["loop", "loop"])
    assert again.json() == fourth.json()
    rows = await connection.fetch("select id, reason, attributes from retryd.dead_letters")
    assert {str(row["id"]) for row in rows} == set(fourth.json()["ids"])
    assert {row["reason"] for row in rows} == {"loop"}
    assert {json.loads(row["attributes"])["retryd-hops"] for row in rows} == {4}


async def test_many_at_once_disturb_each_other_not(taking: Served, connection: Connection) -> None:
    events = [cloudevent(str(number % 50), number % 50) for number in range(100)]
    odd = [cloudevent("7", "other"), cloudevent("8", "other")]
    answers = await asyncio.gather(*(post(taking, event, STRUCTURED) for event in events))
    conflicts = await asyncio.gather(*(post(taking, event, STRUCTURED) for event in odd))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] * 50 + [201] * 50
    assert [answer.status_code for answer in conflicts] == [409, 409]
    assert await stored(connection) == 50


async def test_what_only_postgresql_refuses_is_422_for_itself_alone(
    taking: Served, connection: Connection
) -> None:
    await connection.execute(
        "alter table retryd.failure_event add constraint no_seven check (event_id <> '7')"
    )
    events = [cloudevent(str(number)) for number in range(20)]
    answers = await asyncio.gather(*(post(taking, event, STRUCTURED) for event in events))
    assert [answer.status_code for answer in answers].count(422) == 1
    assert answers[7].status_code == 422
    assert await stored(connection) == 19


@pytest.mark.parametrize("spooling", [False, True])
async def test_an_event_that_an_open_transaction_has_captured_blocks_no_other(
    database: Database, tmp_path: Path, *, spooling: bool
) -> None:
    spool = {"directory": str(tmp_path / "spool") if spooling else None}
    async with serving(dsn=database.dsn, spool=spool) as served:
        other = await database.connect()
        transaction = other.transaction()
        await transaction.start()
        event = json.dumps(
            [{"event_type": "order.sync.failed", "source": "/shop", "event_id": "7"}]
        )
        await other.execute("select retryd.capture_failures($1::text::jsonb)", event)
        began = time.monotonic()
        events = [cloudevent(str(number), {}) for number in range(60)]
        answers = await asyncio.gather(*(post(served, event, STRUCTURED) for event in events))
        assert time.monotonic() - began < 4
        statuses = [answer.status_code for answer in answers]
        assert statuses.pop(7) == 503
        assert set(statuses) == {201}
        assert answers[7].headers["retry-after"] == "2"
        assert "transaction that is open" in answers[7].json()["detail"]
        batch = [cloudevent("7", {}), cloudevent("60")]
        assert (await post(served, batch, BATCH)).status_code == 503
        assert (await post(served, events[7], STRUCTURED)).status_code == 503
        looping = {**STRUCTURED, "retryd-hops": "4"}
        assert (await post(served, events[7], looping)).status_code == 503
        assert (await post(served, cloudevent("61"), STRUCTURED)).status_code == 201
        await transaction.commit()
        assert (await post(served, batch, BATCH)).status_code == 201
        assert (await post(served, events[7], STRUCTURED)).status_code == 200
        assert await stored(other) == 62


async def test_a_queue_that_is_full_takes_nothing_and_says_when_to_come_again(
    database: Database, connection: Connection
) -> None:
    async with serving(dsn=database.dsn, http={"max_queue_depth": 5}) as served:
        for number in range(5):
            assert (await post(served, {**EVENT, "event_id": str(number)})).status_code == 201
        full = await post(served, EVENT)
        assert (full.status_code, full.headers["retry-after"]) == (429, "5")
        assert (await post(served, [EVENT] * 6)).status_code == 429
        assert await stored(connection) == 5


async def test_without_postgresql_and_spool_it_is_503_with_the_time_to_come_again() -> None:
    async with serving(dsn="postgresql://127.0.0.1:1/nowhere") as served:
        for body in (EVENT, [EVENT, EVENT]):
            answer = await post(served, body)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
            assert "127.0.0.1" not in answer.text
        assert (await post(served, EVENT, {**JSON, "retryd-hops": "4"})).status_code == 503


async def test_a_request_for_which_the_spool_has_no_room_is_refused_as_a_whole(
    tmp_path: Path,
) -> None:
    spool = {"directory": str(tmp_path / "spool"), "max_bytes": 600}
    async with serving(dsn="postgresql://127.0.0.1:1/nowhere", spool=spool) as served:
        answer = await post(served, [{**EVENT, "event_id": f"e{number}"} for number in range(9)])
        assert (answer.status_code, size_of(tmp_path / "spool")) == (503, 0)
        answer = await post(served, [{**EVENT, "event_id": f"e{number}"} for number in range(3)])
        assert (answer.status_code, outcomes(answer)) == (202, ["spooled"] * 3)


async def test_what_came_in_is_counted_by_operation_and_source(taking: Served) -> None:
    await post(taking, [cloudevent("1"), cloudevent("2")], BATCH)
    await post(taking, cloudevent("1"), STRUCTURED)
    text = (await taking.client.get("/metrics")).text
    assert 'retryd_captured_total{operation="order.sync",source="/shop"} 2.0' in text


async def test_the_door_is_described_as_it_is(taking: Served) -> None:
    document = (await taking.client.get("/openapi.json")).json()
    route = document["paths"][PATH]["post"]
    assert set(route["responses"]) == {
        *("200", "201", "202", "400", "401", "403", "409", "413", "415", "422", "429", "503")
    }
    for number, (kind, content) in enumerate(route["requestBody"]["content"].items()):
        example = json.dumps(content["example"]).replace('"4711"', f'"4711-{number}"')
        answer = await post(taking, example.encode(), {"content-type": kind})
        assert answer.status_code == 201, answer.text


async def test_a_large_body_is_read_in_a_thread(
    taking: Served, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "LARGE_BYTES", 1)
    assert (await post(taking, EVENT)).status_code == 201
    assert (await post(taking, b"{")).status_code == 400
    assert await stored(connection) == 1
