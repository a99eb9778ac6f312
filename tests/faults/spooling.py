"""Spools in fault tests: what is written to them, by whom, and what arrived of it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.commands import Shell
from tests.faults.scene import Scene

ROOT = Path(__file__).parents[2]
WRITER = Path(__file__).with_name("spool_writer.py")
ARRIVED = """
    select e.event_id, e.payload::text, array_agg(r.id)
    from retryd.failure_event e
    left join retryd.place r on r.id = e.id
    group by e.event_id, e.payload::text
"""


def record(name: str, number: int, **changes: Any) -> bytes:
    """Return a record as a publisher spools it."""
    event = {
        "event_type": "work.run.failed",
        "payload": {"number": number, "pad": "ö" * 60},
        "event_id": f"{name}-{number}",
        "source": "spool-tests",
    }
    return json.dumps(event | changes, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Writer:
    """A process that writes to a spool."""

    process: asyncio.subprocess.Process
    name: str
    told: Path

    def numbers(self, word: str) -> set[int]:
        """Return the records of which it said this: kept or failed."""
        lines = [line.split() for line in self.told.read_text().splitlines()]
        return {int(number) for said, number in lines if said == word}

    @property
    def kept(self) -> set[str]:
        """The event ids that were acknowledged."""
        return {f"{self.name}-{number}" for number in self.numbers("kept")}


@asynccontextmanager
async def writing(
    directory: Path,
    name: str,
    *,
    count: int = 10**9,
    at_once: int = 32,
    under: tuple[str, ...] = (),
) -> AsyncIterator[Writer]:
    """Run a writer, `under` a program if one is given; it is killed at the end if it still runs."""
    told = directory.with_name(f"{name}.told")
    with told.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(*under, sys.executable, str(WRITER), str(directory), name, str(count), str(at_once)),
            stdout=output,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        )
    try:
        yield Writer(process, name, told)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def shell_of(scene: Scene) -> Shell:
    """Return a shell whose commands have the rights of a worker."""
    return Shell(scene.fleet.folder, {"RETRYD_DATABASE_URL": scene.worker_dsn})


async def drain(scene: Scene, directory: Path) -> dict[str, Any]:
    """Drain with the command, to the end; returns its document."""
    ended = await shell_of(scene)("spool", "drain", "--directory", str(directory), "--json")
    assert ended.status == 0, ended.err
    document: dict[str, Any] = json.loads(ended.out)
    return document


async def arrived(scene: Scene) -> set[str]:
    """Return the event ids in the database, each a whole event with one retry; books them."""
    connection = await scene.connect()
    rows = await connection.fetch(ARRIVED)
    for event_id, payload, ids in rows:
        assert json.loads(payload)["number"] == int(event_id.rpartition("-")[2])
        assert len(ids) == 1
    scene.ids = [row[2][0] for row in rows]
    return {row[0] for row in rows}
