"""What may not come in is refused with RT400 before anything is written, and says what is wrong."""

from __future__ import annotations

import json
import random

import asyncpg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from retryd.domain.errors import Refused
from retryd.domain.limits import check_event_type
from retryd.domain.patterns import operation_of
from tests.postgres import Connection
from tests.sql.doors import Doors, refused

DIGITS = "9" * 5000
DEEP = "[" * 5000 + "]" * 5000
BOMB = "[1e131071]"
LONG = "x" * 256
HUGE = "".join(random.Random(7).choices("0123456789abcdef", k=3000))  # too long for an index, too

BAD: dict[str, tuple[dict[str, object], str]] = {
    "event type missing": ({"event_type": None}, "event_type is missing"),
    "event type empty": ({"event_type": ""}, "event_type"),
    "event type of 201 characters": ({"event_type": "x" * 201}, "201 characters"),
    "event type of a megabyte": ({"event_type": "a." * 500_000 + "b"}, "characters"),
    "leading dot": ({"event_type": ".failed"}, "begin nor end with a dot"),
    "trailing dot": ({"event_type": "x.failed."}, "begin nor end with a dot"),
    "only a dot": ({"event_type": "."}, "dot"),
    "event type with a space": ({"event_type": "a b"}, "letters, digits"),
    "event type with a star": ({"event_type": "a.*"}, "letters, digits"),
    "event type of 1,000 dots": ({"event_type": "a." * 1000 + "failed"}, "2006 characters"),
    "event type with a newline": ({"event_type": "a.failed\n"}, "letters, digits"),
    "event type with a wide dot": ({"event_type": "a\u3002failed"}, "letters, digits"),
    "event type with a foreign letter": ({"event_type": "ärger"}, "letters, digits"),
    "event type of retryd": ({"event_type": "retryd.worker.failed"}, "as retryd's own events do"),
    "event type of retryd alone": ({"event_type": "retryd.failed"}, "begins with 'retryd.'"),
    "event id empty": ({"event_id": ""}, "event_id is empty"),
    "event id of 256 bytes": ({"event_id": LONG}, "event_id has 256 bytes"),
    "source of 256 bytes": ({"source": "ä" * 128}, "source has 256 bytes"),
    "correlation id of 256 bytes": ({"correlation_id": LONG}, "correlation_id has 256 bytes"),
    "error type of 256 bytes": ({"error_type": LONG}, "error_type has 256 bytes"),
    "event id of 3,000 bytes": ({"event_id": HUGE}, "event_id has 3000 bytes"),
    "source of 3,000 bytes": ({"source": HUGE}, "source has 3000 bytes"),
    "ordering key of 3,000 bytes": ({"ordering_key": HUGE}, "ordering_key has 3000 bytes"),
    "ordering key empty": ({"ordering_key": ""}, "ordering_key has 0 bytes"),
    "ordering key of 256 bytes": ({"ordering_key": LONG}, "ordering_key has 256 bytes"),
    "priority 42": ({"priority": 42}, "priority 42 is out of range; 0 runs first"),
    "priority -1": ({"priority": -1}, "priority -1"),
    "number of 5,000 digits": ({"payload": f"[{DIGITS}]"}, "more than 308 digits"),
    "number with 309 decimals": ({"payload": f"[0.{'1' * 309}]"}, "more than 308 digits"),
    "number bomb": ({"payload": BOMB}, "more than 308 digits"),
    "a thousand number bombs": ({"payload": f"[{', '.join(['1e131071'] * 1000)}]"}, "308 digits"),
    "zero with 309 decimals": ({"payload": f"[0.{'0' * 309}]"}, "more than 308 digits"),
    "zero with an exponent": ({"payload": "[0e-400]"}, "more than 308 digits"),
    "infinite as a float": ({"payload": "[1e400]"}, "more than 308 digits"),
    "tiny number": ({"payload": "[1e-16000]"}, "more than 308 digits"),
    "number bomb below keys": ({"payload": f'{{"a": {{"b": {BOMB}}}}}'}, "308 digits"),
    "number bomb in attributes": ({"attributes": f'{{"a": {BOMB}}}'}, "attributes has a number"),
    "65 levels": ({"payload": "[" * 65 + "]" * 65}, "deeper than 64"),
    "65 levels of objects": ({"payload": '{"a":' * 65 + "1" + "}" * 65}, "deeper than 64"),
    "5,000 levels": ({"payload": DEEP}, "deeper than 64"),
    "payload over 1 MiB": ({"payload": json.dumps("x" * 1048575)}, "1048577 bytes as text"),
    "attributes over 16 KiB": ({"attributes": json.dumps({"a": "x" * 16384})}, "16384 are allowed"),
    "attributes that are no object": ({"attributes": "[]"}, "must be a JSON object"),
    "attributes null": ({"attributes": "null"}, "must be a JSON object"),
}
TEXTS = ("event_id", "source", "correlation_id", "error_type", "error_message", "ordering_key")
NO_JSON = {
    "half of a surrogate pair": b'"\\ud800"',
    "the other half": b'{"a": "\\udc00"}',
    "halves in the wrong order": b'"\\udc00\\ud800"',
    "NaN": b"[NaN]",
    "infinity": b"[-Infinity]",
    "bytes that are no text": b'"\xff\xfe"',
    "a surrogate as bytes": b'"\xed\xa0\x80"',
    "a NUL byte": b'"\x00"',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "half of it": b'{"a": ',
    "more than one": b"{} {}",
    "single quotes": b"{'a': 1}",
    "a comma too many": b"[1, 2, ]",
    "a leading zero": b"[007]",
    "nothing": b"",
}
FINE: dict[str, dict[str, object]] = {
    "200 characters": {"event_type": "x" * 200},
    "every allowed character": {"event_type": "aZ09_.:-"},
    "dots in a row": {"event_type": "a..b"},
    "the name of retryd without a dot": {"event_type": "retryd-worker.failed"},
    "the name of retryd elsewhere": {"event_type": "shop.retryd.failed"},
    "keys of 255 bytes": {"event_id": "x" * 255, "source": "y" * 255, "ordering_key": "z" * 255},
    "keys with odd characters": {"event_id": "a\tb'\"\\\u2028%_", "source": "\U0001f600"},
    "priorities at both ends": {"priority": 9},
    "64 levels": {"payload": "[" * 64 + "]" * 64},
    "308 digits": {"payload": f"[{'9' * 308}, -1e307, 1e-308, 0.{'1' * 308}]"},
    "digits in a text": {"payload": json.dumps("9" * 5000)},
    "exactly 1 MiB": {"payload": json.dumps("x" * 1048574)},
    "null": {"payload": "null"},
    "a scalar": {"payload": "42"},
    "a key of many digits": {"payload": json.dumps({"9" * 400: 1})},
}


