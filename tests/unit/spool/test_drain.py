"""Draining: a segment goes once all its records went, and no record goes astray."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from retryd.domain.errors import DatabaseUnavailable, SpoolUnavailable
from retryd.spool.drain import BATCH_BYTES, BATCH_RECORDS, DAMAGED, Drained, drain
from retryd.spool.frame import frame
from retryd.spool.segments import locked, new_path, segments
from retryd.spool.spool import Spool
from tests.unit.spool.takers import Taker, away, drained
from tests.waiting import until

RECORDS = [b'{"n":%d}' % number for number in range(5)]


def left_open(directory: Path, content: bytes) -> Path:
    """Leave a segment as a dead writer does."""
    path = new_path(directory)
    path.write_bytes(content)
    return path


def sealed(directory: Path, content: bytes) -> Path:
    """Leave a sealed segment."""
    path = left_open(directory, content)
    return path.rename(path.with_suffix(".spool"))


def rejections(directory: Path) -> list[dict[str, Any]]:
    """Return what was rejected, file by file."""
    files = sorted((directory / "rejected").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


async def test_nothing_is_glued_to_a_torn_tail_wherever_it_was_torn(tmp_path: Path) -> None:
    content = b"".join(map(frame, RECORDS[:3]))
    ends = [len(b"".join(map(frame, RECORDS[:number]))) for number in range(4)]
    for cut in range(len(content) + 1):
        directory = tmp_path / str(cut)
        directory.mkdir()
        left_open(directory, content[:cut])
        spool = Spool(directory)
        spool.append(b'{"n":"after"}').result(10)
        spool.close()
        whole = sum(end <= cut for end in ends) - 1
        assert await drained(directory) == [*RECORDS[:whole], b'{"n":"after"}']
        assert not list(directory.iterdir())


async def test_a_torn_tail_of_a_sealed_segment_is_no_torn_tail_any_more(tmp_path: Path) -> None:
    sealed(tmp_path, frame(RECORDS[0]) + frame(RECORDS[1])[:-3])
    taker = Taker()
    assert await drain(tmp_path, taker) == Drained(kept=1, rejected=1)
    assert [each["reason"] for each in rejections(tmp_path)] == [DAMAGED]


@pytest.mark.parametrize("leave", [left_open, sealed])
async def test_damage_is_put_aside_as_it_is_and_the_rest_arrives(
    tmp_path: Path, leave: Any
) -> None:
    damaged = frame(RECORDS[1]).replace(b"1}", b"\xff}")
    leave(tmp_path, frame(RECORDS[0]) + damaged + frame(RECORDS[2]))
    taker = Taker()
    assert await drain(tmp_path, taker) == Drained(kept=2, rejected=1)
    assert taker.taken == [RECORDS[0], RECORDS[2]]
    [told] = rejections(tmp_path)
    assert (told["reason"], told["offset"]) == (DAMAGED, len(frame(RECORDS[0])))
    assert base64.b64decode(told["base64"]) == damaged
    assert segments(tmp_path) == []


async def test_a_slow_disk_holds_up_no_loop_and_a_cancelled_drain_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncing, slow = threading.Event(), threading.Event()
    fsync = os.fsync

    def fsync_slowly(descriptor: int) -> None:
        syncing.set()
        slow.wait(30)
        fsync(descriptor)

    left_open(tmp_path, frame(RECORDS[0]) + b"torn")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync_slowly)
        draining = asyncio.create_task(drain(tmp_path, Taker()))
        await until(syncing.is_set)
        for _ in range(3):
            draining.cancel()
            await asyncio.sleep(0)
        assert not draining.done()  # else its descriptor would be closed, and another file's
        slow.set()
        with pytest.raises(asyncio.CancelledError):
            await draining
    assert await drained(tmp_path) == RECORDS[:1]


async def test_what_is_refused_is_put_aside_with_its_reason(tmp_path: Path) -> None:
    path = sealed(tmp_path, b"".join(map(frame, [*RECORDS, b"no json"])))
    taker = Taker({RECORDS[2]: "too odd", b"no json": "it is no JSON"})
    assert await drain(tmp_path, taker) == Drained(kept=4, rejected=2)
    odd, none = rejections(tmp_path)
    assert odd == {"reason": "too odd", "offset": 2 * len(frame(RECORDS[0])), "record": {"n": 2}}
    assert base64.b64decode(none["base64"]) == b"no json"
    assert [file.name for file in (tmp_path / "rejected").iterdir()] == [f"{path.stem}.jsonl"]


async def test_numbers_that_were_refused_keep_their_digits(tmp_path: Path) -> None:
    record = b'{"n":1.10000000000000000000000000001e400}'
    sealed(tmp_path, frame(record))
    await drain(tmp_path, Taker({record: "no"}))
    [file] = (tmp_path / "rejected").iterdir()
    assert record in file.read_bytes()


async def test_while_postgresql_is_away_everything_stays_as_it_is(tmp_path: Path) -> None:
    paths = [
        left_open(tmp_path, frame(RECORDS[0]) + b"torn"),
        sealed(tmp_path, frame(RECORDS[1])),
    ]
    before = [path.read_bytes() for path in paths]
    with pytest.raises(DatabaseUnavailable):
        await drain(tmp_path, away)
    assert [path.read_bytes() for path in paths] == before


async def test_a_segment_stays_until_all_of_it_is_taken(tmp_path: Path) -> None:
    count = BATCH_RECORDS + 1
    many = [b'{"n":%d}' % number for number in range(count)]
    path = sealed(tmp_path, b"".join(map(frame, many)))
    taker = Taker({many[0]: "odd"})

    async def gone_half_way(records: Sequence[bytes]) -> list[str | None]:
        if taker.taken:
            raise DatabaseUnavailable
        return await taker(records)

    with pytest.raises(DatabaseUnavailable):
        await drain(tmp_path, gone_half_way)
    assert path.exists()
    assert rejections(tmp_path) == []
    assert await drain(tmp_path, taker) == Drained(kept=count - 1, rejected=1)
    assert set(taker.taken) == set(many[1:])
    assert len(rejections(tmp_path)) == 1


async def test_a_drain_that_dies_before_the_end_leaves_one_copy_of_what_was_rejected(
    tmp_path: Path,
) -> None:
    path = sealed(tmp_path, b"".join(map(frame, RECORDS)))
    content = path.read_bytes()
    taker = Taker({RECORDS[0]: "odd"})
    await drain(tmp_path, taker)
    path.write_bytes(content)  # it died before it could remove the segment
    await drain(tmp_path, taker)
    assert [each["record"] for each in rejections(tmp_path)] == [{"n": 0}]


async def test_what_somebody_else_has_is_left_to_them(tmp_path: Path) -> None:
    path = sealed(tmp_path, frame(RECORDS[0]))
    with locked(path) as descriptor:
        assert descriptor is not None
        assert await drained(tmp_path) == []
    assert await drained(tmp_path) == RECORDS[:1]


async def test_a_segment_that_another_one_drained_meanwhile_is_passed_over(tmp_path: Path) -> None:
    sealed(tmp_path, frame(RECORDS[0]))
    sealed(tmp_path, frame(RECORDS[1]))
    taken = []

    async def take(records: Sequence[bytes]) -> list[str | None]:
        if not records:
            taken.extend(await drained(tmp_path))
        taken.extend(records)
        return [None] * len(records)

    assert await drain(tmp_path, take) == Drained()
    assert taken == RECORDS[:2]


async def test_a_segment_that_cannot_be_read_does_not_hold_up_the_others(tmp_path: Path) -> None:
    bad = new_path(tmp_path).with_suffix(".spool")
    bad.mkdir()
    sealed(tmp_path, frame(RECORDS[0]))
    taker = Taker()
    with pytest.raises(SpoolUnavailable, match="cannot be used"):
        await drain(tmp_path, taker)
    assert taker.taken == RECORDS[:1]
    assert [segment.path for segment in segments(tmp_path)] == [bad]


async def test_segments_go_in_the_order_of_their_beginning_and_in_batches(tmp_path: Path) -> None:
    many = [b'{"n":%d}' % number for number in range(2 * BATCH_RECORDS)]
    large = [b'{"pad":"%b"}' % (b"x" * (BATCH_BYTES // 2)), b'{"pad":"%b"}' % (b"x" * BATCH_BYTES)]
    sealed(tmp_path, b"".join(map(frame, many)))
    left_open(tmp_path, b"".join(map(frame, large)))
    taker = Taker()
    await drain(tmp_path, taker)
    assert taker.taken == many + large
    assert taker.calls == [0, BATCH_RECORDS, BATCH_RECORDS, 2]


async def test_other_files_are_left_alone_and_no_directory_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "notes.spool").write_text("mine")
    assert await drained(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["notes.spool"]
    assert await drained(tmp_path / "nowhere") == []
