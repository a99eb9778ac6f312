"""Events over HTTP while PostgreSQL is away, the process is killed, or too many come."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.faults.fleet import TOKEN, Member
from tests.faults.scene import Scene
from tests.waiting import until

PATH: Final = "/api/v1/events"
BATCH: Final = {"content-type": "application/cloudevents-batch+json"}
STRUCTURED: Final = {"content-type": "application/cloudevents+json"}
FLOOD_SECONDS: Final = 3.0
MEMORY: Final = 64 * 1024  # kB


def event(id: str) -> dict[str, Any]:
    """Make a CloudEvent that is not due for long."""
    required = {"specversion": "1.0", "id": id, "source": "/shop", "type": "work.run.failed"}
    return {**required, "notbefore": "2999-01-01T00:00:00Z", "data": {"id": id}}


async def door_of(member: Member) -> httpx.AsyncClient:
    """Return a client of the server of a process."""
    await until(lambda: member.said("http_listening"), within=30)
    address = member.said("http_listening")[-1]["address"]
    bearer = {"authorization": f"Bearer {TOKEN}"}
    return httpx.AsyncClient(base_url=address, headers=bearer, trust_env=False, timeout=20)


async def names(scene: Scene) -> list[str]:
    """Return the ids of the events in PostgreSQL, as often as they have a retry; book them."""
    found = await scene.value(
        "select coalesce(json_agg(json_build_array(event_id, id) order by event_id), '[]')"
        " from retryd.retries"
    )
    rows = json.loads(found)
    scene.ids = [row[1] for row in rows]
    return [row[0] for row in rows]


async def names_are(scene: Scene, wanted: list[str]) -> bool:
    """Tell whether these events are there, each once, and no others."""
    return await names(scene) == sorted(wanted)


async def test_what_was_answered_202_outlives_a_kill_and_is_in_the_queue_once(
    scene: Scene, tmp_path: Path
) -> None:
    spool = {"RETRYD_SPOOL__DIRECTORY": str(tmp_path / "spool")}
    member = await scene.fleet.started(**spool)
    kept: list[str] = []
    async with await door_of(member) as door:
        committed = await door.post(PATH, json=event("before"), headers=STRUCTURED)
        assert committed.json()["durability"] == "committed"
        await scene.server.crash()

        async def post(number: int) -> None:
            ids = [f"{number}-{part}" for part in range(3)]
            answer = await door.post(PATH, json=[event(id) for id in ids], headers=BATCH)
            assert answer.json()["durability"] == "spool"
            assert answer.status_code == 202
            kept.extend(ids)

        async def post_alone(number: int) -> None:
            answer = await door.post(PATH, json=event(f"alone-{number}"), headers=STRUCTURED)
            assert (answer.status_code, answer.json()["ids"]) == (202, [])
            kept.append(f"alone-{number}")

        await asyncio.gather(*map(post, range(20)), *map(post_alone, range(20)))
        twice = await door.post(PATH, json=event("alone-0"), headers=STRUCTURED)
        assert twice.status_code == 202
        assert len(member.said("events_spooled")) == 1
    await member.kill()
    await scene.server.start()
    await scene.fleet.started(**spool)
    await until(lambda: names_are(scene, ["before", *kept]), within=30)
    await scene.close()


async def test_the_door_works_from_the_start_without_postgresql_and_after_it_came(
    scene: Scene, tmp_path: Path
) -> None:
    await scene.server.crash()
    member = await scene.fleet.start(RETRYD_SPOOL__DIRECTORY=str(tmp_path / "spool"))
    async with await door_of(member) as door:
        first = await door.post(PATH, json=event("1"), headers=STRUCTURED)
        assert first.status_code == 202
        await scene.server.start()

        async def committed() -> bool:
            answer = await door.post(PATH, json=event("2"), headers=STRUCTURED)
            return answer.status_code != 202

        await until(committed, within=30)
        assert member.said("events_captured_again")
    await until(lambda: names_are(scene, ["1", "2"]), within=30)
    await scene.close()


async def test_an_outage_in_the_middle_of_everything_loses_and_doubles_nothing(
    scene: Scene, tmp_path: Path
) -> None:
    member = await scene.fleet.started(RETRYD_SPOOL__DIRECTORY=str(tmp_path / "spool"))
    kept: list[str] = []
    over = asyncio.Event()
    async with await door_of(member) as door:

        async def post(sender: int) -> None:
            number = 0
            while not over.is_set():
                ids = [f"{sender}-{number}-{part}" for part in range(1 + number % 3)]
                answer = await door.post(PATH, json=[event(id) for id in ids], headers=BATCH)
                assert answer.status_code in {201, 202}, answer.text
                kept.extend(ids)
                number += 1

        senders = [asyncio.create_task(post(sender)) for sender in range(4)]
        await until(lambda: len(kept) > 200)
        await scene.server.crash()
        await until(lambda: member.said("events_spooled"))
        before = len(kept)
        await until(lambda: len(kept) > before + 100)
        await scene.server.start()
        await until(lambda: member.said("events_captured_again"), within=30)
        over.set()
        await asyncio.gather(*senders)
    await until(lambda: names_are(scene, kept), within=30)
    await scene.close()


@pytest.mark.parametrize("headers", [STRUCTURED, {**STRUCTURED, "retryd-hops": "4"}])
async def test_a_crash_takes_back_nothing_that_the_door_called_committed(
    scene: Scene, headers: dict[str, str]
) -> None:
    await scene.server.alter("wal_writer_delay", "10000")  # so long nobody else flushes for it
    await scene.set_for_workers("synchronous_commit", "off")
    member = await scene.fleet.started()
    async with await door_of(member) as door:
        answer = await door.post(PATH, json=event("1"), headers=headers)
        assert answer.json()["durability"] == "committed"
    scene.ids = [int(id) for id in answer.json()["ids"]]
    await scene.server.crash()
    await scene.server.start()
    await scene.close()


async def test_a_parent_of_several_takes_events_and_counts_them(scene: Scene) -> None:
    member = await scene.fleet.start("--processes", "2")
    async with await door_of(member) as door:
        answer = await door.post(PATH, json=event("1"), headers=STRUCTURED)
        assert answer.status_code == 201
        assert await member.metric("retryd_captured_total") == 1
        await until(lambda: names_are(scene, ["1"]))
    await scene.close()


async def test_a_flood_is_answered_429_with_memory_flat_and_the_rest_answering(
    scene: Scene,
) -> None:
    member = await scene.fleet.started(
        RETRYD_HTTP__MAX_QUEUE_DEPTH="2000", RETRYD_RETRY__ENABLED="false"
    )
    statuses: dict[int, int] = {}
    async with await door_of(member) as door:
        body = json.dumps([{"event_type": "work.run.failed", "payload": "x" * 200}] * 100)
        over = time.monotonic() + FLOOD_SECONDS
        slowest = 0.0

        async def flood() -> None:
            while time.monotonic() < over:
                answer = await door.post(
                    PATH, content=body, headers={"content-type": "application/json"}
                )
                statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
                assert answer.status_code in {201, 429}
                if answer.status_code == 429:
                    assert int(answer.headers["retry-after"]) > 0

        async def look() -> None:
            nonlocal slowest
            while time.monotonic() < over:
                began = time.monotonic()
                assert (await member.get("/livez")).status_code == 200
                slowest = max(slowest, time.monotonic() - began)

        await door.post(PATH, content=body, headers={"content-type": "application/json"})
        before = resident(member.pid)
        await asyncio.gather(look(), *(flood() for _ in range(16)))
        grown = resident(member.pid) - before
    assert statuses[201] <= 20
    assert statuses[429] > 20
    assert len(await names(scene)) <= 2000
    assert grown < MEMORY
    assert slowest < 2
    await scene.close()


def resident(pid: int) -> int:
    """Return the memory that a process has, in kB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("VmRSS")]
    return int(line.split()[1])