@pytest.mark.parametrize(("arguments", "saying"), BAD.values(), ids=BAD.keys())
async def test_the_single_door_refuses(
    arguments: dict[str, object], saying: str, sql: Doors, connection: Connection
) -> None:
    given = {"event_type": "work.do.failed", **arguments}
    async with connection.transaction():
        await sql.capture("work.before")
        with refused("RT400", saying):
            async with connection.transaction():  # a savepoint
                await sql.rows("capture_failure", **given)
        await sql.capture("work.after")
    assert await sql.count("failure_event") == await sql.count("retry_queue") == 2


@pytest.mark.parametrize(("arguments", "saying"), BAD.values(), ids=BAD.keys())
async def test_the_bulk_door_refuses_all_and_names_the_index(
    arguments: dict[str, object], saying: str, sql: Doors
) -> None:
    if arguments.get("attributes") == "null":  # in a bulk, null is absent
        return
    good = '{"event_type": "work.do"}'
    pairs = {"event_type": '"work.do"'} | {
        name: str(value) if name in {"payload", "attributes"} else json.dumps(value)
        for name, value in arguments.items()
    }
    bad = "{" + ", ".join(f'"{name}": {value}' for name, value in pairs.items()) + "}"
    with refused("RT400", f"(?s)^event 2: .*{saying}"):
        await sql.rows("capture_failures", events=f"[{good}, {good}, {bad}, {good}]")
    with refused("RT400", f"(?s)^event 0: .*{saying}"):
        await sql.rows("capture_checked", events=f"[{bad}]")
    assert await sql.count("failure_event") == await sql.count("retry_queue") == 0


