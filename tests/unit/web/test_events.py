"""From bytes and headers to events, without a server."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from retryd.domain.json_text import read_json
from retryd.domain.limits import ERROR_MESSAGE_BYTES
from retryd.web.events import EVENTS, decode, hops_of
from retryd.web.problem import RequestRefused
from tests.unit.web.corpus import Case, cases

STRUCTURED = {"content-type": "application/cloudevents+json; charset=UTF-8"}
BATCH = {"content-type": "application/cloudevents-batch+json"}
PLAIN = {"content-type": "application/json"}
EVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.sync.failed"}
BINARY = {f"ce-{name}": value for name, value in EVENT.items()}
NAMED = {"event_id": "1", "source": "/shop", "event_type": "order.sync.failed"}


def read(headers: dict[str, str], body: object, **options: Any) -> list[dict[str, Any]]:
    """Decode a request; returns its events as the SQL door gets them, numbers as they are."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    found: list[dict[str, Any]] = [
        json.loads(each.text) for each in decode(Headers(headers), sent, **options)
    ]
    return found


@pytest.mark.parametrize(
    "case",
    [
        case
        for case in cases()
        if case.status != 409 and {"retryd-hops", "content-encoding"}.isdisjoint(case.headers)
    ],
    ids=lambda case: case.name,
)
def test_what_is_malformed_is_refused_with_its_place(case: Case) -> None:
    with pytest.raises(RequestRefused) as refused:
        decode(Headers(case.headers), case.body)
    faults = [[fault.index, fault.pointer] for fault in refused.value.faults]
    assert (refused.value.status, faults) == (case.status, case.errors)
    assert len(refused.value.answer().body) < 4_000


def test_structured_says_all_in_its_body() -> None:
    said = {
        "subject": "order-7",
        "time": "2026-01-01T00:00:00.123456789+01:00",
        "dataschema": "https://example.com/schema",
        "datacontenttype": "application/vnd.shop+json",
        "errortype": "OSError",
        "errormessage": "x" * 10_000,
        "priority": 2,
        "orderingkey": "7",
        "notbefore": "2030-01-01T02:00:00+02:00",
        "traceparent": "00-1",
        "sampled": True,
        "nothing": None,
        "data": {"a": [1, None]},
    }
    [event] = read(STRUCTURED, {**EVENT, **said})
    assert len(event.pop("error_message").encode()) <= ERROR_MESSAGE_BYTES
    assert event == {
        **NAMED,
        "correlation_id": "order-7",
        "error_type": "OSError",
        "priority": 2,
        "ordering_key": "7",
        "not_before": "2030-01-01T00:00:00+00:00",
        "payload": {"a": [1, None]},
        "attributes": {
            "time": "2026-01-01T00:00:00.123456789+01:00",
            "dataschema": "https://example.com/schema",
            "traceparent": "00-1",
            "sampled": True,
        },
    }


def test_binary_says_all_in_its_headers() -> None:
    headers = {
        **BINARY,
        **PLAIN,
        "ce-subject": "Gr%C3%B6%C3%9Fe%20%22M%22",
        "ce-priority": "0",
        "ce-time": "2026-01-01T00:00:00Z",
        "ce-traceparent": "00-1",
        "retryd-hops": "2",
        "x-other": "1",
    }
    [event] = read(headers, {"a": 1}, hops=2)
    assert event == {
        **NAMED,
        "correlation_id": 'Größe "M"',
        "priority": 0,
        "payload": {"a": 1},
        "attributes": {"time": "2026-01-01T00:00:00Z", "traceparent": "00-1", "retryd-hops": 2},
    }


@pytest.mark.parametrize(
    ("headers", "body", "payload"),
    [
        (STRUCTURED, EVENT, {}),
        (STRUCTURED, {**EVENT, "data": None}, {}),
        (STRUCTURED, {**EVENT, "data": "text"}, "text"),
        (STRUCTURED, {**EVENT, "data": False}, False),
        (STRUCTURED, {**EVENT, "data": "<a>", "datacontenttype": "text/html"}, "<a>"),
        (STRUCTURED, {**EVENT, "data_base64": "eyJhIjogMX0="}, {"a": 1}),
        (STRUCTURED, {**EVENT, "data_base64": "aGk=", "datacontenttype": "text/plain"}, "hi"),
        (STRUCTURED, {**EVENT, "data": {}, "data_base64": None}, {}),
        ({**STRUCTURED, **BINARY}, {**EVENT, "data": 1}, 1),
        ({**BINARY, **PLAIN}, b"", {}),
        (BINARY, b"", {}),
        ({**BINARY, **PLAIN}, b" [1] ", [1]),
        ({**BINARY, "content-type": "application/problem+json"}, b"[1]", [1]),
        ({**BINARY, "content-type": "text/plain"}, "Größe".encode(), "Größe"),
        (PLAIN, {"event_type": "a.failed", "event_id": "1", "payload": None}, None),
    ],
)
def test_data_is_json_or_text(headers: dict[str, str], body: object, payload: object) -> None:
    [event] = read(headers, body)
    assert event.get("payload") == payload


def test_a_batch_keeps_its_order_and_may_be_empty() -> None:
    events = [{**EVENT, "id": str(number)} for number in range(EVENTS)]
    assert [event["event_id"] for event in read(BATCH, events)] == list(map(str, range(EVENTS)))
    assert read(BATCH, []) == []


