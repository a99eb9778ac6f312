"""Workers die, hang, freeze and are told to go: no retry is lost, none takes others along."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

import retryd
from retryd.testing import make_retry
from retryd.worker.leases import Leases
from tests.faults.fleet import Effect, Member
from tests.faults.scene import Scene
from tests.waiting import until

ONE_SLOT = {"RETRYD_RETRY__WORKER_COUNT": "1"}
TWO_SLOTS = {"RETRYD_RETRY__WORKER_COUNT": "2"}
SHORT = {"RETRYD_RETRY__LEASE_SECONDS": "1", "RETRYD_RETRY__POLL_INTERVAL_SECONDS": "0.1"}
PATIENT = {"RETRYD_RETRY__SHUTDOWN_TIMEOUT_SECONDS": "60"}

CRASHING = """
import contextlib, ctypes, os, pathlib, sys
import retryd
from application import HERE, app, note

@app.handler("crash.*")
async def crash(retry):
    note(retry, "start")
    match retry.payload["do"]:
        case "segfault":
            ctypes.string_at(0)
        case "spin":
            while not (HERE / retry.payload["until"]).exists():
                for _ in range(1_000_000):
                    pass
        case "boot again" if retry.attempt == 1:
            os.execv(sys.executable, sys.orig_argv)
        case "eat":
            kept = []
            for size in (2**20, 2**10):
                with contextlib.suppress(MemoryError):
                    while True:
                        kept.append(bytearray(size))
            kept.append(bytearray(2**20))
    note(retry, "effect")

def eat(retry):
    note(retry, "start")
    kept = [bytearray(2**20) for _ in range(retry.payload["megabytes"])]
    note(retry, "effect")
