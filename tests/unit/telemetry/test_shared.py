"""Metrics of several processes as one. Each Metrics here stands for a process of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, values
from prometheus_client.parser import text_string_to_metric_families

from retryd.ports import Depths
from retryd.telemetry.metrics import Metrics, Vitals
from retryd.telemetry.shared import DIRECTORY, MergedMetrics, shared_values


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put back what is the library's and closes its files."""
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    yield
    values.close_all_multiprocess_files()  # type: ignore[no-untyped-call]


def child(directory: Path, number: int) -> Metrics:
    """Return the metrics of a child."""
    with shared_values(directory, number):
        return Metrics("1")


def value(merged: MergedMetrics, name: str, **labels: str) -> float | None:
    """Return a merged value."""
    text = merged.exposition()[0].decode()
    return next(
        (
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and sample.labels == labels
        ),
        None,
    )


def test_counts_are_added_up_and_go_on_after_a_restart(tmp_path: Path) -> None:
    merged = MergedMetrics(tmp_path)
    child(tmp_path, 0).rescued(1)
    child(tmp_path, 1).rescued(2)
    assert value(merged, "retryd_rescued_total") == 3
    merged.gone(0)
    assert value(merged, "retryd_rescued_total") == 3
    files = len(list(tmp_path.iterdir()))
    for _ in range(20):
        metrics = child(tmp_path, 0)
        metrics.rescued(1)
        metrics.claimed(1, 0.2)
        merged.gone(0)
    assert value(merged, "retryd_rescued_total") == 23
    assert value(merged, "retryd_claim_duration_seconds_count") == 20
    assert len(list(tmp_path.iterdir())) <= files


def test_threads_and_connections_are_those_of_the_living(tmp_path: Path) -> None:
    merged = MergedMetrics(tmp_path)
    for number in range(2):
        metrics = child(tmp_path, number)
        metrics.watch(lambda: Vitals(1, 2, 3, 10, ready=True))
        metrics.refresh()
    assert value(merged, "retryd_overrunning_threads") == 2
    assert value(merged, "retryd_db_pool_connections", state="max") == 20
    merged.gone(1)
    assert value(merged, "retryd_overrunning_threads") == 1


def test_what_all_read_from_postgresql_is_not_added_up(tmp_path: Path) -> None:
    merged = MergedMetrics(tmp_path)
    first, second = child(tmp_path, 0), child(tmp_path, 1)
    first.measured(Depths({("mail", "pending"): 5}, {"mail": 9.0}, {"pending": 1}))
    second.measured(Depths({("mail", "pending"): 4}, {"mail": 3.0}, {"pending": 1}))
    assert value(merged, "retryd_queue_depth", handler="mail", state="pending") == 4
    assert value(merged, "retryd_oldest_due_seconds", handler="mail") == 3
    first.measured(Depths({}, {}, {}))
    assert value(merged, "retryd_queue_depth", handler="mail", state="pending") == 0


def test_a_dead_child_does_not_leave_a_depth_behind(tmp_path: Path) -> None:
    merged = MergedMetrics(tmp_path)
    child(tmp_path, 0).measured(Depths({("mail", "pending"): 5}, {}, {}))
    merged.gone(0)
    assert value(merged, "retryd_queue_depth", handler="mail", state="pending") is None


def test_a_file_that_is_just_being_made_is_passed_over(tmp_path: Path) -> None:
    child(tmp_path, 0).rescued(1)
    (tmp_path / "counter_1.db").touch()
    assert value(MergedMetrics(tmp_path), "retryd_rescued_total") == 1


def test_metrics_of_the_application_stay_its_own(tmp_path: Path) -> None:
    metrics = child(tmp_path, 0)
    metrics.rescued(1)
    registry = CollectorRegistry()
    Counter("shop_orders", "Orders", registry=registry).inc()
    assert registry.get_sample_value("shop_orders_total") == 1
    assert b"shop_orders" not in MergedMetrics(tmp_path).exposition()[0]


def test_programs_that_handlers_start_do_not_find_the_directory(tmp_path: Path) -> None:
    metrics = child(tmp_path, 0)
    assert DIRECTORY not in os.environ
    opened = set(tmp_path.iterdir())
    metrics.claimed(1, 0.1)
    metrics.rescued(1)
    metrics.watch(lambda: Vitals(1, 2, 3, 10, ready=True))
    metrics.measured(Depths({("mail", "pending"): 5}, {"mail": 1.0}, {"pending": 1}))
    assert set(tmp_path.iterdir()) == opened  # no file is opened later, without the variable


def test_a_directory_that_the_application_had_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECTORY, "/elsewhere")
    child(tmp_path, 0)
    assert os.environ[DIRECTORY] == "/elsewhere"
