"""Kind `http`: what is sent, how answers read, and that no server can do harm by its answer."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
import warnings
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import standardwebhooks
import trustme
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from retryd.domain.decide import decide
from retryd.domain.decision import Bury, Decision, Reschedule
from retryd.domain.limits import ERROR_MESSAGE_BYTES
from retryd.domain.outcome import Failure, Outcome, Reject, Snooze, Success
from retryd.domain.policy import Policy
from retryd.handlers.delivery import seconds_of
from retryd.handlers.http import HttpHandlerSettings
from tests.unit.handlers.attempts import a_retry, attempt
from tests.unit.handlers.deliveries import Paused, delivered, opened
from tests.unit.handlers.receiver import (
    KEYS,
    Answer,
    Request,
    drips,
    floods,
    hangs,
    never_ends_its_headers,
    receiving,
    resets,
    resets_at_once,
    says,
    says_bytes,
)

LOCAL = ("127.0.0.0/8",)
MEGABYTE = 1 << 20
AT_MOST_SECONDS = 5.0


def posting(url: str, **settings: Any) -> HttpHandlerSettings:
    return HttpHandlerSettings(
        match=("report.*",), url=SecretStr(url), allow_cidrs=LOCAL, **settings
    )


async def received(settings: dict[str, Any], **changes: Any) -> Request:
    """Deliver once, and return what came."""
    async with receiving(says("204 No Content")) as receiver:
        assert await delivered(posting(receiver.url, **settings), **changes) == Success()
    [request] = receiver.requests
    return request


async def answered(answer: Answer, means: Paused | None = None, **settings: Any) -> Outcome:
    async with receiving(answer) as receiver:
        return await delivered(posting(receiver.url, **settings), means)


def decided(outcome: Outcome, **policy: Any) -> Decision:
    return decide(a_retry(attempt=1), outcome, Policy(**policy), 0.5)


def said(outcome: Outcome) -> str:
    assert isinstance(outcome, Failure)
    return outcome.message


# --- what is sent


async def test_the_body_is_the_payload_as_it_is_stored_and_headers_tell_of_the_event() -> None:
    request = await received({})
    assert request.line == "POST /retry HTTP/1.1"
    assert request.body == b'{"net": 1.10, "big": 12345678901234567890.50}'
    assert {name: value for name, value in request.headers.items() if name.startswith("ce-")} == {
        "ce-specversion": "1.0",
        "ce-id": "e-1",
        "ce-source": "shop",
        "ce-type": "report.daily.failed",
        "ce-time": "2026-01-01T12:00:00+00:00",
        "ce-subject": "order%207%20%C2%B7%20Z%C3%BCrich",
        "ce-errortype": "OSError",
        "ce-errormessage": "no%20route",
        "ce-retryid": "42",
        "ce-retrylife": "1",
        "ce-retryattempt": "2",
    }
    assert request.headers["content-type"] == "application/json"
    assert request.headers["retryd-hops"] == "1"
    assert request.headers["accept-encoding"] == "identity"


async def test_a_structured_event_has_all_in_its_body_and_every_digit() -> None:
    request = await received({"content_mode": "structured"})
    assert request.headers["content-type"].startswith("application/cloudevents+json")
    assert not [name for name in request.headers if name.startswith("ce-")]
    assert b'"data": {"net": 1.10, "big": 12345678901234567890.50}' in request.body
    document = json.loads(request.body)
    document.pop("data")
    assert document == {
        "specversion": "1.0",
        "id": "e-1",
        "source": "shop",
        "type": "report.daily.failed",
        "time": "2026-01-01T12:00:00+00:00",
        "subject": "order 7 · Zürich",
        "errortype": "OSError",
        "errormessage": "no route",
        "retryid": "42",
        "retrylife": 1,
        "retryattempt": 2,
        "datacontenttype": "application/json",
    }


async def test_an_event_without_source_comes_from_retryd_and_absent_attributes_are_left_out() -> (
    None
):
    request = await received({}, source="", correlation_id=None, error_type="", error_message=None)
    assert request.headers["ce-source"] == "retryd"
    assert not {"ce-subject", "ce-errortype", "ce-errormessage"} & request.headers.keys()


@pytest.mark.parametrize("mode", ["binary", "structured"])
async def test_what_is_sent_verifies_with_each_of_the_keys(mode: str) -> None:
    request = await received({"signing_keys": KEYS, "content_mode": mode})
    for key in KEYS:
        standardwebhooks.Webhook(key.get_secret_value()).verify(request.body, request.headers)
    stranger = standardwebhooks.Webhook("whsec_" + "A" * 32)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        stranger.verify(request.body, request.headers)


async def test_the_webhook_id_stays_over_the_attempts_of_a_life_and_no_longer() -> None:
    first = await received({"signing_keys": KEYS}, attempt=1)
    second = await received({"signing_keys": KEYS}, attempt=2)
    replayed = await received({"signing_keys": KEYS}, life=2)
    unsigned = await received({})
    ids = [each.headers["webhook-id"] for each in (first, second, replayed, unsigned)]
    assert ids == ["retry_42_1", "retry_42_1", "retry_42_2", "retry_42_1"]
    assert abs(int(first.headers["webhook-timestamp"]) - time.time()) < AT_MOST_SECONDS
    assert "webhook-signature" not in unsigned.headers


async def test_headers_stay_short_whatever_the_event_says() -> None:
    long = {"error_message": "\u00fc" * 4_000, "source": "\u00fc" * 127, "error_type": "E" * 255}
    request = await received({}, **long)
    assert sum(len(name) + len(value) for name, value in request.headers.items()) < 6_000


async def test_hops_are_counted_on() -> None:
    request = await received({}, attributes_text='{"retryd-hops": 2}')
    assert request.headers["retryd-hops"] == "3"


@pytest.mark.parametrize("hops", ['"2"', "true", "-5", "null", "1.5", "[]"])
async def test_hops_that_are_no_number_count_as_none(hops: str) -> None:
    request = await received({}, attributes_text=f'{{"retryd-hops": {hops}}}')
    assert request.headers["retryd-hops"] == "1"


async def test_configured_headers_are_sent_and_their_values_never_shown() -> None:
    async def echoes(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        token = receiver.requests[-1].headers["authorization"]
        both = f"{token}, {token.removeprefix('Bearer ')}".encode()
        await says("500 No", both, f"Location: /{token.split()[1]}")(_, writer)

    async with receiving(echoes) as receiver:
        outcome = await delivered(
            posting(receiver.url, headers={"authorization": "Bearer NEVER_SHOW_THIS"})
        )
    assert receiver.requests[0].headers["authorization"] == "Bearer NEVER_SHOW_THIS"
    assert said(outcome) == "500 Internal Server Error: ***, ***"


async def test_fields_of_the_payload_stand_in_the_path_and_nowhere_else() -> None:
    async with receiving(says("200 OK")) as receiver:
        settings = posting(
            f"{receiver.url}/{{user}}/orders?n={{number}}",
            fields={"user": "/user/id", "number": "/n/0"},
        )
        payload = '{"user": {"id": "a/../b?c#d ü"}, "n": [7]}'
        assert await delivered(settings, payload_text=payload) == Success()
    assert (
        receiver.requests[0].line == "POST /retry/a%2F..%2Fb%3Fc%23d%20%C3%BC/orders?n=7 HTTP/1.1"
    )


@pytest.mark.parametrize(
    "payload", ["{}", '{"id": null}', '{"id": true}', '{"id": {}}', '{"id": ".."}', '{"id": ""}']
)
async def test_a_field_that_fits_no_path_rejects_and_nothing_is_sent(payload: str) -> None:
    async with receiving(says("200 OK")) as receiver:
        settings = posting(f"{receiver.url}/{{id}}", fields={"id": "/id"})
        outcome = await delivered(settings, payload_text=payload)
    assert isinstance(outcome, Reject)
    assert "'/id'" in outcome.why
    assert receiver.connections == 0


async def test_connections_are_used_again() -> None:
    async with (
        receiving(says("200 OK", b"thanks")) as receiver,
        opened(posting(receiver.url)) as it,
    ):
        for _ in range(5):
            assert await attempt(it) == Success()
    assert len(receiver.requests) == 5
    assert receiver.connections == 1


async def test_no_more_connections_are_made_than_allowed() -> None:
    async with (
        receiving(says("200 OK")) as receiver,
        opened(posting(receiver.url, connections=2)) as handler,
    ):
        assert await asyncio.gather(*(attempt(handler) for _ in range(20))) == [Success()] * 20
    assert receiver.connections <= 2


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert await answered(says("200 OK")) == Success()


# --- how answers read


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "202 Accepted", "204 No Content"])
async def test_a_status_from_200_to_299_is_success(status: str) -> None:
    assert await answered(says(status)) == Success()


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599, 301, 302, 307, 308])
async def test_these_statuses_are_tried_again(status: int) -> None:
    outcome = await answered(says(f"{status} x", b"", "Location: http://elsewhere.example/"))
    assert isinstance(outcome, Failure)
    assert outcome.error_type == f"http.{status}"
    assert isinstance(decided(outcome), Reschedule)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 415, 422, 451, 499])
async def test_these_statuses_are_final_unless_the_policy_says_otherwise(status: int) -> None:
    outcome = await answered(says(f"{status} x", b"no such order"))
    assert "no such order" in said(outcome)
    assert decided(outcome) == Bury("rejected")
    assert isinstance(decided(outcome, retry_on=(str(status),)), Reschedule)
    assert isinstance(decided(outcome, retry_on=("http.4*",)), Reschedule)
    assert decided(outcome, retry_on=("http.5*",)) == Bury("rejected")


async def test_a_redirect_is_not_followed() -> None:
    async with receiving(says("200 OK")) as elsewhere:
        outcome = await answered(says("302 Found", b"", f"Location: {elsewhere.url}"))
    assert elsewhere.connections == 0
    assert elsewhere.url in said(outcome)


@pytest.mark.parametrize("status", ["429 Slow Down", "503 Busy"])
async def test_a_wish_for_later_is_a_floor_below_the_policys_cap(status: str) -> None:
    outcome = await answered(says(status, b"", "Retry-After: 17"))
    assert isinstance(outcome, Failure)
    assert outcome.retry_after == 17
    assert decided(outcome) == Reschedule(17)
    assert decided(outcome, max_delay_seconds=10) == Reschedule(10)
    assert decided(outcome, initial_delay_seconds=20, jitter=0) == Reschedule(40)


NOW = 1_767_268_800.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        (format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True), 90.0),
        (format_datetime(datetime.fromtimestamp(NOW - 90, UTC), usegmt=True), 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("99999999999999999999", None),
        ("Thu, 99 Foo 2026 99:99:99 GMT", None),
    ],
)
def test_both_forms_of_a_wish_are_understood_and_absurd_ones_are_none(
    header: str, seconds: float | None
) -> None:
    assert seconds_of(header, NOW) == seconds


@given(st.text())
def test_no_wish_is_too_odd(header: str) -> None:
    seconds = seconds_of(header, NOW)
    assert seconds is None or seconds >= 0


async def test_a_target_that_is_gone_pauses_the_handler_and_spends_nothing() -> None:
    means = Paused()
    assert await answered(says("410 Gone", b"NEVER_SHOW_THIS"), means) == Snooze(0)
    assert means.reasons == [("hook", "its target answers 410 Gone")]


async def test_where_it_cannot_be_paused_it_is_asked_again_later_and_nothing_is_spent() -> None:
    means = Paused(away=True)
    assert await answered(says("410 Gone"), means) == Snooze(60)


async def test_one_thing_that_is_gone_pauses_nobody() -> None:
    means = Paused()
    async with receiving(says("410 Gone", b"order 7")) as receiver:
        settings = posting(f"{receiver.url}/{{order}}", fields={"order": "/order"})
        outcome = await delivered(settings, means, payload_text='{"order": 7}')
    assert decided(outcome) == Bury("rejected")
    assert means.reasons == []


async def test_a_connection_that_nobody_takes_is_a_failure() -> None:
    async with receiving(says("200 OK")) as receiver:
        url = receiver.url
    outcome = await delivered(posting(url))
    assert isinstance(outcome, Failure)
    assert outcome.error_type == "http.connection"


async def test_a_name_that_leads_nowhere_is_a_failure() -> None:
    outcome = await delivered(posting("http://nobody.invalid/"))
    assert isinstance(outcome, Failure)
    assert outcome.error_type == "http.dns"


async def test_a_reset_after_the_request_leaves_its_effect_unknown() -> None:
    outcome = await answered(resets)
    assert isinstance(outcome, Failure)
    assert outcome.error_type == "http.unknown"
    assert isinstance(decided(outcome), Reschedule)


async def test_a_reset_before_the_request_is_read_is_a_failure_like_any_other() -> None:
    async with receiving(resets_at_once) as receiver:
        outcome = await delivered(posting(receiver.url))
    assert isinstance(outcome, Failure)
    assert outcome.error_type in {"http.connection", "http.unknown"}  # was it sent by then?
    assert isinstance(decided(outcome), Reschedule)
    assert (receiver.connections, receiver.requests) == (1, [])


async def test_a_certificate_that_does_not_verify_ends_it_before_anything_is_sent() -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost", "127.0.0.1").configure_cert(tls)
    async with receiving(says("200 OK"), tls=tls) as receiver:
        outcome = await delivered(posting(f"https://127.0.0.1:{receiver.port}/"))
    assert isinstance(outcome, Failure)
    assert outcome.error_type == "http.tls"
    assert receiver.requests == []


def served_by(name: str, until_day: datetime, authority: trustme.CA) -> ssl.SSLContext:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name, not_after=until_day).configure_cert(tls)
    return tls


def old_protocols(tls: ssl.SSLContext) -> ssl.SSLContext:
    tls.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        tls.minimum_version = ssl.TLSVersion.TLSv1
        tls.maximum_version = ssl.TLSVersion.TLSv1_1
    return tls


async def test_a_certificate_of_another_host_or_time_and_old_protocols_get_no_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    # What SSL_CERT_FILE would do for a process that begins.
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)
    soon, past = (datetime.now(UTC) + timedelta(days=days) for days in (1, -1))
    expected = {
        "good": served_by("127.0.0.1", soon, authority),
        "expired": served_by("127.0.0.1", past, authority),
        "of another host": served_by("127.0.0.2", soon, authority),
        "old": old_protocols(served_by("127.0.0.1", soon, authority)),
    }
    found = {}
    for name, tls in expected.items():
        async with receiving(says("200 OK"), tls=tls) as receiver:
            outcome = await delivered(posting(f"https://127.0.0.1:{receiver.port}/"))
        found[name] = (getattr(outcome, "error_type", "success"), len(receiver.requests))
    kind, requests = found.pop("old")
    assert kind in {"http.tls", "http.connection"}  # a server may reset instead of saying why
    assert requests == 0
    assert found == {
        "good": ("success", 1),
        "expired": ("http.tls", 0),
        "of another host": ("http.tls", 0),
    }


# --- no server can do harm


@pytest.mark.parametrize(
    "answer",
    [
        hangs,
        drips(b"HTTP/1.1 200 ", b"O"),
        drips(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
    ],
    ids=["says nothing", "drips its status", "drips headers"],
)
async def test_who_does_not_answer_is_left_at_the_end_of_the_attempts_time(answer: Answer) -> None:
    async with receiving(answer) as receiver, opened(posting(receiver.url)) as handler:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await attempt(handler)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", Success),
        (b"HTTP/1.1 500 No\r\nContent-Length: 9999\r\n\r\n", Failure),
        (b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", Failure),
    ],
)
async def test_a_body_that_drips_does_not_hold_up_what_the_status_says(
    head: bytes, kind: type[Outcome]
) -> None:
    began = time.monotonic()
    assert isinstance(await answered(drips(head, b"1\r\nx\r\n")), kind)
    assert time.monotonic() - began < AT_MOST_SECONDS


async def test_a_status_that_came_in_time_counts_though_the_rest_does_not() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"
    async with receiving(drips(head)) as receiver, opened(posting(receiver.url)) as handler:
        async with asyncio.timeout(0.5):
            assert await handler.run(a_retry(), 0.5) == Success()


@pytest.mark.parametrize("status", ["200 OK", "500 No"])
async def test_of_a_gigabyte_only_the_beginning_is_read(status: str) -> None:
    sent: list[int] = []
    outcome = await answered(floods(status, sent))
    assert isinstance(outcome, Success if status.startswith("2") else Failure)
    assert sum(sent) < 32 * MEGABYTE  # what the buffers of two sockets hold


async def test_what_a_server_says_can_be_stored_whatever_it_is() -> None:
    outcome = await answered(says("500 No", b"\x00\xff\xed\xa0\x80 " + b"long " * 10_000))
    message = said(outcome)
    assert "\0" not in message
    assert len(message.encode()) <= ERROR_MESSAGE_BYTES
    assert message.startswith("500 Internal Server Error: \ufffd")


async def test_headers_without_an_end_are_given_up_long_before_they_fill_memory() -> None:
    began = time.monotonic()
    outcome = await answered(never_ends_its_headers)
    assert isinstance(outcome, Failure)
    assert outcome.error_type == "http.unknown"
    assert time.monotonic() - began < AT_MOST_SECONDS


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 302 Found\r\nLocation: /\x00\xff\xed\xa0\x80\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /\xff\xed\xa0\x80\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: " + b"/\xc3\xbc" * 2_000 + b"\r\n",
        b"HTTP/1.1 503 No\x00\xff\r\n",
        b"HTTP/1.1 503 No\xff\r\n",
        b"HTTP/1.1 503 No\r\nRetry-After: \xff\r\n",
        b"HTTP/1.1 503 No\r\n\xff\x00: \xff\r\n",
    ],
)
async def test_headers_that_are_no_text_are_an_outcome_that_can_be_stored(head: bytes) -> None:
    outcome = await answered(says_bytes(head + b"Content-Length: 2\r\n\r\nno"))
    message = said(outcome)
    assert "\0" not in message
    assert len(message.encode()) <= ERROR_MESSAGE_BYTES
    assert isinstance(decided(outcome), Reschedule)


@pytest.mark.parametrize(
    "whole",
    [
        b"HTTP/1.1 200\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * MEGABYTE + b"\r\n\r\n",
        b"HTTP/1.1 999999 X\r\n\r\n",
        b"\x16\x03\x01\x00",
    ],
)
async def test_what_is_no_http_is_an_outcome_all_the_same(whole: bytes) -> None:
    assert isinstance(await answered(says_bytes(whole)), Failure | Success)


async def test_a_cookie_is_not_kept() -> None:
    answer = says("200 OK", b"", "Set-Cookie: session=1; Path=/")
    async with receiving(answer) as receiver, opened(posting(receiver.url)) as handler:
        for _ in range(2):
            await attempt(handler)
    assert "cookie" not in receiver.requests[1].headers


async def test_nothing_of_a_delivery_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await answered(says("500 No", b"NEVER_SHOW_THIS"))
    assert "NEVER_SHOW_THIS" not in caplog.text
