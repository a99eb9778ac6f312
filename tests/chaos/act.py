"""What a scenario works with: two workers on a server of their own, and stopwatches."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.fleet import Fleet, Member
from tests.faults.proxy import Proxy
from tests.faults.scene import Scene
from tests.faults.server import Server
from tests.postgres import Clock, Cluster, open_directory
from tests.waiting import until

LEASE_SECONDS = 2.0
AFTER_KILL_SECONDS = LEASE_SECONDS + 6
AFTER_RETURN_SECONDS = 5.0
PATIENT_SECONDS = 60.0
"""How long is waited for what has a bound, so that the table tells by how much it was missed."""

# What dies many times by chance is no poison: it must come to its end all the same.
STURDY = {
    "RETRYD_RETRY__LEASE_SECONDS": f"{LEASE_SECONDS:g}",
    "RETRYD_RETRY__MAX_LOST_ATTEMPTS": "50",
}
HELD = "select array_agg(id) from retryd.retry_queue where claimed_by like '%/' || $1 || '/%'"
LIVE = "select count(*) from retryd.place where place = 'live' and id = any($1::bigint[])"


@dataclass(frozen=True, slots=True)
class Report:
    """What a scenario did, and how long recovery took and may take, in seconds."""

    fault: str
    recovery: float
    bound: float


@dataclass(slots=True)
class Act:
    """One scenario on the stage."""

    scene: Scene
    dice: random.Random

    async def work(self, times: int = 60) -> None:
        """Capture retries that take a moment each."""
        await self.scene.capture(times, do="nap", seconds=0.2)

    async def worker(self, **settings: str) -> Member:
        """Start a worker and wait until it works."""
        return await self.scene.fleet.started(**{**STURDY, **settings})

    async def at_work(self, *members: Member, beyond: int = 0) -> float:
        """Wait until each of these has begun something claimed under a later token than `beyond`.

        Returns how long that took.
        """

        async def all_did() -> bool:
            begun = self.scene.fleet.effects("start")
            made = {effect.pid for effect in begun if effect.token > beyond}
            return all(member.pid in made for member in members)

        return await seconds_until(all_did)

    async def last_token(self) -> int:
        """Return the token of the latest claim."""
        return int(await self.scene.value("select last_value from retryd.claim_token_seq"))

    async def held_by(self, member: Member) -> list[int]:
        """Return what a worker has in hand now; something, or the fault would hit nothing."""

        async def held() -> list[int]:
            return await self.scene.value(HELD, str(member.pid)) or []

        return await until(held)

    async def kill(self, member: Member) -> list[int]:
        """End a worker with SIGKILL while it holds something; returns what it held."""
        await self.held_by(member)
        member.freeze()  # so that what it holds is what it dies with
        await until(lambda: stopped(member))
        held: list[int] = await self.scene.value(HELD, str(member.pid)) or []
        await member.kill()
        return held

    async def done(self, ids: Iterable[int]) -> float:
        """Wait until none of these is live; returns how long that took."""
        chosen = list(ids)

        async def none_live() -> bool:
            return bool(await self.scene.value(LIVE, chosen) == 0)

        return await seconds_until(none_live)

    async def clock(self) -> Clock:
        """Return what moves the time of the database."""
        return Clock(await self.scene.connect())

    async def stale(self) -> int:
        """Return how many settlements came too late, as the workers that live have counted."""
        running = [member for member in self.scene.fleet.members if member.running]
        counts = [await member.metric("retryd_stale_settlements_total") for member in running]
        return int(sum(counts))

    @asynccontextmanager
    async def proxy(self) -> AsyncIterator[tuple[Proxy, str]]:
        """Open a proxy before the server; yields it and the address of the database behind it."""
        async with Proxy.before(self.scene.server.port) as proxy:
            yield proxy, proxy.dsn(self.scene.worker_dsn)


async def seconds_until(condition: Callable[[], Awaitable[bool]]) -> float:
    """Wait for a condition; returns how many seconds that took."""
    began = time.monotonic()
    await until(condition, within=PATIENT_SECONDS)
    return time.monotonic() - began


def stopped(member: Member) -> bool:
    """Tell whether SIGSTOP has reached a process."""
    stat = Path(f"/proc/{member.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


class Stage:
    """A server with a migrated template; each act has a database and a fleet of its own."""

    def __init__(self, server: Server, cluster: Cluster, template: str) -> None:
        self._server = server
        self._cluster = cluster
        self._template = template

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Stage]:
        """Start the server; it is gone at the end."""
        with open_directory() as folder:
            server = Server(folder / "postgres")
            await server.start()
            try:
                cluster = Cluster(server.dsn)
                template = await cluster.create_template()
                await server.make_login()
                yield cls(server, cluster, template)
            finally:
                await server.stop()

    @asynccontextmanager
    async def act(self, seed: str) -> AsyncIterator[Act]:
        """Set the scene of one scenario; the seed decides every choice, the timing stays free."""
        random.seed(seed)  # it chooses the backends that the server terminates
        async with self._cluster.database(self._template) as database:
            with tempfile.TemporaryDirectory(prefix="retryd-chaos-") as folder:
                dsn = self._server.worker_dsn(database.dsn)
                async with Fleet.of(dsn, Path(folder)) as fleet:
                    try:
                        yield Act(Scene(self._server, database, fleet), random.Random(seed))
                    finally:
                        await self._server.mend()
