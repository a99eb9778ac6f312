"""What the claimer remembers of its lanes, and how often it looks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from retryd.ports import Lane
from retryd.worker.lanes import KEPT_SECONDS, Lanes
from retryd.worker.share import Share

AT = datetime(2026, 1, 1, tzinfo=UTC)
EMPTY = datetime(2026, 1, 2, tzinfo=UTC)
MAIL = Lane("mail", 5, AT, 7)
BILL = Lane("bill", 0, AT, 8)


def test_nothing_is_walked_before_the_first_look() -> None:
    assert Lanes().ready(100) == []


def test_a_lane_is_walked_from_the_time_on_that_its_first_retry_is_due() -> None:
    lanes = Lanes()
    lanes.looked([(MAIL, 3.0), (BILL, -2.0)], EMPTY, 100)
    assert lanes.ready(100) == [BILL]
    assert lanes.due_in(100) == 0
    assert set(map(str, lanes.ready(103))) == {str(MAIL), str(BILL)}
    lanes.looked([(MAIL, 3.0)], EMPTY, 100)
    assert lanes.due_in(101) == 2


def test_the_next_claim_begins_behind_the_last_one() -> None:
    lanes = Lanes()
    lanes.looked([(MAIL, 0.0)], EMPTY, 100)
    behind = Lane("mail", 5, AT, 99)
    lanes.claimed([behind], 101)
    assert lanes.ready(101) == [behind]


def test_a_look_goes_back_to_what_came_in_behind_the_last_claim() -> None:
    lanes = Lanes()
    lanes.claimed([Lane("mail", 5, EMPTY, 99)], 101)
    lanes.looked([(MAIL, 0.0)], EMPTY, 102)
    assert lanes.ready(102) == [MAIL]


def test_a_lane_that_is_empty_is_walked_for_a_while_from_where_it_was_empty() -> None:
    lanes = Lanes()
    lanes.claimed([MAIL], 100)
    for now in (101, 100 + KEPT_SECONDS - 1):
        lanes.looked([], EMPTY, now)
        assert lanes.ready(now) == [Lane("mail", 5, EMPTY, 0)]
        assert lanes.due_in(now) == float("inf")
    lanes.looked([], EMPTY, 100 + KEPT_SECONDS)
    assert lanes.ready(200) == []


def test_what_is_due_later_is_known_lane_by_lane() -> None:
    lanes = Lanes()
    lanes.looked([(MAIL, 0.0), (Lane("bill", 5, EMPTY, 0), 2.0)], EMPTY, 100)
    assert lanes.next_in(101) == 1
    assert lanes.next_in(102) == float("inf")


def test_a_look_waits_for_a_multiple_of_what_the_last_one_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("retryd.worker.share.time.monotonic", lambda: now)
    share = Share(10, longest=5, free=0.5)
    assert share.pause == 0
    for took, pause in ((0.5, 0), (0.75, 2.5), (60, 5)):
        with share.looking():
            now += took
        assert share.pause == pause
    now += 4
    assert share.pause == 1


def test_who_has_nothing_to_do_may_look_more_often_but_not_from_the_first_moment_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("retryd.worker.share.time.monotonic", lambda: now)
    share = Share(100, longest=5)
    with share.looking():
        now += 0.25
    now += 1
    assert (share.pause, share.pause_of(10, since=0), share.pause_of(10, since=now)) == (
        4,
        1.5,
        2.5,
    )


def test_a_look_that_failed_took_its_time_as_well() -> None:
    share = Share(1e9, longest=5)
    with pytest.raises(ZeroDivisionError), share.looking():
        _ = 1 / 0
    assert 0 < share.pause <= 5