@pytest.mark.parametrize("arguments", FINE.values(), ids=FINE.keys())
async def test_what_is_within_the_limits_comes_in_and_goes_out(
    arguments: dict[str, object], sql: Doors
) -> None:
    await sql.register("all", "*")
    await sql.capture(**{"event_type": "work.do", **arguments})  # type: ignore[arg-type]
    rows = await sql.acquire(handlers=["all"])
    assert len(rows) == 1
    if "payload" in arguments:
        assert await sql.connection.fetchval(
            "select $1::text::jsonb = $2::text::jsonb", arguments["payload"], rows[0]["payload"]
        )


@pytest.mark.parametrize(
    ("events", "saying"),
    [
        ("{}", "must be a JSON array"),
        ("null", "must be a JSON array"),
        (None, "must be a JSON array"),
        ("[[]]", "^event 0: must be a JSON object"),
        ('[{"event_type": "a"}, null]', "^event 1: must be a JSON object"),
        ('[{"event_type": "a"}, {"event_type": "b", "color": 1}]', "^event 1: unknown key 'color'"),
        ('[{"event_type": "a"}, {}]', "^event 1: event_type is missing"),
        ('[{"event_type": "a", "priority": "high"}, {}]', "^event 0: .*priority"),
        ('[{"event_type": "a", "priority": 1.5}]', "^event 0: .*priority"),
        ('[{"event_type": "a", "priority": 1e131071}]', "^event 0: .*priority"),
        ('[{"event_type": "a", "priority": 4294967297}]', "^event 0: .*priority"),
        ('[{"event_type": "a", "not_before": "tomorrowish"}]', "^event 0: .*not_before"),
        (
            '[{"event_type": "a", "not_before": "infinity"}]',
            "^event 0: not_before must be a time in the years 1 to 9999",
        ),
        ('[{"event_type": "a", "not_before": 7}]', "^event 0: .*not_before"),
        ('[{"event_type": "a", "event_id": 7}]', "^event 0: .*event_id"),
        ('[{"event_type": "a", "source": {"a": [1]}}]', "^event 0: .*source"),
        ('[{"event_type": ["a"]}]', "^event 0: .*event_type"),
        ('[{"event_type": "a", "error_message": 1e131071}]', "^event 0: .*error_message"),
        (json.dumps([{"event_type": "a"}] * 10_001), "10001 events in one call, at most 10000"),
    ],
)
async def test_a_bulk_of_another_shape_is_refused(
    events: str | None, saying: str, sql: Doors
) -> None:
    with refused("RT400", saying):
        await sql.rows("capture_failures", events=events)
    assert await sql.count("failure_event") == 0


async def test_a_body_that_is_small_only_where_it_is_stored_is_measured_as_text(
    sql: Doors, connection: Connection
) -> None:
    await connection.execute("create temp table body (value jsonb, deep jsonb)")
    await connection.execute(
        "insert into body select to_jsonb(repeat('x', 1048577)), $1::text::jsonb",
        "[" * 300 + "]" * 300,
    )
    assert await connection.fetchval("select pg_column_size(value) < 20000 from body")
    for column, saying in (("value", "1048579 bytes as text"), ("deep", "deeper than 64 levels")):
        with refused("RT400", saying):
            await connection.execute(
                f"select retryd.capture_failure('work.do', {column}) from body"
            )
    assert await sql.count("failure_event") == 0


