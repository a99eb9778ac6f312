"""That PostgreSQL is away is told once, and so is that it is back."""

from __future__ import annotations

import logging

import pytest

from retryd.store.reach import Reach


def test_a_long_outage_is_two_lines_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    reach = Reach()
    with caplog.at_level(logging.DEBUG, logger="retryd"):
        reach.answered()
        for _ in range(5):
            reach.failed("connection refused")
        for _ in range(5):
            reach.answered()
    assert [record.message for record in caplog.records] == ["database_away", "database_back"]


def test_it_tells_for_how_long_and_why_while_it_lasts() -> None:
    reach = Reach()
    reach.failed("connection refused")
    assert (reach.away_seconds or 0) < 5
    assert reach.reason == "connection refused"
    reach.answered()
    assert (reach.away_seconds, reach.reason) == (None, "")