def test_more_than_a_thousand_events_are_too_many() -> None:
    with pytest.raises(RequestRefused) as refused:
        read(BATCH, [EVENT] * (EVENTS + 1))
    assert refused.value.status == 413


def test_plain_events_have_the_keys_of_the_sql_function() -> None:
    event = {
        "event_type": "a.failed",
        "payload": {"a": 1},
        "event_id": "e",
        "source": "s",
        "correlation_id": "c",
        "error_type": "t",
        "error_message": "m\x00",
        "error_stack": "s",
        "priority": 0,
        "ordering_key": "k",
        "not_before": "2030-01-01t00:00:00z",
        "attributes": {"a": {"b": 1}},
    }
    taken = {**event, "not_before": "2030-01-01T00:00:00+00:00", "error_message": "m\ufffd"}
    assert read(PLAIN, event) == [taken]
    assert read(PLAIN, [event, event]) == [taken, taken]
    assert read(PLAIN, {**event, "source": None})[0]["source"] == ""


def test_an_event_without_an_id_gets_that_of_the_request_or_one_of_its_own() -> None:
    event = {"event_type": "a.failed"}
    assert len({each["event_id"] for each in read(PLAIN, [event] * 3)}) == 3
    keyed = {**PLAIN, "idempotency-key": "mine"}
    assert read(keyed, event)[0]["event_id"] == "mine"
    assert read(keyed, [event])[0]["event_id"] == "mine"
    assert read(keyed, {**event, "event_id": "its own"})[0]["event_id"] == "its own"


def test_events_of_a_signed_request_have_the_same_names_each_time() -> None:
    event = {"event_type": "a.failed"}
    assert read(PLAIN, event, webhook_id="msg")[0]["event_id"] == "msg"
    events = [event, {**event, "event_id": "its own"}, event]
    names = [each["event_id"] for each in read(PLAIN, events, webhook_id="msg")]
    assert names == ["msg.0", "its own", "msg.2"]
    assert read(PLAIN, [event], webhook_id="msg")[0]["event_id"] == "msg.0"
    assert read(STRUCTURED, EVENT, webhook_id="msg")[0]["event_id"] == "1"


@pytest.mark.parametrize("headers", [{**PLAIN, **BINARY}, {**PLAIN, "idempotency-key": "mine"}])
def test_what_headers_say_of_an_event_is_refused_where_only_the_body_is_signed(
    headers: dict[str, str],
) -> None:
    assert read(headers, {"event_type": "a.failed"})
    with pytest.raises(RequestRefused, match="not proven by the signature") as refused:
        read(headers, {"event_type": "a.failed"}, webhook_id="msg")
    assert refused.value.status == 422


@pytest.mark.parametrize(("text", "hops"), [(None, None), ("0", 0), ("4", 4), ("000012", 12)])
def test_hops_are_a_whole_number(text: str | None, hops: int | None) -> None:
    assert hops_of(Headers({} if text is None else {"retryd-hops": text})) == hops


@pytest.mark.parametrize("text", ["", "-1", "1.0", "1e3", "²", "9" * 20, " 1 2"])
def test_hops_of_any_other_form_are_refused(text: str) -> None:
    with pytest.raises(RequestRefused, match="retryd-hops"):
        hops_of(Headers({"retryd-hops": text}))


def test_the_hops_of_the_request_are_an_attribute_of_each_event() -> None:
    event = {"event_type": "a.failed", "attributes": {"retryd-hops": 0, "a": 1}}
    attributes = [each["attributes"] for each in read(PLAIN, [event, {"event_type": "b"}], hops=3)]
    assert attributes == [{"retryd-hops": 3, "a": 1}, {"retryd-hops": 3}]


@pytest.mark.parametrize("name", ["content-type", "idempotency-key", "ce-id"])
def test_a_header_that_is_given_twice_is_refused(name: str) -> None:
    given = {**PLAIN, "idempotency-key": "k"} if name != "ce-id" else {**PLAIN, **BINARY}
    raw = [(key.encode(), value.encode()) for key, value in given.items()]
    raw.append((name.encode(), given[name].encode()))
    body = json.dumps({"event_type": "a.failed"}).encode()
    with pytest.raises(RequestRefused) as refused:
        decode(Headers(raw=raw), body)
    assert refused.value.status == 422


number = st.from_regex(
    r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?", fullmatch=True
)


@given(number)
def test_a_number_keeps_every_digit_in_each_form(text: str) -> None:
    data = f"[{text}]"
    packed = base64.b64encode(data.encode()).decode()
    forms = [
        (STRUCTURED, f'{json.dumps(EVENT)[:-1]}, "data": {data}}}'),
        (STRUCTURED, f'{json.dumps(EVENT)[:-1]}, "data_base64": "{packed}"}}'),
        ({**BINARY, **PLAIN}, data),
        (PLAIN, f'{{"event_type": "a.failed", "payload": {data}}}'),
    ]
    for headers, body in forms:
        [arrival] = decode(Headers(headers), body.encode())
        assert read_json(arrival.text)["payload"] == read_json(data)


@given(st.binary(max_size=200), st.sampled_from([STRUCTURED, BATCH, PLAIN, {**BINARY, **PLAIN}]))
def test_whatever_bytes_come_are_taken_or_refused(body: bytes, headers: dict[str, str]) -> None:
    with suppress(RequestRefused):
        decode(Headers(headers), body)