async def test_a_refusal_is_short_whatever_came_in(sql: Doors) -> None:
    for key in ("priority", "not_before", "event_id", "x" * 10_000):
        for value in ("1e131071", json.dumps("x" * 10_000), "[" + "[]," * 3000 + "1]"):
            events = f'[{{"event_type": "a", "{key}": {value}}}]'
            with pytest.raises(asyncpg.PostgresError) as caught:
                await sql.rows("capture_failures", events=events)
            assert caught.value.sqlstate == "RT400"
            assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("levels", [6000, 6500, 7000, 8000, 12000, 20000])
async def test_nesting_at_which_postgresql_itself_gives_up_stores_nothing(
    levels: int, sql: Doors
) -> None:
    deep = "[" * levels + "]" * levels
    with pytest.raises(asyncpg.PostgresError, match=r"nested deeper|stack depth"):
        await sql.capture(payload=deep)
    bulk = f'[{{"event_type": "work.do", "payload": {deep}}}]'
    with pytest.raises(asyncpg.PostgresError, match=r"nested deeper|stack depth"):
        await sql.rows("capture_failures", events=bulk)
    assert await sql.count("failure_event") == 0


async def test_a_null_character_never_reaches_a_table(sql: Doors) -> None:
    for body in ('{"a": "\\u0000"}', '{"\\u0000": 1}'):
        with refused("22P05"):  # PostgreSQL's own, when the text becomes jsonb, before the call
            await sql.capture(payload=body)
        with refused("22P05"):
            await sql.rows(
                "capture_failures", events=f'[{{"event_type": "work.do", "payload": {body}}}]'
            )
    assert await sql.count("failure_event") == 0


async def test_a_null_character_in_a_key_or_an_error_never_reaches_a_table(sql: Doors) -> None:
    for name in ("event_type", *TEXTS):
        with refused("22021"):
            await sql.capture(**{"event_type": "work.do", name: "a\x00b"})
        event = {"event_type": "work.do", name: "a\x00b"}
        with refused("22P05"):
            await sql.rows("capture_failures", events=json.dumps([event]))
    assert await sql.count("failure_event") == 0


@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON.keys())
async def test_what_is_no_json_is_refused_before_the_call(body: bytes, sql: Doors) -> None:
    single = "select retryd.capture_failure('work.do', convert_from($1, 'UTF8')::jsonb)"
    bulk = "select retryd.capture_failures(convert_from($1, 'UTF8')::jsonb)"
    for call, text in ((single, body), (bulk, b'[{"event_type": "a", "payload": %s}]' % body)):
        with pytest.raises(asyncpg.PostgresError) as caught:
            await sql.connection.execute(call, text)
        assert caught.value.sqlstate in {"22P02", "22P05", "22021"}
    assert await sql.count("failure_event") == 0


async def test_of_a_key_given_twice_the_last_one_counts_as_jsonb_has_it(sql: Doors) -> None:
    await sql.capture("work.do", payload='{"a": 1, "a": 2}')
    [row] = await sql.acquire()
    assert row["payload"] == '{"a": 2}'


@pytest.mark.parametrize(
    "payload",
    [
        "9007199254740993",
        "-9223372036854775809",
        "[1.10, 0.1000000000000000055511151231257827, 3.000]",
        f"[{'9' * 308}, -{'8' * 308}, 0.{'7' * 308}]",
    ],
    ids=["2^53 + 1", "beyond 64 bits", "decimals", "308 digits"],
)
async def test_every_digit_of_a_number_comes_out_as_it_went_in(payload: str, sql: Doors) -> None:
    await sql.capture("work.do", payload=payload)
    bulk = f'[{{"event_type": "work.do", "not_before": "2000-01-01", "payload": {payload}}}]'
    await sql.rows("capture_failures", events=bulk)
    assert [row["payload"] for row in await sql.acquire()] == [payload, payload]


