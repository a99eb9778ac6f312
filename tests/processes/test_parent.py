"""A parent and its children: real processes, real signals."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import parser

from retryd.domain.errors import RetrydError
from retryd.ports import Readiness
from retryd.processes import child as child_module
from retryd.processes.parent import Parent
from retryd.web.app import build_app
from retryd.web.server import HttpServer
from tests.processes.family import parent_of
from tests.remains import Processes
from tests.waiting import until

FAMILY = Path(__file__).with_name("family.py")


@dataclass
class Family:
    """A parent that runs; `code` is there when it has ended."""

    parent: Parent
    stop: asyncio.Event
    running: asyncio.Task[int]

    @property
    def children(self) -> list[dict[str, Any]]:
        children = self.parent.state()["children"]
        assert isinstance(children, list)
        return children

    async def at_work(self) -> list[int]:
        """Wait until every child works; returns their pids."""

        async def all_ready() -> bool:
            return await self.parent.ready() == Readiness(ready=True)

        await until(all_ready, within=30)
        return [child["pid"] for child in self.children]

    def metric(self, name: str, **labels: str) -> float | None:
        """Return a merged value."""
        text, _ = self.parent.exposition()
        for family in parser.text_string_to_metric_families(text.decode()):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return float(sample.value)
        return None

    async def ended(self) -> int:
        """Wait for the end; returns the parent's answer."""
        async with asyncio.timeout(30):
            return await self.running


@asynccontextmanager
async def family(
    count: int, behaviour: str, folder: Path, *, endless: bool = False, **times: float
) -> AsyncIterator[Family]:
    """Run a parent; ends it at the end."""
    stop = asyncio.Event()
    parent = parent_of(count, behaviour, folder, endless=endless, **times)
    running = asyncio.create_task(parent.run(stop))
    try:
        yield Family(parent, stop, running)
    finally:
        stop.set()
        await asyncio.wait([running], timeout=30)
        assert running.done()
        assert not parent.directory.exists()


