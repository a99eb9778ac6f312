"""A worker inside the test, on a database of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

import retryd
from retryd.domain.policy import Policy
from retryd.domain.retry import Retry
from retryd.handlers.python import PythonHandler
from retryd.ports import Handler
from retryd.service import Service
from retryd.store.lines import open_lines
from retryd.store.pool import Pool, open_pool
from retryd.store.queue import Queue
from retryd.telemetry.attempts import AttemptLines
from retryd.telemetry.metrics import Metrics
from retryd.telemetry.observers import Observers
from retryd.worker.plan import Plan
from retryd.worker.pruner import Retention
from retryd.worker.supervisor import Worker
from tests.canary import CANARY, hide_password, sings
from tests.postgres import Connection, Database
from tests.waiting import until

QUICK = Policy(initial_delay_seconds=0.01, max_delay_seconds=0.05, timeout_seconds=5)


@dataclass
class Bench:
    """What a worker test needs: the database, ways to look at it and to work on it."""

    database: Database
    connection: Connection
    pool: Pool
    dsn: str
    policies: list[Policy] = field(default_factory=lambda: [QUICK])
    metrics: Metrics = field(default_factory=Metrics)
    sources: list[Service] = field(default_factory=list)

    def plan(self, **changes: Any) -> Plan:
        """Return a plan that is quick to wake and listens."""
        plan = Plan(
            claims=True,
            batch_size=10,
            worker_count=3,
            poll_seconds=0.1,
            lease_seconds=30,
            shutdown_seconds=5,
            retention=Retention(7, 7, 90),
            listen_dsn=self.database.dsn,
            version="test",
        )
        return replace(plan, **changes)

    @asynccontextmanager
    async def working(self, app: retryd.App, **changes: Any) -> AsyncIterator[Worker]:
        """Run a worker for the handlers of an app; drains at the end."""
        handlers = [PythonHandler(registration) for registration in app.handlers.values()]
        async with self.serving(handlers, **changes) as worker:
            yield worker

    @asynccontextmanager
    async def serving(self, handlers: Sequence[Handler], **changes: Any) -> AsyncIterator[Worker]:
        """Run a worker for these handlers; drains at the end."""
        async with open_lines(self.dsn, f"worker-{id(handlers)}", size=10) as lines:
            await lines.shared.publish_handlers(handler.definition for handler in handlers)
            observer = Observers(self.metrics, AttemptLines())
            plan = self.plan(**changes)
            worker = Worker(lines, handlers, self.policies, observer, plan, sources=self.sources)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(worker.run())
                try:
                    yield worker
                finally:
                    worker.stop()

    async def capture(self, event_type: str = "job.run.failed", **arguments: Any) -> int:
        """Capture one event that is due at once; return the id of its retry."""
        arguments.setdefault("not_before", await self.connection.fetchval("select retryd.now()"))
        arguments.setdefault("payload", {"note": CANARY})
        arguments.setdefault("attributes", {"note": CANARY})
        [retry_id] = await retryd.capture(self.connection, event_type, **arguments)
        return retry_id

    async def place(self, retry_id: int) -> str | None:
        """Return where a retry is."""
        query = "select place from retryd.place where id = $1"
        found: str | None = await self.connection.fetchval(query, retry_id)
        return found

    async def reached(self, place: str, *ids: int) -> None:
        """Wait until all these retries are there."""

        async def there() -> bool:
            return {await self.place(retry_id) for retry_id in ids} == {place}

        await until(there)

    async def row(self, retry_id: int) -> dict[str, Any]:
        """Return the hot row of a live retry."""
        found = await self.connection.fetchrow(
            "select * from retryd.retry_queue where id = $1", retry_id
        )
        assert found is not None
        return dict(found)

    async def dead_letter(self, retry_id: int) -> dict[str, Any]:
        """Return the case file of a retry."""
        found = await self.connection.fetchrow(
            "select * from retryd.dead_letter where id = $1", retry_id
        )
        assert found is not None
        return dict(found)

    async def outcomes(self, retry_id: int) -> list[str]:
        """Return the outcomes of a retry's attempts, in order."""
        query = "select outcome from retryd.retry_attempt where retry = $1 order by claim_token"
        return [row[0] for row in await self.connection.fetch(query, retry_id)]

    def metric(self, name: str, **labels: str) -> float:
        """Return a metric's value."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
async def bench(database: Database, connection: Connection) -> AsyncIterator[Bench]:
    """The database of one test and a pool for its workers."""
    hide_password(database.dsn)
    async with open_pool(database.dsn, size=6, application="retryd/test") as pool:
        await connection.execute(
            "update retryd.retry_policy set first_delay_low = 0, first_delay_high = 0"
        )
        bench = Bench(database, connection, pool, database.dsn)
        yield bench
        assert not sings(bench.metrics.exposition()[0].decode())


async def claim(queue: Queue, lease_seconds: float) -> Sequence[Retry]:
    """Claim what is due as a worker that has just begun."""
    found, _ = await queue.look_ahead(["job"], None)
    lanes = [lane for lane, _ in found]
    return (await queue.claim_retries(10, lease_seconds, lanes)).retries


def app_with(
    function: Callable[..., object], patterns: Sequence[str] = ("job.*",), name: str = "job"
) -> retryd.App:
    """Return an app whose only handler is this function."""
    app = retryd.App()
    app.handler(*patterns, name=name)(function)
    return app
