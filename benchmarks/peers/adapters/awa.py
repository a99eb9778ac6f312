"""Awa from Python, on its queue storage, with Python's own event loop; its engine is Rust.

Due and failed jobs are promoted each 50 ms. A retry is its `RetryAfter(0)`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

import awa  # type: ignore[import-not-found]

from benchmarks.peers.adapters.protocol import FailedOnPurposeError, Settings, Step, main

QUEUE = "bench"
STORAGE = "awa"


@dataclass
class Noop:
    """The arguments of a job."""

    seq: int
    pad: str


class Producer:
    """A client with one connection."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def one(self, item: dict[str, Any], due: datetime | None) -> object:
        """Insert one."""
        return await self._client.insert(Noop(**item), queue=QUEUE, run_at=told(due))

    async def many(self, items: Sequence[dict[str, Any]], due: datetime | None) -> object:
        """Copy many."""
        return await self._client.enqueue_many_copy(
            [Noop(**item) for item in items], queue=QUEUE, run_at=told(due)
        )


def told(due: datetime | None) -> str | None:
    """Return a time as this API wants it."""
    return due.isoformat() if due else None


class Adapter:
    """Many workers in one process."""

    left = """select (select count(*) from awa.lease_claims)
        - (select coalesce(sum(closed_count), 0) from awa.lease_claim_closure_batches)
        - (select count(*) from awa.lease_claim_closures)
        + (select count(*) from awa.deferred_jobs where run_at <= now())"""
    candidates: Sequence[Settings] = (
        {"max_workers": 1024, "promote_interval_ms": 50},
        {"max_workers": 256, "promote_interval_ms": 50},
        {"max_workers": 64, "promote_interval_ms": 50},
    )
    defaults: Mapping[str, Any] = {"max_workers": 10}

    def version(self) -> str:
        """Tell the release."""
        return version("awa-pg")

    async def setup(self, dsn: str) -> None:
        """Migrate an empty database, and choose the newer storage."""
        async with awa.AsyncClient(dsn) as client:
            await client.migrate()
            await client.install_queue_storage(schema=STORAGE)

    @asynccontextmanager
    async def producer(self, dsn: str) -> AsyncIterator[Producer]:
        """Open a client."""
        async with awa.AsyncClient(dsn, max_connections=1) as client:
            yield Producer(client)

    async def work(self, dsn: str, step: Step, settings: Settings) -> None:
        """Run."""

        async def noop(job: Any) -> Any:
            try:
                step(job.id, {"seq": job.args.seq})
            except FailedOnPurposeError:
                return awa.RetryAfter(0)

        client = awa.AsyncClient(dsn)
        client.task(Noop, queue=QUEUE)(noop)
        given = dict(settings)
        await client.start([(QUEUE, given.pop("max_workers"))], **given)
        await asyncio.Event().wait()


if __name__ == "__main__":
    main(Adapter())
