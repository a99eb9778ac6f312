from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from typing import Any

import pytest

from retryd.domain.decision import Complete, Decided
from retryd.domain.errors import PayloadUndecodable
from retryd.domain.outcome import Success
from retryd.domain.retry import Retry

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def a_retry(**changes: object) -> Retry:
    fields: dict[str, Any] = {
        "id": 42,
        "claim_token": 7,
        "event_id": "e-1",
        "event_type": "invoice.email.failed",
        "operation": "invoice.email",
        "handler": "send-invoice",
        "policy": None,
        "source": "billing",
        "correlation_id": None,
        "payload_text": '{"invoice_id": 12345678901234567890}',
        "attributes_text": '{"traceparent": "00-1"}',
        "error_type": "OSError",
        "error_message": "password=hunter2",
        "last_error_type": None,
        "last_error_message": None,
        "priority": 5,
        "attempt": 1,
        "lost_attempts": 0,
        "snoozes": 0,
        "max_retries": 3,
        "life": 1,
        "created_at": NOON,
        "lease_expires_at": NOON,
    }
    return Retry(**fields | changes)


def test_a_payload_is_decoded_when_asked_for_and_once() -> None:
    retry = a_retry()
    assert "payload" not in vars(retry)
    assert retry.payload == {"invoice_id": 12345678901234567890}
    assert retry.payload is retry.payload
    assert retry.attributes == {"traceparent": "00-1"}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 100_000, "1" * 5_000],
    ids=["empty", "broken", "deep", "long number"],
)
def test_an_undecodable_payload_names_its_retry(text: str) -> None:
    with pytest.raises(PayloadUndecodable, match=r"^retry 42: its payload ") as caught:
        _ = a_retry(payload_text=text).payload
    assert caught.value.retry_id == 42
    with pytest.raises(PayloadUndecodable, match=r"^retry 42: its attributes "):
        _ = a_retry(attributes_text=text).attributes


def test_a_retry_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        a_retry().attempt = 0  # type: ignore[misc]


def test_a_retry_knows_that_it_is_one() -> None:
    assert a_retry().is_retry is True


def test_what_a_log_shows_holds_neither_payload_nor_errors() -> None:
    retry = a_retry()
    assert retry.payload
    shown = repr(Decided(retry, Success(), Complete(), 0.5))
    assert "id=42" in shown
    assert "invoice_id" not in shown
    assert "hunter2" not in shown


def test_two_claims_of_a_row_are_two_retries() -> None:
    assert a_retry() != a_retry()
    assert len({a_retry(), a_retry()}) == 2
