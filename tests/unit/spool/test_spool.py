"""Appending to a spool: what is acknowledged is on the disk, what is not is told."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from retryd.domain.errors import SpoolUnavailable
from retryd.spool import open_segment
from retryd.spool.frame import frame
from retryd.spool.segments import segments, size_of
from retryd.spool.spool import Spool
from tests.unit.spool.takers import drained
from tests.waiting import until


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """A spool in a directory that is not there yet."""
    spool = Spool(tmp_path / "new" / "spool")
    yield spool
    spool.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Its directory."""
    return tmp_path / "new" / "spool"


async def test_what_is_appended_is_there_in_its_order(spool: Spool, directory: Path) -> None:
    records = [b'{"n":%d}' % number for number in range(100)]
    for future in [spool.append(record) for record in records]:
        future.result(10)
    spool.close()
    assert await drained(directory) == records
    assert segments(directory) == []


async def test_many_threads_and_loops_append_at_once(spool: Spool, directory: Path) -> None:
    def append(thread: int) -> None:
        for number in range(50):
            spool.append(b'{"t":%d,"n":%d}' % (thread, number)).result(10)

    threads = [threading.Thread(target=append, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    await asyncio.gather(
        *(asyncio.wrap_future(spool.append(b'{"n":%d}' % number)) for number in range(200))
    )
    for thread in threads:
        await asyncio.to_thread(thread.join)
    spool.close()
    found = await drained(directory)
    assert len(found) == len(set(found)) == 8 * 50 + 200


def test_a_record_with_a_newline_is_refused_at_once(spool: Spool, directory: Path) -> None:
    with pytest.raises(ValueError, match="one line"):
        spool.append(b'{\n"n": 1}')
    assert not directory.exists()


def test_files_and_directories_are_closed_to_others(spool: Spool, directory: Path) -> None:
    spool.append(b"{}").result(10)
    [segment] = segments(directory)
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(segment.path.stat().st_mode) == 0o640 & ~umask
    assert stat.S_IMODE(directory.stat().st_mode) == 0o750 & ~umask


async def test_an_idle_writer_seals_what_it_wrote(spool: Spool, directory: Path) -> None:
    spool.append(b"{}").result(10)
    [segment] = segments(directory)
    assert not segment.sealed
    await until(lambda: all(each.sealed for each in segments(directory)))
    spool.append(b"{}").result(10)
    assert len(segments(directory)) == 2


def test_a_large_segment_is_sealed_at_once(spool: Spool, directory: Path) -> None:
    spool.append(b'"%b"' % (b"x" * open_segment.SEAL_BYTES)).result(10)
    spool.append(b"{}").result(10)
    assert [each.sealed for each in segments(directory)] == [True, False]


async def test_two_writers_of_a_directory_do_not_meet(spool: Spool, directory: Path) -> None:
    other = Spool(directory)
    spool.append(b'"ours"').result(10)
    other.append(b'"theirs"').result(10)
    assert len(segments(directory)) == 2
    other.close()
    assert await drained(directory) == [b'"theirs"']
    spool.close()
    assert await drained(directory) == [b'"ours"']


def test_a_closed_spool_keeps_nothing_and_says_so(spool: Spool) -> None:
    spool.close()
    with pytest.raises(SpoolUnavailable, match="closed"):
        spool.append(b"{}").result(10)


def test_close_writes_what_waits(spool: Spool, directory: Path) -> None:
    futures = [spool.append(b"{}") for _ in range(1_000)]
    spool.close()
    assert all(future.done() and future.exception() is None for future in futures)
    [segment] = segments(directory)
    assert segment.sealed


async def test_a_full_spool_refuses_until_it_is_drained(directory: Path) -> None:
    record = b'{"pad":"%b"}' % (b"x" * 80)
    spool = Spool(directory, max_bytes=10 * len(frame(record)))
    futures = [spool.append(record) for _ in range(12)]
    refused = [future for future in futures if future.exception(10)]
    assert len(refused) == 2
    with pytest.raises(SpoolUnavailable, match=r"is full: .* spool\.max_bytes"):
        refused[0].result()
    assert size_of(directory) == 10 * len(frame(record))
    await until(lambda: all(each.sealed for each in segments(directory)))
    assert len(await drained(directory)) == 10
    spool.append(record).result(10)
    spool.close()


async def test_records_that_are_appended_together_are_kept_or_refused_together(
    directory: Path,
) -> None:
    record = b'{"pad":"%b"}' % (b"x" * 80)
    spool = Spool(directory, max_bytes=3 * len(frame(record)))
    with pytest.raises(SpoolUnavailable, match="is full"):
        spool.append(*[record] * 6).result(10)
    assert size_of(directory) == 0
    spool.append(*[record] * 3).result(10)
    spool.close()
    assert await drained(directory) == [record] * 3


async def test_where_no_thread_can_start_the_caller_writes(
    spool: Spool, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    with monkeypatch.context() as exhausted:
        exhausted.setattr(threading.Thread, "start", start)
        for number in range(2):
            spool.append(b"%d" % number).result(0)
        assert [each.sealed for each in segments(directory)] == [True, True]
    spool.append(b"2").result(10)
    spool.close()
    assert await drained(directory) == [b"0", b"1", b"2"]


FORKING = """
import fcntl, os, sys
from retryd.spool.segments import locked, segments
from retryd.spool.spool import Spool

spool = Spool(sys.argv[1])
spool.append(b'"parent"').result(10)
read, write = os.pipe()
child = os.fork()
if child == 0:
    spool.append(b'"child"').result(10)
    spool.close(10)
    os.read(read, 1)  # it lives on while its parent ends
    os._exit(0)
spool.append(b'"parent again"').result(10)
spool.close(10)
for segment in segments(sys.argv[1]):
    if f"-{os.getpid()}-" in segment.path.name:
        with locked(segment.path) as descriptor:
            assert descriptor is not None, "the child has the lock"
os.write(write, b".")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


async def test_a_forked_child_writes_a_segment_of_its_own_and_holds_no_other(
    directory: Path,
) -> None:
    done = subprocess.run([sys.executable, "-c", FORKING, str(directory)], check=False, timeout=60)
    assert done.returncode == 0
    assert all(each.sealed for each in segments(directory))
    assert sorted(await drained(directory)) == [b'"child"', b'"parent again"', b'"parent"']


def test_the_segments_of_others_count_as_well(spool: Spool, directory: Path) -> None:
    spool.append(b"{}").result(10)
    other = Spool(directory, max_bytes=size_of(directory))
    with pytest.raises(SpoolUnavailable, match="is full"):
        other.append(b"{}").result(10)
    other.close()


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spool = Spool(tmp_path / "file" / "spool")
    with pytest.raises(SpoolUnavailable, match=r"File exists.*check that"):
        spool.append(b"{}").result(10)
    spool.close()


def test_a_cancelled_record_is_not_written(spool: Spool, directory: Path) -> None:
    futures = [spool.append(b"{}") for _ in range(1_000)]
    cancelled = sum(future.cancel() for future in futures)
    spool.close()
    kept = sum(not future.cancelled() for future in futures)
    assert kept + cancelled == 1_000
    assert size_of(directory) == kept * len(frame(b"{}"))