"""
TOKENS = "select id, claim_token from retryd.retry_queue where id = any($1::bigint[])"
LEASES = "select min(lease_expires_at) from retryd.retry_queue where id = any($1::bigint[])"


@pytest.fixture
def crashing(scene: Scene) -> tuple[str, ...]:
    """The options that load the application with what kills and blocks its worker."""
    (scene.fleet.folder / "crashing.py").write_text(CRASHING)
    return ("--app", "crashing:app")


async def begun(scene: Scene, times: int = 1) -> list[Effect]:
    """Wait until so many attempts have begun; returns them."""
    await until(lambda: len(scene.fleet.effects("start")) >= times)
    return scene.fleet.effects("start")


async def renewed(scene: Scene, ids: Iterable[int], *, leases: int, seconds: float = 2) -> None:
    """Wait until the leases of these end so many leases later than now."""
    chosen = list(ids)
    before = await scene.value(LEASES, chosen)

    async def later() -> bool:
        now = await scene.value(LEASES, chosen)
        return bool((now - before).total_seconds() >= leases * seconds)

    await until(later, within=20)


async def rows(scene: Scene, query: str, *arguments: object) -> list[asyncpg.Record]:
    """Ask the database for rows."""
    connection = await scene.connect()
    return await connection.fetch(query, *arguments)


async def stale(member: Member) -> bool:
    """Tell whether a worker counts settlements that came too late."""
    return await member.metric("retryd_stale_settlements_total") > 0


async def test_what_was_claimed_and_not_started_when_its_worker_was_killed_is_run_by_another(
    scene: Scene,
) -> None:
    await scene.capture(2, do="hang")
    first = await scene.fleet.started(**ONE_SLOT)
    await begun(scene)
    await until(lambda: claims(scene, 2))
    await first.kill()
    assert await scene.claimed() == 2
    [started] = scene.fleet.effects("start")
    scene.fleet.go_on()
    await scene.fleet.started()
    await scene.drained()
    unstarted = [effect for effect in scene.fleet.effects("start") if effect.id != started.id]
    assert [effect.attempt for effect in unstarted] == [2]
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost, ledger.effects) == (2, 2, 2)


async def claims(scene: Scene, times: int) -> bool:
    """Tell whether so many retries are held."""
    return await scene.claimed() == times


async def test_an_effect_whose_settlement_died_with_its_worker_is_made_again_and_never_lost(
    scene: Scene,
) -> None:
    await scene.capture(do="hang")
    first = await scene.fleet.started()
    await begun(scene)
    async with unsettled(scene):
        scene.fleet.go_on()
        waits = "wait_event_type = 'Lock' and query like '%settle_retries%'"
        await until(lambda: scene.server.backends("retryd/%", waits))
        await first.kill()
        assert await scene.server.terminate("retryd/%", also=waits) == 1
    assert len(scene.fleet.effects()) == 1
    assert await scene.count("live") == 1
    await scene.fleet.started()
    await scene.drained()
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost, ledger.effects) == (1, 1, 2)


@asynccontextmanager
async def unsettled(scene: Scene) -> AsyncIterator[None]:
    """Let nobody settle: every settlement waits for the log of attempts."""
    connection = await scene.connect()
    async with connection.transaction():
        await connection.execute("lock table retryd.retry_attempt in share mode")
        yield


async def test_workers_that_are_killed_again_and_again_lose_nothing(scene: Scene) -> None:
    kills, settings = 4, {**SHORT, "RETRYD_RETRY__MAX_LOST_ATTEMPTS": "20"}
    workers = [await scene.fleet.started(**settings) for _ in range(2)]
    for number in range(kills):
        await scene.capture(20, do="nap", seconds=0.5)
        await made(scene, len(scene.fleet.effects()) + 4)
        assert await scene.claimed() > 0
        await workers[number % 2].kill()
        workers[number % 2] = await scene.fleet.started(**settings)
    await scene.drained(within=30)
    ledger = await scene.close(max_lost=kills)
    assert ledger.completed == 80
    assert ledger.lost >= kills


async def made(scene: Scene, effects: int) -> None:
    """Wait until there are so many effects."""
    await until(lambda: len(scene.fleet.effects()) >= effects, within=30)


async def test_a_worker_that_was_stopped_past_its_lease_changes_nothing_and_counts_it(
    scene: Scene,
) -> None:
    await scene.capture(do="deaf")
    first = await scene.fleet.started()
    await begun(scene)
    first.freeze()
    second = await scene.fleet.started(RETRYD_RETRY__LEASE_SECONDS="60")
    await begun(scene, 2)
    [held] = await rows(scene, TOKENS, scene.ids)
    second.freeze()  # it holds the retry while the first one reports
    scene.fleet.go_on()
    first.thaw()
    await until(lambda: stale(first))
    assert await rows(scene, TOKENS, scene.ids) == [held]
    assert await claims(scene, 1)
    second.thaw()
    await scene.drained()
    assert not await stale(second)
    ledger = await scene.close(stale=1)
    assert (ledger.completed, ledger.lost, ledger.effects) == (1, 1, 2)


@pytest.mark.parametrize(("operation", "do"), [("work.run", "block"), ("crash.run", "spin")])
async def test_a_handler_that_blocks_the_loop_costs_no_other_attempt_its_lease(
    operation: str, do: str, scene: Scene, crashing: tuple[str, ...]
) -> None:
    await scene.capture(2, do="hang", until="others")
    await scene.fleet.started(*crashing)
    await begun(scene, 2)
    others = list(scene.ids)
    blocking = await scene.capture(operation=operation, do=do, until="unblock")
    await until(lambda: blocking in {effect.id for effect in scene.fleet.effects("start")})
    scene.fleet.go_on("others")
    await renewed(scene, others, leases=2)
    assert not scene.fleet.effects(), "the loop was blocked all the time"
    scene.fleet.go_on("unblock")
    await scene.drained()
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost, ledger.effects) == (3, 0, 3)


async def test_what_waits_behind_a_blocked_loop_is_given_back_and_run_by_another(
    scene: Scene,
) -> None:
    blocking = await scene.capture(do="block", until="unblock")
    waiting = await scene.capture()
    first = await scene.fleet.started(**ONE_SLOT)
    await begun(scene)
    await until(lambda: claims(scene, 2))
    await until(lambda: first.said("loop_blocked"))
    await until(lambda: claims(scene, 1))
    second = await scene.fleet.started()
    await until(scene.fleet.effects)
    scene.fleet.go_on("unblock")
    await scene.drained()
    ran = [(effect.id, effect.attempt, effect.pid) for effect in scene.fleet.effects()]
    assert ran == [(waiting, 1, second.pid), (blocking, 1, first.pid)]
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost) == (2, 0)


async def test_retries_that_kill_their_worker_end_as_worker_lost_and_take_nobody_along(
    scene: Scene, crashing: tuple[str, ...]
) -> None:
    await scene.capture(10, do="nap", seconds=0.3)
    pills = [
        await scene.capture(do="exit"),
        await scene.capture(operation="crash.run", do="segfault"),
    ]
    await scene.capture(10, do="nap", seconds=0.3)
    deaths: list[int] = []

    async def supervise() -> None:
        while True:
            member = await scene.fleet.start(*crashing, **SHORT)
            deaths.append(await member.ended(within=60))

    supervisors = [asyncio.create_task(supervise()) for _ in range(2)]
    await scene.drained(within=90)
    for supervisor in supervisors:
        supervisor.cancel()
    assert {1, -signal.SIGSEGV} <= set(deaths)
    assert len(deaths) <= 6
    letters = "select array_agg(id order by id) from retryd.dead_letter where reason = $1"
    assert await scene.value(letters, "worker_lost") == pills
    lost = "select max(lost_attempts) from retryd.retry_archive"
    assert await scene.value(lost) < 3
    ledger = await scene.close()
    assert (ledger.completed, ledger.dead) == (20, 2)


async def test_an_attempt_that_takes_all_memory_fails_alone(
    scene: Scene, crashing: tuple[str, ...]
) -> None:
    hungry = {
        "match": ["memory.*"],
        "kind": "python",
        "target": "crashing:eat",
        "isolation": "process",
        "memory_mb": 512,
    }
    config = scene.fleet.folder / "config.json"
    config.write_text(json.dumps({"handlers": {"hungry": hungry}}))
    member = await scene.fleet.started("--config", str(config), *crashing)
    too_much = await scene.capture(operation="memory.eat", megabytes=1_000)
    await scene.capture(operation="memory.eat", megabytes=10)
    await scene.capture(5, do="nap", seconds=0.1)
    await scene.drained(within=30)
    letter = "select reason, error_type from retryd.dead_letter where id = $1"
    [dead] = await rows(scene, letter, too_much)
    assert dead["reason"] == "exhausted"
    assert dead["error_type"] in {"MemoryError", "ProcessDied"}
    assert member.running
    ledger = await scene.close()
    assert (ledger.completed, ledger.dead, ledger.lost) == (6, 1, 0)


async def test_an_attempt_that_takes_all_memory_of_its_worker_fails_and_the_others_go_on(
    scene: Scene, crashing: tuple[str, ...]
) -> None:
    member = await scene.fleet.started(*crashing)
    await scene.capture(2, do="hang")
    await begun(scene, 2)
    all_there_is = addressed(member) + 128 * 2**20
    resource.prlimit(member.pid, resource.RLIMIT_AS, (all_there_is, all_there_is))
    hungry = await scene.capture(operation="crash.run", do="eat")
    await until(lambda: dead_of(scene, hungry, "MemoryError"), within=20)
    scene.fleet.go_on()
    await scene.capture(5)
    await scene.drained()
    assert member.running
    ledger = await scene.close()
    assert (ledger.completed, ledger.dead, ledger.lost, ledger.effects) == (7, 1, 0, 7)


def addressed(member: Member) -> int:
    """Return how many bytes of addresses a worker has; its limit is on these."""
    pages = int(Path(f"/proc/{member.pid}/statm").read_text().split()[0])
    return pages * resource.getpagesize()


async def dead_of(scene: Scene, id: int, error_type: str) -> bool:
    """Tell whether a retry has spent its attempts on this error."""
    letter = "select reason, error_type from retryd.dead_letter where id = $1"
    return [tuple(row) for row in await rows(scene, letter, id)] == [("exhausted", error_type)]


async def test_leases_are_renewed_while_a_worker_drains(scene: Scene) -> None:
    await scene.capture(2, do="hang")
    first = await scene.fleet.started(**SHORT, **PATIENT)
    await begun(scene, 2)
    await scene.fleet.started(**SHORT)
    first.signal(signal.SIGTERM)
    await until(lambda: first.said("stopping"))
    await until(lambda: not_ready(first))
    await renewed(scene, scene.ids, leases=3, seconds=1)
    assert first.running
    scene.fleet.go_on()
    assert await first.ended() == 0
    await scene.drained()
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost, ledger.effects) == (2, 0, 2)
    assert {effect.pid for effect in scene.fleet.effects()} == {first.pid}


async def not_ready(member: Member) -> bool:
    """Tell whether a worker lives and wants no work."""
    return (await member.get("/readyz")).status_code == 503 and (
        await member.get("/livez")
    ).status_code == 200


@pytest.mark.parametrize("last", [signal.SIGTERM, signal.SIGKILL])
async def test_a_worker_that_is_ended_while_it_drains_is_taken_over_from(
    last: signal.Signals, scene: Scene
) -> None:
    await scene.capture(3, do="hang")
    first = await scene.fleet.started(**ONE_SLOT, **PATIENT)
    await begun(scene)
    await until(lambda: claims(scene, 2))
    first.signal(signal.SIGTERM)
    await until(lambda: claims(scene, 1))  # the unstarted one was given back
    assert await scene.given_back() == 2
    first.signal(last)
    assert await first.ended(within=5) == -last
    scene.fleet.go_on()
    await scene.fleet.started()
    await scene.drained()
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost, ledger.effects) == (3, 1, 3)


async def test_a_worker_that_boots_again_under_its_old_pid_is_another_worker(
    scene: Scene, crashing: tuple[str, ...]
) -> None:
    retry_id = await scene.capture(operation="crash.run", do="boot again")
    member = await scene.fleet.started(*crashing)
    await scene.drained()
    boots = [line["worker"] for line in member.said("worker_started")]
    assert len(boots) == 2
    assert {boot.rpartition("/")[0] for boot in boots} == {boots[0].rpartition("/")[0]}
    assert boots[0] != boots[1]
    log = "select array_agg(worker order by claim_token) from retryd.retry_attempt where retry = $1"
    assert await scene.value(log, retry_id) == boots
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost) == (1, 1)


@pytest.mark.parametrize(("operation", "do"), [("work.run", "deaf"), ("plain.run", "hang")])
async def test_attempts_that_cannot_be_stopped_keep_their_slots(
    operation: str, do: str, scene: Scene
) -> None:
    impatient = '{"default": {"timeout_seconds": 0.2, "initial_delay_seconds": 0.05}}'
    await scene.capture(6, operation=operation, do=do)
    member = await scene.fleet.started(**TWO_SLOTS, RETRYD_RETRY__RETRY_POLICIES=impatient)
    await begun(scene, 2)
    await until(lambda: all(overrun(effect, 1.0) for effect in scene.fleet.effects("start")))
    if operation == "plain.run":
        assert await member.metric("retryd_overrunning_threads") == 2
    assert len(scene.fleet.effects("start")) == 2
    scene.fleet.go_on()
    await scene.drained()
    assert most_at_once(scene) == 2
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost) == (6, 0)


def overrun(effect: Effect, seconds: float) -> bool:
    """Tell whether an attempt began so long ago; clocks of one machine agree."""
    return time.monotonic() - effect.at > seconds


def most_at_once(scene: Scene) -> int:
    """Return how many attempts ran at the same time."""
    ends = [(effect.at, 1) for effect in scene.fleet.effects("start")]
    ends += [(effect.at, -1) for effect in scene.fleet.effects()]
    running, most = 0, 0
    for _, change in sorted(ends):
        running += change
        most = max(most, running)
    return most


async def test_a_claim_whose_deadline_has_passed_is_not_started(scene: Scene) -> None:
    await scene.capture(2, do="hang")
    member = await scene.fleet.started(**ONE_SLOT)
    [first] = await begun(scene)
    await until(lambda: claims(scene, 2))
    held = {row["id"]: row["claim_token"] for row in await rows(scene, TOKENS, scene.ids)}
    [tail] = held.keys() - {first.id}
    member.freeze()
    await until(lambda: scene.value(f"select ({LEASES}) <= retryd.now()", scene.ids))
    taken = await rows(scene, "select id from retryd.take_expired_leases('other', 9, '1 s')")
    assert {row["id"] for row in taken} == set(scene.ids)
    scene.fleet.go_on()  # so that the slot is free for it as soon as the worker goes on
    member.thaw()
    await scene.drained()
    assert held[tail] not in {effect.token for effect in scene.fleet.effects("start")}
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost) == (2, 2)


def test_what_was_taken_back_just_before_its_start_is_not_started() -> None:
    retry = make_retry()
    leases = Leases(seconds=1.0)
    leases.add([retry], 0.0)
    held = leases.get(retry)
    assert held is not None
    assert leases.take_back(1.0) == [retry]
    assert not leases.start(held, 1.0, 30.0, None)


async def test_memory_does_not_grow_with_the_number_of_event_types(scene: Scene) -> None:
    member = await scene.fleet.started()
    await run_types(scene, range(500))
    early = resident(member)
    await run_types(scene, range(500, 3_000))
    assert resident(member) < early + 8 * 2**20
    exposed = (await member.get("/metrics")).text
    assert 'handler="work"' in exposed
    assert "work.t" not in exposed
    assert len(exposed.splitlines()) < 300
    assert (await scene.close()).completed == 3_000


async def run_types(scene: Scene, numbers: range) -> None:
    """Run one retry of each of so many event types."""
    connection = await scene.connect()
    now = await connection.fetchval("select retryd.now()")
    events = [{"event_type": f"work.t{number}.failed", "not_before": now} for number in numbers]
    scene.ids += await retryd.capture_many(connection, events)
    await scene.drained(within=60)


def resident(member: Member) -> int:
    """Return how many bytes of memory a worker has."""
    pages = int(Path(f"/proc/{member.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def test_a_payload_that_cannot_be_read_dies_alone(scene: Scene) -> None:
    await scene.capture(5)
    unreadable = await scene.capture()
    await scene.capture(5)
    connection = await scene.connect()
    await connection.execute(  # past the doors, which refuse it
        "update retryd.failure_event e set payload = $2::text::jsonb"
        " from retryd.retry_queue q where q.id = $1 and e.id = q.event",
        unreadable,
        "[" * 5_000 + "]" * 5_000,
    )
    member = await scene.fleet.started()
    await scene.drained()
    letters = await connection.fetch("select id, reason from retryd.dead_letter")
    assert [letter["id"] for letter in letters] == [unreadable]
    assert letters[0]["reason"] in {"undecodable", "exhausted", "rejected"}
    assert member.running
    ledger = await scene.close()
    assert (ledger.completed, ledger.dead, ledger.lost) == (10, 1, 0)