@pytest.mark.parametrize(
    "wrong",
    [
        {"priority": 10},
        {"priority": -1},
        {"max_retries": 0},
        {"max_retries": -3},
        {"first_delay_low": -1},
        {"first_delay_low": 3, "first_delay_high": 2},
    ],
    ids=str,
)
async def test_a_policy_out_of_range_is_not_published(wrong: dict[str, int], sql: Doors) -> None:
    fine = {"name": "mine", "max_retries": 3, "first_delay_low": 1, "first_delay_high": 2}
    with pytest.raises(asyncpg.CheckViolationError):
        await sql.rows("publish_policies", policies=json.dumps([fine | wrong]))
    assert await sql.rows("publish_policies", policies=json.dumps([fine])), "it was not there"


async def test_ten_thousand_events_are_one_call(sql: Doors) -> None:
    assert len(await sql.capture_all(*[{"event_type": "work.do"}] * 10_000)) == 10_000


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        (
            {"event": "{}", "reason": "exhausted"},
            "reason 'exhausted' is not one of undecodable, loop",
        ),
        ({"event": "{}", "reason": None}, "reason null"),
        ({"event": '{"color": 1}', "reason": "loop"}, "unknown key"),
        ({"event": "[]", "reason": "loop"}, "must be a JSON object"),
        ({"event": '{"event_type": "."}', "reason": "loop"}, "dot"),
        ({"event": f'{{"payload": {BOMB}}}', "reason": "loop"}, "308 digits"),
    ],
)
async def test_the_door_of_the_dead_has_the_same_limits(
    arguments: dict[str, object], saying: str, sql: Doors
) -> None:
    with refused("RT400", saying):
        await sql.one("capture_dead", **arguments)
    assert await sql.places() == {}


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    text=st.lists(
        st.sampled_from([*"aZ0._:-*% \n\tä。", "retryd", "retryd.", "Retryd."]), max_size=8
    ).map("".join)
)
@example(text="retryd.a")
async def test_sql_and_python_take_the_same_event_types(text: str, sql: Doors) -> None:
    try:
        check_event_type(text)
    except Refused:
        expected = False
    else:
        expected = True
    row = await sql.connection.fetchrow(
        "select retryd.event_problem(row($1, null, null, null, null, null, null, null, null, null,"
        " null, null)::retryd.new_event) is null as fine,"
        " retryd.ordinary_event($1, null, null, null, null, null, null, null, null, null) as usual",
        text,
    )
    assert tuple(row or ()) == (expected, expected)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    parts=st.lists(st.sampled_from(["failed", "error", "timeout", "Failed", "a", "", "x_error"]))
)
async def test_sql_and_python_name_the_same_operation(parts: list[str], sql: Doors) -> None:
    event_type = ".".join(parts)
    assert await sql.one("operation_of", event_type=event_type) == operation_of(event_type)


json_values: st.SearchStrategy[object] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('aä\n"', max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab", max_size=3), inner),
    max_leaves=30,
)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    value=json_values
    | st.integers(55, 68).map(lambda levels: json.loads("[" * levels + "]" * levels))
)
async def test_what_is_let_through_at_a_glance_stands_a_closer_look(
    value: object, sql: Doors
) -> None:
    body = json.dumps(value)
    row = await sql.connection.fetchrow(
        "select retryd.ordinary_event('a', b, null, null, null, null, null, null, null, null)"
        " as fine, retryd.json_problem('payload', b, 1048576) as problem"
        " from (select $1::text::jsonb as b) body",
        body,
    )
    assert row is not None
    assert row["problem"] is None or row["fine"] is False
    assert row["fine"] is True or len(body) > 100 or "e" in body  # written out, 1e300 is long
