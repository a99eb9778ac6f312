"""`retryd spool`: what waits on this disk, as a person sees it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from retryd.spool.frame import frame
from retryd.spool.segments import new_path, segments
from retryd.spool.spool import Spool
from tests.acceptance.commands import Shell
from tests.postgres import Connection

RECORD = b'{"event_type":"mail.send.failed","event_id":"m1","payload":{"n":1}}'
OTHER = RECORD.replace(b"m1", b"m2")
REFUSED = RECORD.replace(b"mail.send.failed", b"a b")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A spool with a good record, one that is refused, and one that is damaged."""
    directory = tmp_path / "spool"
    directory.mkdir()
    content = frame(RECORD) + frame(REFUSED) + frame(OTHER).replace(b"m2", b"m3")
    new_path(directory).with_suffix(".spool").write_bytes(content)
    return directory


async def test_list_tells_segments_and_what_was_rejected(shell: Shell, directory: Path) -> None:
    where = ("--directory", str(directory))
    [segment] = (await shell("spool", "list", *where, "--json")).document["segments"]
    assert (segment["state"], segment["records"]) == ("sealed", 3)
    assert segment["path"].startswith(str(directory))
    told = (await shell("spool", "list", *where)).out
    assert "sealed" in told
    assert "Rejected" not in told
    await shell("spool", "drain", *where)
    [file] = (await shell("spool", "list", *where, "--json")).document["rejected"]
    assert file["records"] == sum(file["reasons"].values()) == 2
    told = (await shell("spool", "list", *where)).out
    assert "damaged: " in told
    assert "event_type" in told


async def test_the_age_of_what_waits_for_days_has_the_days(
    bare_shell: Shell, tmp_path: Path
) -> None:
    born = datetime.now(UTC) - timedelta(days=2)
    (tmp_path / f"{born:%Y%m%dT%H%M%S.%fZ}-7-0f8fade3.spool").write_bytes(frame(RECORD))
    told = (await bare_shell("spool", "list", "--directory", str(tmp_path))).out
    [seconds] = re.findall(r"(\d+) s$", told, re.MULTILINE)
    assert 2 * 86400 <= int(seconds) < 2 * 86400 + 600


async def test_drain_captures_and_says_what_was_refused(
    shell: Shell, directory: Path, connection: Connection
) -> None:
    ended = await shell("spool", "drain", "--directory", str(directory))
    assert (ended.status, ended.out) == (0, "captured 1 record\n")
    assert "2 records refused: `retryd spool list` tells why" in ended.err
    assert str(directory / "rejected") in ended.err
    query = "select event_id from retryd.failure_event"
    assert [row[0] for row in await connection.fetch(query)] == ["m1"]
    ended = await shell("spool", "drain", "--directory", str(directory), "--json")
    assert ended.document == {"kept": 0, "rejected": 0, "left": []}


async def test_drain_waits_a_moment_for_a_living_writer_and_no_longer_for_others(
    shell: Shell, tmp_path: Path
) -> None:
    directory = tmp_path / "spool"
    spool = Spool(directory)
    spool.append(RECORD).result(10)
    ended = await shell("spool", "drain", "--directory", str(directory))
    assert (ended.status, ended.out, ended.err) == (0, "captured 1 record\n", "")
    spool.append(OTHER).result(10)
    segment = spool._segment
    assert segment is not None
    segment._seal_at += 60  # a writer that is held up
    ended = await shell("spool", "drain", "--directory", str(directory))
    assert ended.status == 1
    assert "1 segment still being written or drained by another process" in ended.err
    spool.close(0)


async def test_verify_tells_file_and_offset_of_damage(
    bare_shell: Shell, directory: Path, tmp_path: Path
) -> None:
    [segment] = segments(directory)
    before = segment.path.read_bytes()
    ended = await bare_shell("spool", "verify", "--directory", str(directory))
    assert ended.status == 1
    offset = len(frame(RECORD) + frame(REFUSED))
    assert f"{segment.path}: {len(frame(OTHER))} bytes at offset {offset} are no" in ended.err
    assert "a drain captures the other records" in ended.err
    ended = await bare_shell("spool", "verify", "--directory", str(directory), "--json")
    document = json.loads(ended.out)
    assert (ended.status, document["ok"]) == (1, False)
    assert document["segments"][0]["damage"] == [{"offset": offset, "bytes": len(frame(OTHER))}]
    assert segment.path.read_bytes() == before
    sound = tmp_path / "sound"
    sound.mkdir()
    new_path(sound).write_bytes(frame(RECORD) + b"torn")
    document = (await bare_shell("spool", "verify", "--directory", str(sound), "--json")).document
    assert document["ok"]
    assert document["segments"][0]["torn_bytes"] == 4


async def test_the_configuration_names_the_spools(bare_shell: Shell, directory: Path) -> None:
    line = (await bare_shell("spool", "list")).refused(2)
    assert "no spool is named: say --directory, or set spool.directory" in line
    config = bare_shell.folder / "config.json"
    config.write_text(json.dumps({"spool": {"directory": "later", "drain": [str(directory)]}}))
    document = (await bare_shell("spool", "list", "--config", str(config), "--json")).document
    assert [row["records"] for row in document["segments"]] == [3]
    line = (await bare_shell("spool", "list", "--directory", "nowhere")).refused(2)
    assert "nowhere" in line
