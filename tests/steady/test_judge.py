"""The judge of a steady state finds what it is there for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.steady.judge import judge
from tests.steady.notes import Notes
from tests.steady.plan import lasting
from tests.steady.plot import plot
from tests.steady.run import Record
from tests.steady.samples import Called, Sample

PLAN = lasting(10)
DROPPED = 2 * PLAN.days
Shape = Callable[[float], float]
"""A figure by how much of the time has passed, from 0 to 1."""


def level(_: float) -> float:
    return 0


def rising(share: float) -> float:
    return share


def saw(share: float) -> float:
    """Ten days, each of which is dropped at its end."""
    return share * 10 % 1


def record(
    *,
    size: Shape = level,
    rows: Shape = level,
    memory: Shape = level,
    claims: Shape = level,
    dropped: int = DROPPED,
) -> Record:
    """Make a run of 180,000 retries in which these figures take these shapes."""
    samples, buffers = [], 0.0
    for number in range(120):
        share = number / 120
        buffers += 1_500 * (20 + 100 * claims(share))
        called = Called(calls=number, rows=1_500 * number, buffers=int(buffers))
        functions = ("claim_retries", "look_ahead", "settle_retries")
        samples.append(
            Sample(
                at=share * 600,
                day=int(share * PLAN.days),
                passed=int(share * 180_000),
                bytes={"leak": int(2e6 + 40 * 180_000 * size(share))},
                rows={"leak": int(100 + 180_000 * rows(share))},
                dead={"leak": 0},
                called=dict.fromkeys(functions, called),
                snapshot_seconds=0.1,
                connections=18,
                resident_mb={"stays": 60 + 100 * 180_000 * memory(share) / 1e6, "replaced": 60},
                pickup_ms=(5.0, 20.0),
            )
        )
    return Record(PLAN, samples, partitions_dropped=dropped)


def found(run: Record) -> set[str]:
    return {verdict.what for verdict in judge(run) if not verdict.holds}


def test_what_stays_or_goes_up_and_down_with_the_days_is_no_growth() -> None:
    assert found(record()) == set()
    assert found(record(size=saw, rows=saw)) == set()


@pytest.mark.parametrize(
    ("run", "what"),
    [
        (record(size=rising), "bytes of leak"),
        (record(rows=rising), "rows of leak"),
        (record(memory=rising), "MB of the worker that stays"),
        (record(dropped=3), "days that should have been dropped and were not"),
    ],
)
def test_a_leak_of_40_bytes_or_a_row_or_100_bytes_of_memory_for_each_retry_is_found(
    run: Record, what: str
) -> None:
    assert found(run) == {what}


def test_claims_that_get_dearer_are_found() -> None:
    assert "buffers for each retry claimed" in found(record(claims=rising))


def test_what_is_lost_done_twice_or_done_by_nobodys_order_is_found(tmp_path: Path) -> None:
    lines = ["1 1 ok 0.1", "2 1 fail 0.1", "2 1 ok -1", "3 1 ok 0.1", "3 1 ok -1", "5 1 ok 0.1"]
    (tmp_path / "4711").write_text("".join(f"{line}\n" for line in lines))
    notes = Notes(tmp_path)
    assert notes.read() == [0.1] * 4
    wrong = list(notes.wrong(dict.fromkeys((1, 2, 3, 4), "ok"), replayed={}))
    assert [line.partition(",")[0] for line in wrong] == [f"retry {id_}" for id_ in (2, 3, 4, 5)]


def test_the_notes_are_read_on_from_where_the_last_line_ended(tmp_path: Path) -> None:
    path = tmp_path / "4711"
    path.write_text("1 1 reject 0.5\n2 2 ok -1.0")
    notes = Notes(tmp_path)
    assert notes.read() == [0.5]
    path.write_text(path.read_text() + "000\n")
    assert notes.read() == []
    assert list(notes.wrong({1: "reject", 2: "reject"}, replayed={2: 2})) == [
        "retry 2, life 1: [] instead of ['reject']"
    ]


def test_the_picture_has_a_line_for_each_thing() -> None:
    drawn = ET.fromstring(plot(record(size=saw)))  # noqa: S314 - our own
    lines = [each for each in drawn.iter() if each.tag.endswith("polyline")]
    assert len(lines) == 3 + 3 + 2 + 2 + 2
