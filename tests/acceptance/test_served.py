"""The running worker as Prometheus, an orchestrator and a parent process see it."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

import retryd
from tests.acceptance.running import Running, running
from tests.postgres import Connection, Database
from tests.waiting import until

APP = """
import asyncio, os, pathlib, time
import retryd

app = retryd.App()
here = pathlib.Path(__file__).parent

@app.handler("job.*")
async def job(retry):
    with (here / "calls").open("a") as calls:
        print(os.getpid(), file=calls)
    if retry.payload.get("block"):
        while not (here / "go-on").exists():
            time.sleep(0.02)
    if retry.payload.get("thread"):
        await asyncio.to_thread(time.sleep, 3600)
    if retry.payload.get("die") and retry.attempt == 1:
        os._exit(3)
"""
QUICK = {
    "RETRYD_RETRY__POLL_INTERVAL_SECONDS": "0.2",
    "RETRYD_RETRY__LEASE_SECONDS": "1",
}


@dataclass
class Served(Running):
    """A running worker and what it says over HTTP."""

    client: httpx.AsyncClient = field(kw_only=True)

    async def get(self, path: str) -> httpx.Response:
        """Ask, once it listens."""
        [listening, *_] = await until(lambda: self.said("http_listening"))
        return await self.client.get(f"{listening['address']}{path}")

    async def ready(self) -> bool:
        """Tell whether it says so."""
        return (await self.get("/readyz")).status_code == 200

    async def metric(self, name: str, **labels: str) -> float:
        """Return the value of a metric; 0 if there is none with these labels."""
        text = (await self.get("/metrics")).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


@asynccontextmanager
async def served(folder: Path, dsn: str, *options: str, **variables: str) -> AsyncIterator[Served]:
    """Run the application."""
    (folder / "billing.py").write_text(APP)
    async with (
        httpx.AsyncClient(timeout=10) as client,
        running(folder, dsn, *options, **QUICK, **variables) as worker,
    ):
        yield Served(worker.process, worker.log, client=client)


async def capture(connection: Connection, **payload: object) -> int:
    """Capture a failure that is due at once."""
    now = await connection.fetchval("select retryd.now()")
    [retry_id] = await retryd.capture(connection, "job.run.failed", payload, not_before=now)
    return retry_id


async def done(connection: Connection, count: int) -> bool:
    """Tell whether so many retries are done."""
    query = "select count(*) from retryd.place where place = 'done'"
    return bool(await connection.fetchval(query) == count)


async def test_a_worker_tells_its_health_and_its_metrics(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    await capture(connection)
    async with served(tmp_path, database.dsn) as worker:
        await until(worker.ready)
        await until(lambda: done(connection, 1))

        async def counted() -> bool:
            return await worker.metric("retryd_attempts_total", outcome="success") == 1

        await until(counted)
        assert (await worker.get("/livez")).status_code == 200
        health = (await worker.get("/health")).json()
        assert health["status"] == "ok"
        assert health["database"] == "reachable"
        assert await worker.metric("retryd_build_info", version=retryd.__version__) == 1
        assert await worker.metric("retryd_db_pool_connections", state="max") == 9
        assert await worker.metric("retryd_stale_settlements_total") == 0


async def test_a_handler_that_blocks_the_loop_leaves_the_server_alive(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    async with served(tmp_path, database.dsn) as worker:
        retry_id = await capture(connection, block=True)
        await until((tmp_path / "calls").exists)
        assert (await worker.get("/livez")).status_code == 200
        [held] = (await worker.get("/health")).json()["in_flight"]
        assert held["retry"] == retry_id
        (tmp_path / "go-on").touch()
        await until(lambda: done(connection, 1))


async def test_a_handler_that_blocks_the_loop_is_told_and_does_not_keep_signals_out(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    async with served(tmp_path, database.dsn) as worker:
        await capture(connection, block=True)
        await until((tmp_path / "calls").exists)

        async def told() -> bool:
            reasons = (await worker.get("/readyz")).json()["reasons"]
            return any("blocked the event loop" in reason for reason in reasons)

        await until(told)
        worker.process.send_signal(signal.SIGTERM)
        worker.process.send_signal(signal.SIGTERM)

        def ended() -> bool:
            with suppress(ProcessLookupError):  # two that come at once are one
                os.kill(worker.process.pid, signal.SIGTERM)  # send_signal may reap it
            return worker.process.returncode is not None

        await until(ended)
        assert worker.process.returncode == -signal.SIGTERM


async def test_a_thread_that_an_attempt_left_behind_does_not_keep_the_process_alive(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    hurry = {"RETRYD_RETRY__SHUTDOWN_TIMEOUT_SECONDS": "0.1"}
    async with served(tmp_path, database.dsn, **hurry) as worker:
        await capture(connection, thread=True)
        await until((tmp_path / "calls").exists)
        worker.process.send_signal(signal.SIGTERM)
        assert await worker.process.wait() == 0


async def test_a_worker_without_postgresql_lives_and_is_not_ready(tmp_path: Path) -> None:
    async with served(tmp_path, "postgresql://nobody@127.0.0.1:1/nowhere") as worker:
        await until(lambda: worker.said("database_away"))
        assert (await worker.get("/livez")).status_code == 200
        answer = await worker.get("/readyz")
        assert answer.status_code == 503
        assert any("PostgreSQL has been away" in reason for reason in answer.json()["reasons"])


async def test_several_processes_share_the_work_and_one_address(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    for _ in range(40):
        await capture(connection)
    one_slot = {"RETRYD_RETRY__WORKER_COUNT": "1", "RETRYD_RETRY__BATCH_SIZE": "1"}
    async with served(tmp_path, database.dsn, "--processes", "2", **one_slot) as worker:
        await until(lambda: done(connection, 40), within=30)

        async def counted() -> bool:
            return await worker.metric("retryd_attempts_total", outcome="success") == 40

        await until(counted)
        children = (await worker.get("/health")).json()["children"]
        assert len({child["pid"] for child in children}) == 2
        worker.process.send_signal(signal.SIGTERM)
        assert await worker.process.wait() == 0
        for child in children:
            assert not Path(f"/proc/{child['pid']}").exists()


async def test_a_process_that_dies_is_started_again_and_its_counts_stay(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    async with served(tmp_path, database.dsn, "--processes", "2") as worker:
        await until(worker.ready, within=30)
        for _ in range(5):
            await capture(connection)
        await until(lambda: done(connection, 5))
        await capture(connection, die=True)
        await until(lambda: done(connection, 6), within=30)
        assert [line["exit_code"] for line in worker.said("child_restarted")] == [3]

        async def counted() -> bool:
            return await worker.metric("retryd_attempts_total", outcome="success") == 6

        await until(counted)


async def test_a_second_signal_ends_all_processes_at_once(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    async with served(tmp_path, database.dsn, "--processes", "2") as worker:
        await until(worker.ready, within=30)
        children = (await worker.get("/health")).json()["children"]
        await capture(connection, block=True)
        await until((tmp_path / "calls").exists)
        worker.process.send_signal(signal.SIGTERM)
        await until(lambda: worker.said("stopping"))
        worker.process.send_signal(signal.SIGTERM)
        assert await worker.process.wait() == 1
        for child in children:
            assert not Path(f"/proc/{child['pid']}").exists()


async def test_a_signal_reaches_every_process(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    async with served(tmp_path, database.dsn, "--processes", "2") as worker:

        async def both_ready() -> bool:
            health = (await worker.get("/health")).json()
            return not any(child["problems"] for child in health["children"])

        await until(both_ready, within=30)
        worker.process.send_signal(signal.SIGUSR1)
        await until(lambda: len(worker.said("in_flight")) == 2)
        worker.process.send_signal(signal.SIGHUP)
        await until(lambda: len(worker.said("reloaded")) == 2)


async def test_processes_that_have_nothing_left_to_do_end_with_their_parent(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    for _ in range(5):
        await capture(connection)
    options = ("--processes", "2", "--until-empty")
    async with served(tmp_path, database.dsn, *options) as worker:
        assert await worker.process.wait() == 0
    assert await done(connection, 5)
