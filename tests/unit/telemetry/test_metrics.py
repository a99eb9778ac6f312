"""What is counted, under which labels, and what is not."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from retryd.domain.decision import Bury, Complete, Decided, Decision, Release, Reschedule
from retryd.domain.outcome import Cancel, Failure, Lost, Outcome, Reject, Snooze, Success
from retryd.domain.retry import Retry
from retryd.ports import Depths
from retryd.telemetry import metrics as metrics_module
from retryd.telemetry.labels import ROOM, HandlerLabels
from retryd.telemetry.metrics import Metrics, Vitals

AT = datetime(2026, 1, 1, tzinfo=UTC)
PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
RETRY = Retry(
    1, 2, "e", "a.failed", "a", "mail", None, "", None, "{}", "{}", None, None, None, None,
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
    metrics.settled([decided(outcome, Complete())], ["settled"])
    assert samples(metrics, "retryd_attempts_total") == {word: 1}
    assert samples(metrics, "retryd_attempt_duration_seconds_count") == {"": 1}


def test_what_was_given_back_is_no_ended_attempt() -> None:
    metrics = Metrics()
    metrics.settled([decided(None, Release(), None)], ["settled"])
    assert samples(metrics, "retryd_attempts_total") == {}
    assert samples(metrics, "retryd_attempt_duration_seconds_count") == {}


@pytest.mark.parametrize("result", ["stale", "spent", "refused"])
def test_what_was_not_written_is_no_ended_attempt(result: str) -> None:
    metrics = Metrics()
    metrics.settled([decided(Failure("OSError"), Reschedule(1))], [result])
    assert samples(metrics, "retryd_attempts_total") == {}
    assert samples(metrics, "retryd_stale_settlements_total") == {"": result == "stale"}


def test_a_dead_letter_is_counted_by_its_reason() -> None:
    metrics = Metrics()
    metrics.settled([decided(Reject("no"), Bury("rejected"))], ["settled"])
    metrics.settled([decided(None, Bury("exhausted"), None)], ["settled"])
    assert samples(metrics, "retryd_dead_letters_total") == {"rejected": 1, "exhausted": 1}


def test_claims_and_rescues_are_counted() -> None:
    metrics = Metrics()
    metrics.claimed(0, 0.1)
    metrics.claimed(3, 0.1)
    metrics.rescued(2)
    assert samples(metrics, "retryd_claim_duration_seconds_count") == {"": 2}
    assert samples(metrics, "retryd_last_claim_timestamp_seconds")[""] > 0
    assert samples(metrics, "retryd_rescued_total") == {"": 2}


def test_the_page_about_metrics_tells_all_of_them_with_their_labels() -> None:
    collectors: Any = Metrics().registry._collector_to_names
    made = {
        (name, tuple(collector._labelnames), collector._type)
        for collector in collectors
        for name in [collector._name + ("_total" if collector._type == "counter" else "")]
    }
    row = re.compile(r"^\| `(\w+)(?:\{([\w,]+)\})?` \| (\w+) \|", re.MULTILINE)
    told = {
        (name, tuple(filter(None, labels.split(","))), kind)
        for name, labels, kind in row.findall(PAGE.read_text())
    }
    assert told == made


def test_two_workers_of_one_process_do_not_share_a_registry() -> None:
    first, second = Metrics(), Metrics()
    first.rescued(1)
    assert samples(second, "retryd_rescued_total") == {"": 0}


def test_the_build_is_told() -> None:
    [labels] = samples(Metrics("1.2.3"), "retryd_build_info")
    assert labels.startswith("1.2.3 ")


def test_a_scrape_shows_threads_and_connections_as_they_are_then() -> None:
    metrics, threads, ready = Metrics(), 1, True
    metrics.watch(lambda: Vitals(threads, 2, 3, 10, ready))
    metrics.exposition()
    assert samples(metrics, "retryd_ready") == {"": 1}
    assert samples(metrics, "retryd_overrunning_threads") == {"": 1}
    assert samples(metrics, "retryd_db_pool_connections") == {"in_use": 2, "idle": 3, "max": 10}
    threads, ready = 0, False
    metrics.exposition()
    assert samples(metrics, "retryd_ready") == {"": 0}
    assert samples(metrics, "retryd_overrunning_threads") == {"": 0}


def by_labels(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of a metric by all of its labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if sample.name == name
    }


def test_what_is_not_in_postgresql_any_more_is_zero() -> None:
    metrics = Metrics()
    held, alerts = [("mail", "paused")], {"no_worker": 2}
    metrics.measured(Depths({("mail", "pending"): 3}, {"mail": 7.5}, {"pending": 2}, held, alerts))
    assert by_labels(metrics, "retryd_queue_depth") == {("mail", "pending"): 3}
    assert by_labels(metrics, "retryd_oldest_due_seconds") == {("mail",): 7.5}
    assert by_labels(metrics, "retryd_dead_letter_depth")["pending",] == 2
    assert by_labels(metrics, "retryd_lane_held") == {("mail", "paused"): 1}
    assert by_labels(metrics, "retryd_alerts") == {("no_worker",): 2}
    metrics.measured(Depths({(None, "pending"): 1}, {None: 0.0}, {}))
    assert by_labels(metrics, "retryd_lane_held") == {("mail", "paused"): 0}
    assert by_labels(metrics, "retryd_alerts") == {("no_worker",): 0}
    assert by_labels(metrics, "retryd_queue_depth") == {
        ("mail", "pending"): 0,
        ("unrouted", "pending"): 1,
    }
    assert by_labels(metrics, "retryd_oldest_due_seconds") == {("mail",): 0, ("unrouted",): 0}
    assert by_labels(metrics, "retryd_dead_letter_depth")["pending",] == 0


def test_every_status_of_dead_letters_is_shown_before_there_is_one() -> None:
    metrics = Metrics()
    metrics.measured(Depths({}, {}, {}))
    statuses = ("pending", "retrying", "failed", "resolved")
    assert by_labels(metrics, "retryd_dead_letter_depth") == {(each,): 0 for each in statuses}


def test_what_nobody_could_read_is_no_number() -> None:
    metrics = Metrics()
    metrics.measured(None)
    assert by_labels(metrics, "retryd_queue_depth") == {}
    held, alerts = [("mail", "paused")], {"no_worker": 2}
    metrics.measured(Depths({("mail", "pending"): 3}, {"mail": 7.5}, {"pending": 2}, held, alerts))
    metrics.measured(None)
    for name in (
        "retryd_queue_depth",
        "retryd_oldest_due_seconds",
        "retryd_dead_letter_depth",
        "retryd_lane_held",
        "retryd_alerts",
    ):
        values = by_labels(metrics, name).values()
        assert values
        assert all(map(math.isnan, values))


def test_what_was_read_long_ago_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics()
    metrics.measured(Depths({}, {}, {"pending": 2}))
    pending = b'retryd_dead_letter_depth{status="pending"}'
    assert pending + b" 2.0\n" in metrics.exposition()[0]
    monkeypatch.setattr(metrics_module, "OLD_SECONDS", 0.0)
    assert pending + b" NaN\n" in metrics.exposition()[0]


def test_labels_are_few_however_many_handlers_there_are() -> None:
    metrics = Metrics()
    names = [f"handler-{number}" for number in range(ROOM + 50)]
    queue: dict[tuple[str | None, str], int] = {(name, "pending"): 1 for name in names}
    metrics.measured(Depths(queue, {name: float(at) for at, name in enumerate(names)}, {}))
    shown = by_labels(metrics, "retryd_queue_depth")
    assert len(shown) == ROOM + 1
    assert shown["other", "pending"] == 50
    assert sum(shown.values()) == len(names)
    assert by_labels(metrics, "retryd_oldest_due_seconds")["other",] == ROOM + 49


def test_a_handler_keeps_its_label() -> None:
    label = HandlerLabels(room=1)
    assert [label(name) for name in ("a", "b", "a", None)] == ["a", "other", "a", "unrouted"]