def is_running(pid: int) -> bool:
    """Tell whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_children_work_drain_and_end_well(tmp_path: Path) -> None:
    async with family(2, "work", tmp_path) as run:
        pids = await run.at_work()
        assert len(set(pids)) == 2
        assert [child["reloads"] for child in run.children] == [0, 0]
        assert all(os.getsid(pid) == pid for pid in pids)
        run.stop.set()
        assert await run.ended() == 0
        assert not (await run.parent.ready()).ready
        assert not any(is_running(pid) for pid in pids)


async def test_what_children_count_is_added_up(tmp_path: Path) -> None:
    async with family(2, "work", tmp_path) as run:
        await run.at_work()
        assert run.metric("retryd_rescued_total") == 2
        assert run.metric("retryd_overrunning_threads") == 2
        assert run.metric("retryd_db_pool_connections", state="max") == 20


async def test_a_killed_child_is_replaced_and_nothing_that_it_counted_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, processes: Processes
) -> None:
    async with family(2, "work", tmp_path) as run:
        first, second = await run.at_work()
        os.kill(first, signal.SIGKILL)
        await until(lambda: run.children[0]["pid"] not in {first, None}, within=30)
        assert run.children[0]["last_exit"] == -signal.SIGKILL
        assert run.children[0]["restarts"] == 1
        pids = await run.at_work()
        assert pids[1] == second
        assert run.metric("retryd_rescued_total") == 3
        assert run.metric("retryd_overrunning_threads") == 2
        files = len(list(run.parent.directory.iterdir()))
        os.kill(pids[0], signal.SIGKILL)
        await until(lambda: run.children[0]["restarts"] == 2, within=30)
        await run.at_work()
        assert run.metric("retryd_rescued_total") == 4
        assert len(list(run.parent.directory.iterdir())) == files
    [told, _] = [each for each in caplog.records if each.getMessage() == "child_restarted"]
    assert (vars(told)["child"], vars(told)["exit_code"]) == (0, -signal.SIGKILL)


async def test_what_was_true_of_a_dead_child_is_true_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "FIRST_PAUSE_SECONDS", 1e9)
    monkeypatch.setattr(child_module, "LONGEST_PAUSE_SECONDS", 1e9)
    async with family(2, "work", tmp_path) as run:
        first, _ = await run.at_work()
        os.kill(first, signal.SIGKILL)
        await until(lambda: run.children[0]["pid"] is None)
        assert run.metric("retryd_overrunning_threads") == 1
        assert run.metric("retryd_rescued_total") == 2
        ready = await run.parent.ready()
        assert ready.ready  # the other child works
        assert ready.reasons == ("child 0: it ended with -9",)
        run.stop.set()  # which a child that waits for its turn does not hold up
        assert await run.ended() == 0


async def test_crashes_are_survived_until_it_works(tmp_path: Path) -> None:
    async with family(1, "crash twice", tmp_path) as run:
        await run.at_work()
        assert run.children[0]["restarts"] == 2
        assert run.children[0]["last_exit"] == 70
        assert run.metric("retryd_rescued_total") == 3


async def test_children_that_are_done_are_not_started_again(tmp_path: Path) -> None:
    async with family(2, "done", tmp_path) as run:
        assert await run.ended() == 0
    assert len(list(tmp_path.iterdir())) == 2


async def test_a_configuration_that_one_cannot_use_ends_all(tmp_path: Path) -> None:
    async with family(2, "misused", tmp_path) as run:
        assert await run.ended() == 2


async def test_a_child_that_is_refused_before_it_was_ever_ready_ends_all(tmp_path: Path) -> None:
    async with family(2, "refused", tmp_path) as run:
        assert await run.ended() == 1


async def test_a_configuration_that_went_bad_later_ends_nobody(tmp_path: Path) -> None:
    async with family(1, "misused later", tmp_path) as run:
        await run.at_work()
        (tmp_path / "seen").touch()
        await until(lambda: run.children[0]["restarts"])
        assert run.children[0]["last_exit"] == 2
        assert not run.running.done()


async def test_an_endless_child_that_ends_well_is_started_again(tmp_path: Path) -> None:
    async with family(1, "done", tmp_path, endless=True) as run:
        await until(lambda: run.children[0]["restarts"])
        assert run.children[0]["last_exit"] == 0
        assert not run.running.done()


async def test_a_child_that_does_not_end_is_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with family(1, "deaf", tmp_path, shutdown=0.1, margin=0.2) as run:
        await run.at_work()  # a blocked loop does not silence the link
        run.stop.set()
        assert await run.ended() == 1
    assert "children_killed" in [each.getMessage() for each in caplog.records]


async def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    async with family(1, "slow", tmp_path, shutdown=60) as run:
        await run.at_work()
        run.stop.set()
        await until((tmp_path / "stopping").exists)  # the first one has arrived
        run.parent.forward(signal.SIGTERM)
        assert await run.ended() == 1


async def test_a_stop_before_the_start_is_over_is_no_problem(tmp_path: Path) -> None:
    async with family(2, "work", tmp_path) as run:
        await until(lambda: run.children[0]["pid"])
        run.stop.set()
        assert await run.ended() == 0


async def test_signals_are_handed_on(tmp_path: Path) -> None:
    async with family(2, "work", tmp_path) as run:
        run.parent.forward(signal.SIGHUP)  # nobody is there yet
        await run.at_work()
        run.parent.forward(signal.SIGHUP)
        await until(lambda: [child["reloads"] for child in run.children] == [1, 1])


async def test_a_signal_that_a_child_cannot_expect_yet_does_not_reach_it(tmp_path: Path) -> None:
    async with family(1, "work", tmp_path) as run:
        await until(lambda: run.children[0]["pid"])
        run.parent.forward(signal.SIGHUP)  # its default would be the end
        await run.at_work()
        assert run.children[0]["restarts"] == 0


async def test_nobody_is_ready_when_no_child_is(tmp_path: Path) -> None:
    async with family(2, "away", tmp_path) as run:
        expected = tuple(f"child {number}: PostgreSQL is away" for number in range(2))

        async def told() -> bool:
            ready = await run.parent.ready()
            assert not ready.ready
            return ready.reasons == expected

        await until(told, within=30)


async def test_a_stopped_child_is_told_to_be_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with family(1, "work", tmp_path) as run:
        [pid] = await run.at_work()
        monkeypatch.setattr(child_module, "SILENT_SECONDS", 1.5)
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: "it has been silent for 2 s" in run.children[0]["problems"])
        assert not (await run.parent.ready()).ready
        os.kill(pid, signal.SIGCONT)
        await run.at_work()


async def test_the_parent_serves_http_for_all(tmp_path: Path) -> None:
    async with family(2, "work", tmp_path) as run:
        await run.at_work()
        app = build_app(run.parent, run.parent.exposition, "test")
        server = HttpServer("127.0.0.1", 0, app)
        server.start()
        try:
            address = await until(lambda: server.address)
            assert address is not None
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{address[1]}") as client:
                assert (await client.get("/readyz")).json() == {"ready": True, "reasons": []}
                health = (await client.get("/health")).json()
                assert [child["child"] for child in health["children"]] == [0, 1]
                assert "retryd_rescued_total 2.0" in (await client.get("/metrics")).text
        finally:
            await asyncio.to_thread(server.stop)


@pytest.mark.parametrize("behaviour", ["work", "deaf"])
async def test_no_child_outlives_its_parent(tmp_path: Path, behaviour: str) -> None:
    command = [sys.executable, str(FAMILY), "2", behaviour, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        directory = Path(parent.stdout.readline().strip())
        try:
            await until(lambda: len(list(tmp_path.iterdir())) == 2, within=30)
            pids = [int(path.name.partition("-")[2]) for path in tmp_path.iterdir()]
        finally:
            parent.kill()
    await until(lambda: not any(is_running(pid) for pid in pids))
    assert not directory.exists()


async def test_a_parent_that_is_cancelled_leaves_nobody_behind(tmp_path: Path) -> None:
    async with family(2, "work", tmp_path) as run:
        pids = await run.at_work()
        run.running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run.running
        await until(lambda: not any(is_running(pid) for pid in pids))


async def test_children_that_cannot_be_started_are_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "retryd")
    parent = Parent([str(tmp_path / "missing")], 1, shutdown_seconds=1)
    stop = asyncio.Event()
    running = asyncio.create_task(parent.run(stop))
    told = "child_not_started"
    await until(lambda: [each.getMessage() for each in caplog.records].count(told) > 1)
    stop.set()
    assert await running == 0


def test_where_nothing_may_be_written_a_parent_tells_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(RetrydError, match=r"No such file or directory\): let /tmp be writable"):
        Parent(["true"], 2, shutdown_seconds=1)
