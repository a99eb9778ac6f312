"""Spools on bad days: what was acknowledged arrives once, whoever dies and whatever breaks."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from concurrent.futures import Future
from pathlib import Path

import pytest

from retryd.domain.errors import SpoolUnavailable
from retryd.spool.frame import frame
from retryd.spool.segments import new_path, segments
from retryd.spool.spool import Spool
from tests.faults.disk import mounted
from tests.faults.programs import program
from tests.faults.scene import Scene
from tests.faults.spooling import arrived, drain, record, shell_of, writing
from tests.waiting import until

KILLED = 5
MANY = 20_000


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A spool that is not there yet."""
    return tmp_path / "spool"


def fill(directory: Path, count: int, name: str = "many") -> set[str]:
    """Append so many records; returns their event ids."""
    spool = Spool(directory)
    for future in [spool.append(record(name, number)) for number in range(count)]:
        future.result(60)
    spool.close()
    return {f"{name}-{number}" for number in range(count)}


async def test_what_a_killed_writer_acknowledged_arrives_once(
    scene: Scene, directory: Path
) -> None:
    kept: set[str] = set()
    for life in range(KILLED):
        async with writing(directory, f"life{life}") as writer:
            await until(lambda: len(writer.kept) > 200 * (life + 1))  # noqa: B023 - ends in here
            writer.process.kill()
            await writer.process.wait()
            kept |= writer.kept
    assert any(not segment.sealed for segment in segments(directory))
    await drain(scene, directory)
    assert segments(directory) == []
    assert not (directory / "rejected").exists()
    assert kept <= await arrived(scene)
    assert await drain(scene, directory) == {"kept": 0, "rejected": 0, "left": []}
    await scene.close()


async def test_a_drain_that_is_killed_and_two_at_once_lose_and_double_nothing(
    scene: Scene, directory: Path
) -> None:
    kept = fill(directory, MANY)
    command = ("spool", "drain", "--directory", str(directory))
    first = await shell_of(scene).start(*command)
    await until(lambda: scene.value("select exists (select from retryd.failure_event)"))
    first.send_signal(signal.SIGKILL)
    await first.communicate()
    assert segments(directory), "it was killed half-way"
    both = await asyncio.gather(*(shell_of(scene)(*command) for _ in range(2)))
    assert 0 in {ended.status for ended in both}
    await drain(scene, directory)
    assert await arrived(scene) == kept
    await scene.close()


async def test_workers_drain_what_one_of_them_has_left(scene: Scene, directory: Path) -> None:
    kept = fill(directory, MANY)
    told = {"RETRYD_SPOOL__DRAIN": json.dumps([str(directory)]), "RETRYD_RETRY__ENABLED": "false"}
    first = await scene.fleet.started(**told)
    await until(lambda: scene.value("select exists (select from retryd.failure_event)"))
    await first.kill()
    for _ in range(2):
        await scene.fleet.started(**told)
    await until(lambda: not segments(directory), within=30)
    assert await arrived(scene) == kept
    await scene.close()


async def test_one_bad_record_holds_up_no_other(scene: Scene, directory: Path) -> None:
    directory.mkdir()
    good = [record("good", number) for number in range(20)]
    bad = {
        b"no json": "it is no JSON",
        b"[]": "it is no object",
        record("bad", 1, event_id=None): "it has no event_id",
        record("bad", 2, event_type="a b"): "event_type",
        record("bad", 3, payload="x" * 1024 * 1024): "payload",
        record("bad", 4, payload={"number": 4, "nul": "\0"}): "Unicode",
        record("bad", 5, payload=json.loads("[" * 900 + "]" * 900)): "deep",
        record("bad", 6, unknown=1): "unknown",
        record("good", 0, payload={"number": 99}): "conflict: an event with this source",
    }
    damaged = frame(record("bad", 7)).replace(b"work", b"walk")
    lines = b"".join(map(frame, [*good[:10], *bad, *good[10:]])) + damaged + frame(good[0])
    path = new_path(directory)
    path.write_bytes(lines + frame(good[1])[:-9])
    member = await scene.fleet.started(
        RETRYD_SPOOL__DIRECTORY=str(directory), RETRYD_LOG__LEVEL="debug"
    )
    await until(lambda: not segments(directory))
    await scene.drained()
    assert await arrived(scene) == {f"good-{number}" for number in range(20)}
    [file] = (directory / "rejected").iterdir()
    told = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert len(told) == len(bad) + 1
    for reason, refused in zip(bad.values(), told, strict=False):
        assert reason in refused["reason"]
    assert told[-1]["reason"].startswith("damaged")
    [said] = member.said("spool_records_rejected")
    assert (said["file"], said["records"]) == (str(file), len(told))
    assert member.said("spool_tail_cut")
    await scene.close()


