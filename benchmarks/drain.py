"""How fast one worker process drains due retries of a handler that does nothing.

    python -m benchmarks.drain --dsn postgresql://… [--items 20000] [--batch 600] [--slots 300]

Everything is on as in production: attempt log, archive, fencing, leases, metrics. Prints JSON:
items/s of bulk capture, and of the drain from the first call of the handler to the last settlement.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import uvloop
from typing_extensions import override

from retryd.client.app import Registration
from retryd.client.event import encode_batch
from retryd.domain.policy import PRESETS
from retryd.handlers.python import PythonHandler
from retryd.store.lines import Lines, open_lines
from retryd.telemetry.metrics import Metrics
from retryd.worker.plan import Plan
from retryd.worker.pruner import Retention
from retryd.worker.supervisor import Worker

if TYPE_CHECKING:
    from retryd.domain.decision import Decided
    from retryd.domain.retry import Retry
    from retryd.ports import Handler
    from retryd.store.pool import Pool

CAPTURED_AT_ONCE = 1_000
WARM_UP = 2_000


class CountingMetrics(Metrics):
    """Metrics that end the worker when all is settled, and know how long that took."""

    def __init__(self, items: int) -> None:
        super().__init__()
        self.left = items
        self.first = self.last = 0.0
        self.on_last: Callable[[], None] = lambda: None

    @override
    def started(self, handler: str, seconds: float) -> None:
        """Count, and note the time of the first."""
        self.first = self.first or time.time()
        super().started(handler, seconds)

    @override
    def settled(self, decided: Sequence[Decided], results: Sequence[str]) -> None:
        """Count, and note the time."""
        super().settled(decided, results)
        self.left -= sum(result == "settled" for result in results)
        if not self.left:
            self.last = time.time()
            self.on_last()


async def capture(pool: Pool, items: int) -> float:
    """Capture events that are due at once; return items/s."""
    now = datetime.now(UTC)
    started = time.perf_counter()
    for at in range(0, items, CAPTURED_AT_ONCE):
        events = [
            {
                "event_type": "bench.noop.failed",
                "payload": {"seq": number, "pad": "x" * 165},
                "not_before": now,
            }
            for number in range(at, min(at + CAPTURED_AT_ONCE, items))
        ]
        await pool.fetchval(
            "select count(*) from retryd.capture_failures($1::text::jsonb)", encode_batch(events)
        )
    return items / (time.perf_counter() - started)


async def drain(lines: Lines, handler: Handler, plan: Plan, items: int) -> float:
    """Run a worker until so many retries are settled; return items/s."""
    metrics = CountingMetrics(items)
    worker = Worker(lines, [handler], PRESETS, metrics, plan)
    metrics.on_last = worker.stop
    await worker.run()
    return items / (metrics.last - metrics.first)


async def settled(pool: Pool) -> None:
    """Leave nothing for PostgreSQL to do beside what is measured."""
    for table in ("retry_queue", "failure_event"):
        await pool.fetch(f"vacuum analyze retryd.{table}")
    await pool.fetch("checkpoint")


def plan_of(dsn: str, batch: int, slots: int) -> Plan:
    """Return the plan of a worker as `retryd run` has it."""
    return Plan(
        claims=True,
        batch_size=batch,
        worker_count=slots,
        poll_seconds=5,
        lease_seconds=60,
        shutdown_seconds=5,
        retention=Retention(7, 7, 90),
        listen_dsn=dsn,
        version="benchmark",
    )


async def run(dsn: str, items: int, batch: int, slots: int) -> dict[str, float]:
    """Capture and drain once."""

    async def noop(_: Retry) -> None:
        """Do nothing."""

    handler = PythonHandler(Registration("noop", ("bench.noop",), noop))
    plan = plan_of(dsn, batch, slots)
    async with open_lines(dsn, "bench", size=10) as lines:
        pool = lines.pools[0]
        await lines.shared.publish_handlers([handler.definition])
        # As the floor does: what is planned once per connection is planned before.
        await capture(pool, WARM_UP)
        await drain(lines, handler, plan, WARM_UP)
        captured = await capture(pool, items)
        await settled(pool)
        return {"capture": captured, "drain": await drain(lines, handler, plan, items)}


def main() -> None:
    """Run once and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    for name, default in (("items", 20_000), ("batch", 600), ("slots", 300)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    figures = uvloop.run(run(arguments.dsn, arguments.items, arguments.batch, arguments.slots))
    print(json.dumps({key: round(value) for key, value in figures.items()}))


if __name__ == "__main__":
    main()
