"""The story of the demo, told while it happens."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from retryd.cli.demo.partners import Partners, open_partners
from retryd.cli.demo.shop import open_shop, place_order
from retryd.cli.demo.workers import open_worker
from retryd.domain.errors import RetrydError

if TYPE_CHECKING:
    from retryd.compose import Store

EVENTS = (
    "demo.mail.send.failed",
    "demo.mail.send.error",
    "demo.payment.charge.failed",
    "demo.stock.sync.timeout",
    "demo.invoice.print.error",
)
LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 60.0


class DemoFailed(RetrydError):
    """The demo did not go as it must."""


@dataclass
class Story:
    """One run: what it captured, and whom it tells."""

    store: Store
    dsn: str
    tell: Callable[[str], None]
    run: str = field(default_factory=lambda: secrets.token_hex(3))
    ids: list[int] = field(default_factory=list)

    async def play(self) -> None:
        """Play it to its end. Raises DemoFailed when something goes another way."""
        await open_shop(self.store.pool)
        async with open_partners() as (partners, address):
            async with open_worker(self.dsn, address) as first:
                await self.served()
                await self.capture(address)
                await self.roll_back(address)
                await self.within(partners.waited_for("stock.sync"), "the warehouse to be called")
                await self.all_in("done", self.ids[:3])
                self.tell("mails and payment went through, each after growing delays")
                first.kill()
                await first.wait()
                self.tell(f"worker {first.pid} was killed with kill -9 in the middle of an attempt")
            async with open_worker(self.dsn, address) as second:
                self.tell(f"worker {second.pid} takes its place, once the lease has run out")
                await self.repair_and_replay(partners)
                await self.all_in("done", self.ids)
                self.tell("every retry is done")

    async def served(self) -> None:
        """Wait until the worker has registered the shop's handler, so that its policy counts."""

        async def registered() -> bool:
            rows = await self.store.reads.handler_stats()
            return any(row["handler"] == "demo-partner" for row in rows)

        await self.until(registered, "a worker to start")

    async def capture(self, address: str) -> None:
        """Let calls fail and capture them in the transactions of their orders."""
        for number, event_type in enumerate(EVENTS, start=1):
            order = f"{self.run}-{number}"
            [retry_id] = await place_order(self.store.pool, address, order, event_type)
            self.ids.append(retry_id)
            self.tell(f"order {order}: captured {event_type} with it, retry {retry_id}")

    async def roll_back(self, address: str) -> None:
        """Let one transaction roll back, and see that nothing of it is left."""
        order = f"{self.run}-0"
        try:
            await place_order(
                self.store.pool, address, order, "demo.mail.send.failed", cancelled=True
            )
        except RuntimeError:
            newest = await self.store.reads.list_retries(operation="demo.*", limit=len(EVENTS) + 1)
            if any(row["correlation_id"] == order for row in newest):
                message = f"order {order} was rolled back, and yet it left a retry"
                raise DemoFailed(message) from None
            self.tell(f"order {order}: rolled back, and the captured failure with it")

    async def repair_and_replay(self, partners: Partners) -> None:
        """Wait for the dead letter, repair what it died of, replay it."""
        [dead] = await self.all_in("dead", self.ids[-1:])
        case = await self.store.reads.find_dead_letter(dead)
        reason = case["reason"] if case else None
        self.tell(f"retry {dead} is a dead letter: {reason}, {case and case['error_message']}")
        partners.repaired = True
        if not await self.store.operators.replay_dead_letter(dead, "paper was refilled"):
            message = f"dead letter {dead} could not be replayed"
            raise DemoFailed(message)
        self.tell(f"the printer is repaired, dead letter {dead} is replayed")

    async def all_in(self, place: str, ids: Iterable[int]) -> list[int]:
        """Wait until all these retries are there; return them."""
        wanted = list(ids)

        async def there() -> bool:
            rows = [await self.store.reads.find_retry(retry_id) for retry_id in wanted]
            return all(row is not None and row["place"] == place for row in rows)

        await self.until(there, f"retries {wanted} to be {place}")
        return wanted

    async def until(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        """Look until a condition holds. Raises DemoFailed when that takes too long."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not await condition():
            if time.monotonic() > deadline:
                raise DemoFailed(f"waited {PATIENCE_SECONDS:g} s in vain for {what}")
            await asyncio.sleep(LOOK_SECONDS)

    async def within(self, waiting: Awaitable[None], what: str) -> None:
        """Wait for something that happens by itself. Raises DemoFailed when it does not."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await waiting
        except TimeoutError as error:
            raise DemoFailed(f"waited {PATIENCE_SECONDS:g} s in vain for {what}") from error
