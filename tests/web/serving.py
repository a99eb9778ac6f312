"""An HTTP server for the tests: real sockets, and a health that says what the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import httpx

from retryd.compose.ingesting import ingesting
from retryd.ports import Readiness
from retryd.settings.models import Configuration
from retryd.telemetry.metrics import Metrics
from retryd.web.access import Access
from retryd.web.app import Api, build_app
from retryd.web.server import HttpServer
from tests.waiting import until

TOKEN: Final = "sesame"
BEARER: Final = {"authorization": f"Bearer {TOKEN}"}


@dataclass
class Told:
    """A health that tells what it was told; `hangs` keeps the question open."""

    readiness: Readiness = field(default_factory=lambda: Readiness(ready=True))
    facts: dict[str, object] = field(default_factory=dict)
    hangs: bool = False
    asked: int = 0

    async def ready(self) -> Readiness:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        return self.readiness

    def state(self) -> Mapping[str, object]:
        return self.facts


@dataclass
class Served:
    """A server that listens, and what it tells."""

    server: HttpServer
    health: Told
    metrics: Metrics
    client: httpx.AsyncClient
    address: tuple[str, int]


@asynccontextmanager
async def serving(
    host: str = "127.0.0.1", dsn: str | None = None, **settings: Mapping[str, object]
) -> AsyncIterator[Served]:
    """Serve on a free port while the context lasts; with a DSN events are taken too."""
    health, metrics = Told(), Metrics("1.2.3")
    api = None
    if dsn is not None:
        configuration = Configuration.model_validate(
            settings | {"http": {"tokens": (TOKEN,), **settings.get("http", {})}}
        )
        access = Access(configuration.http)
        api = Api(access, ingesting(configuration, dsn, metrics.captures.count, access))
    server = HttpServer(host, 0, build_app(health, metrics.exposition, "1.2.3", api))
    server.start()
    try:
        address = await until(lambda: server.address)
        assert address is not None
        name = f"[{address[0]}]" if ":" in address[0] else address[0]
        base = f"http://{name}:{address[1]}"
        async with httpx.AsyncClient(base_url=base, headers=BEARER) as client:
            yield Served(server, health, metrics, client, address)
    finally:
        await asyncio.to_thread(server.stop)