async def test_while_postgresql_is_away_everything_stays_and_is_counted(
    scene: Scene, directory: Path
) -> None:
    member = await scene.fleet.started(RETRYD_SPOOL__DIRECTORY=str(directory))
    await scene.server.crash()
    await until(lambda: member.said("database_away"))
    kept = fill(directory, 50)

    async def counted(records: int) -> bool:
        return await member.metric("retryd_spool_records") == records

    await until(lambda: counted(50))
    ended = await shell_of(scene)("spool", "drain", "--directory", str(directory))
    assert "PostgreSQL cannot be reached" in ended.refused(1)
    assert await counted(50)
    await scene.server.start()
    await until(lambda: counted(0))
    await scene.drained()
    assert await arrived(scene) == kept
    await scene.close()


async def test_a_full_disk_is_told_and_what_was_acknowledged_is_there(
    scene: Scene, directory: Path
) -> None:
    directory.mkdir()
    with mounted(directory, "256k"):
        ballast = directory / "ballast"
        ballast.write_bytes(b"x" * 128 * 1024)
        spool = Spool(directory)
        futures: dict[str, Future[None]] = {}

        def append(count: int) -> None:
            for number in range(len(futures), len(futures) + count):
                futures[f"full-{number}"] = spool.append(record("full", number))
            for future in futures.values():
                future.exception(10)

        while not any(future.exception() for future in futures.values()):
            append(7)
        refused = next(future for future in futures.values() if future.exception())
        with pytest.raises(SpoolUnavailable, match=r"No space left on device.*has room"):
            refused.result()
        append(7)
        ballast.unlink()
        append(7)
        spool.close()
        kept = {event_id for event_id, future in futures.items() if not future.exception()}
        assert set(list(futures)[-7:]) <= kept
        await drain(scene, directory)
        assert [path.name for path in directory.iterdir()] == []
    assert await arrived(scene) == kept
    await scene.close()


async def test_after_a_failed_fsync_nothing_is_acknowledged_and_the_file_is_left(
    scene: Scene, directory: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    strace = (
        *(program("strace"), "-ff", "-qq", "-o", str(trace)),
        *("-e", "trace=fsync,ftruncate,write,close"),
        *("-e", "inject=fsync:error=EIO:when=9+8"),
    )
    async with writing(directory, "eio", count=100, at_once=1, under=strace) as writer:
        async with asyncio.timeout(60):
            assert await writer.process.wait() == 0
        failed = writer.numbers("failed")
        assert len(failed) + len(writer.kept) == 100
        assert len(failed) > 5
    await drain(scene, directory)
    assert await arrived(scene) == writer.kept
    [calls] = [
        text for path in tmp_path.glob("trace.*") if "INJECTED" in (text := path.read_text())
    ]
    broken = re.findall(r"fsync\((\d+)\) += -1 EIO.*INJECTED\)\n(.*)\n(.*)\n", calls)
    assert len(broken) >= len(failed)
    for descriptor, *then in broken:
        assert any(call.startswith(f"close({descriptor})") for call in then), then
        assert not any(call.startswith((f"fsync({descriptor})", "write")) for call in then), then
    await scene.close()
