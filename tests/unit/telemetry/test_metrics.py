"""What is counted, under which labels, and what is not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from typing_extensions import override

from retryd.domain.decision import Bury, Complete, Decided, Decision, Release, Reschedule
from retryd.domain.outcome import Cancel, Failure, Lost, Outcome, Reject, Snooze, Success
from retryd.domain.retry import Retry
from retryd.telemetry.metrics import Metrics

AT = datetime(2026, 1, 1, tzinfo=UTC)
RETRY = Retry(
    1, 2, "e", "a.failed", "a", "mail", None, "", None, "{}", "{}", None, None,
    5, 1, 0, 0, 3, 1, AT, AT,
)  # fmt: skip


class Later(Snooze):
    """A handler's own kind of snooze."""

    @override
    def __str__(self) -> str:
        return "later"


def decided(outcome: Outcome | None, decision: Decision, seconds: float | None = 0.5) -> Decided:
    return Decided(RETRY, outcome, decision, seconds)


def samples(metrics: Metrics, name: str) -> dict[str, float]:
    """Return the values of a metric by the labels but `handler`."""
    return {
        " ".join(value for key, value in sample.labels.items() if key != "handler"): sample.value
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if sample.name == name
    }


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (Success(), "success"),
        (Failure("OSError"), "failure"),
        (Snooze(1), "snoozed"),
        (Later(1), "snoozed"),
        (Reject(), "rejected"),
        (Cancel(), "cancelled"),
        (Lost(), "lost"),
    ],
)
def test_an_ended_attempt_is_counted_under_the_word_of_its_outcome(
    outcome: Outcome, word: str
) -> None:
    metrics = Metrics()
    metrics.settled(decided(outcome, Complete()), "settled")
    assert samples(metrics, "retryd_attempts_total") == {word: 1}
    assert samples(metrics, "retryd_attempt_duration_seconds_count") == {"": 1}


def test_what_was_given_back_is_no_ended_attempt() -> None:
    metrics = Metrics()
    metrics.settled(decided(None, Release(), None), "settled")
    assert samples(metrics, "retryd_attempts_total") == {}
    assert samples(metrics, "retryd_attempt_duration_seconds_count") == {}


@pytest.mark.parametrize("result", ["stale", "spent", "refused"])
def test_what_was_not_written_is_no_ended_attempt(result: str) -> None:
    metrics = Metrics()
    metrics.settled(decided(Failure("OSError"), Reschedule(1)), result)
    assert samples(metrics, "retryd_attempts_total") == {}
    assert samples(metrics, "retryd_stale_settlements_total") == {"": result == "stale"}


def test_a_dead_letter_is_counted_by_its_reason() -> None:
    metrics = Metrics()
    metrics.settled(decided(Reject("no"), Bury("rejected")), "settled")
    metrics.settled(decided(None, Bury("exhausted"), None), "settled")
    assert samples(metrics, "retryd_dead_letters_total") == {"rejected": 1, "exhausted": 1}


def test_claims_and_rescues_are_counted() -> None:
    metrics = Metrics()
    metrics.claimed(0, 0.1)
    metrics.claimed(3, 0.1)
    metrics.rescued(2)
    assert samples(metrics, "retryd_claim_duration_seconds_count") == {"": 2}
    assert samples(metrics, "retryd_last_claim_timestamp_seconds")[""] > 0
    assert samples(metrics, "retryd_rescued_total") == {"": 2}


def test_two_workers_of_one_process_do_not_share_a_registry() -> None:
    first, second = Metrics(), Metrics()
    first.rescued(1)
    assert samples(second, "retryd_rescued_total") == {"": 0}
