"""The connections of one worker: shared ones, and one each to claim, to settle, to keep leases."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retryd.store.pool import Pool, open_pool
from retryd.store.queue import Queue
from retryd.store.reads import Reads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from retryd.store.reach import Reach

RESERVED = 3
LEAST_SHARED = 2  # pruning, which may take minutes, leaves one to rescues


@dataclass(frozen=True, slots=True)
class Lines:
    """What a worker asks PostgreSQL through, however busy or broken its other connections are.

    What is claimed and settled is planned once on a connection, and each of them has its own.
    `keeping` opens the queue of the lease keeper, in the thread and the loop that call it; `pools`
    are the others.
    """

    pools: tuple[Pool, ...]
    reads: Reads
    shared: Queue
    claiming: Queue
    settling: Queue
    keeping: Callable[[], AbstractAsyncContextManager[Queue]]


@asynccontextmanager
async def open_lines(
    dsn: str, worker: str, *, size: int, pgbouncer: bool = False, reach: Reach | None = None
) -> AsyncIterator[Lines]:
    """Open the connections of a worker, `size` of them at most but no fewer than five."""

    @asynccontextmanager
    async def opened(purpose: str, size: int) -> AsyncIterator[Pool]:
        application = f"retryd/{purpose}/{worker}"[:63]
        async with open_pool(
            dsn,
            size=size,
            application=application,
            pgbouncer=pgbouncer,
            writable=True,
            reserved=purpose != "worker",
            reach=reach,
        ) as pool:
            yield pool

    @asynccontextmanager
    async def keeping() -> AsyncIterator[Queue]:
        async with opened("leases", 1) as pool:
            yield Queue(pool, worker)

    async with (
        opened("worker", max(LEAST_SHARED, size - RESERVED)) as shared,
        opened("claimer", 1) as claiming,
        opened("settler", 1) as settling,
    ):
        yield Lines(
            (shared, claiming, settling),
            Reads(shared),
            Queue(shared, worker),
            Queue(claiming, worker),
            Queue(settling, worker),
            keeping,
        )
