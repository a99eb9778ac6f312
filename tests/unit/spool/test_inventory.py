"""Looking at a spool: what waits, what is damaged, what was rejected; nothing changes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from retryd.spool import inventory
from retryd.spool.drain import drain
from retryd.spool.frame import Damage, frame
from retryd.spool.inventory import RecordCount, rejected, verify, waiting
from retryd.spool.segments import new_path, segments
from retryd.spool.spool import Spool
from tests.unit.spool.takers import Taker


def segment(directory: Path, suffix: str, content: bytes) -> Path:
    """Leave a segment."""
    path = new_path(directory).with_suffix(suffix)
    path.write_bytes(content)
    return path


def test_each_segment_has_its_state(tmp_path: Path) -> None:
    segment(tmp_path, ".spool", frame(b"{}") * 3)
    segment(tmp_path, ".open", frame(b"{}") + b"torn")
    spool = Spool(tmp_path)
    spool.append(b"{}").result(10)
    states = [(each.state, each.records, each.bytes) for each in waiting(tmp_path)]
    size = len(frame(b"{}"))
    assert states == [("sealed", 3, 3 * size), ("abandoned", 1, size + 4), ("open", 1, size)]
    spool.close()


def test_verify_tells_damage_by_its_offset_and_a_torn_tail_apart(tmp_path: Path) -> None:
    damaged = frame(b"{}").replace(b"{}", b"[]")
    good = segment(tmp_path, ".spool", frame(b"{}") * 2)
    bad = segment(tmp_path, ".spool", frame(b"{}") + damaged + frame(b"{}"))
    cut = segment(tmp_path, ".spool", frame(b"{}")[:-1])
    torn = segment(tmp_path, ".open", frame(b"{}") + b"0000")
    found = {each.path: (each.records, each.damage, each.torn) for each in verify(tmp_path)}
    assert found == {
        good: (2, (), 0),
        bad: (2, (Damage(len(damaged), damaged),), 0),
        cut: (0, (Damage(0, frame(b"{}")[:-1]),), 0),
        torn: (1, (), 4),
    }
    assert torn.read_bytes().endswith(b"0000")


async def test_rejected_records_are_counted_by_reason(tmp_path: Path) -> None:
    segment(tmp_path, ".spool", frame(b"{}") * 2 + frame(b"[]"))
    await drain(tmp_path, Taker({b"{}": "empty", b"[]": "no object"}))
    [file] = rejected(tmp_path)
    assert (file.records, file.reasons) == (3, {"empty": 2, "no object": 1})
    file.path.write_text("a person was here\n")
    [file] = rejected(tmp_path)
    assert (file.records, file.reasons) == (1, {"unreadable": 1})


def test_the_count_follows_what_is_appended_sealed_and_drained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = RecordCount()
    directories = [tmp_path / "one", tmp_path / "two"]
    assert count.count(directories) == 0
    directories[1].mkdir()
    path = segment(directories[1], ".open", frame(b"{}") * 5)
    assert count.count(directories) == 5
    with path.open("ab") as file:
        file.write(frame(b"{}") * 2 + b"torn")
    assert count.count(directories) == 7
    path.write_bytes(frame(b"{}"))
    assert count.count(directories) == 1
    path = path.rename(path.with_suffix(".spool"))
    assert count.count(directories) == 1
    monkeypatch.setattr(inventory, "records_in", None)  # what has not changed is not read again
    assert count.count(directories) == 1
    path.unlink()
    assert count.count(directories) == 0


def test_a_spool_that_cannot_be_read_is_no_empty_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert math.isnan(RecordCount().count([tmp_path / "file"]))


def test_the_age_of_a_segment_is_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "20260102T030405.600000Z-7-0123abcd.spool"
    path.touch()
    [found] = segments(tmp_path)
    assert found.born.isoformat() == "2026-01-02T03:04:05.600000+00:00"
