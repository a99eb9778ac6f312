"""Tokens on a real server, that knows them from a real PostgreSQL; made and ended by commands."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.routing import APIRoute
from pydantic import SecretStr

from retryd.compose.ingesting import ingesting
from retryd.domain.api_token import token_text
from retryd.domain.retry import Retry
from retryd.handlers.cloudevent import binary, structured
from retryd.handlers.signature import signed
from retryd.settings.models import Configuration, HttpSettings
from retryd.telemetry.metrics import Metrics
from retryd.web import app as web
from retryd.web import known_tokens
from retryd.web.access import Access, Caller, scope_of
from retryd.web.app import build_app
from retryd.web.protocol import CONNECTIONS
from retryd.web.server import HttpServer
from tests.acceptance.commands import Shell
from tests.faults.proxy import Proxy
from tests.postgres import Connection, Database
from tests.unit.handlers.attempts import a_retry
from tests.waiting import until
from tests.web.serving import Told

OPEN = {"/livez", "/readyz", "/health", "/metrics", "/openapi.json"}
STRANGE = token_text(999, bytes(32))
KEY = SecretStr("whsec_" + base64.b64encode(bytes(32)).decode())


@dataclass
class Api:
    """A server with routes that demand scopes, and a shell whose commands make tokens."""

    client: httpx.AsyncClient
    shell: Shell
    tokens: int = 0

    async def create(self, *scopes: str, expires_days: str | None = None) -> tuple[int, str]:
        """Make a token; returns its id and its text."""
        options = [f"--scope={scope}" for scope in scopes]
        options += [] if expires_days is None else [f"--expires-days={expires_days}"]
        ended = await self.shell("token", "create", "--name=shop", *options, "--json")
        document = ended.document
        return document["id"], document["token"]

    async def get(self, scope: str, token: str) -> httpx.Response:
        """Ask the route of a scope."""
        headers = {"authorization": f"Bearer {token}"}
        return await self.client.get(f"/api/v1/{scope}", headers=headers)

    async def status(self, scope: str, token: str) -> int:
        """Return the status of the answer."""
        return (await self.get(scope, token)).status_code


def add_routes(app: FastAPI, access: Access) -> None:
    """Add a route for each scope."""

    async def told(request: Request) -> dict[str, object]:
        caller: Caller = request.state.caller
        return {"name": caller.name, "token_id": caller.token_id}

    for scope in ("ingest", "read", "payload", "operate", "admin"):
        demands = [Depends(access.require(scope))]
        app.get(f"/api/v1/{scope}", dependencies=demands)(told)


@asynccontextmanager
async def serving(
    dsn: str, shell: Shell, host: str = "127.0.0.1", **settings: object
) -> AsyncIterator[Api]:
    """Serve while the context lasts, with the rights of a worker."""
    configuration = Configuration.model_validate({"http": settings})
    access, metrics = Access(configuration.http), Metrics()
    opened = ingesting(configuration, dsn, metrics.captures.count, access)
    app = build_app(Told(), metrics.exposition, "test", web.Api(access, opened))
    add_routes(app, access)
    server = HttpServer(host, 0, app, on_listening=access.listening)
    server.start()
    try:
        address = await until(lambda: server.address)
        assert address is not None
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{address[1]}") as client:
            yield Api(client, shell)
    finally:
        await asyncio.to_thread(server.stop)


@pytest.fixture
def shell(database: Database, tmp_path: Path) -> Shell:
    """A shell whose commands find the database."""
    return Shell(tmp_path, {"RETRYD_DATABASE_URL": database.dsn})


@pytest.fixture
def dsn(database: Database) -> str:
    """The address of the database for a server, with the rights of a worker."""
    separator = "&" if "?" in database.dsn else "?"
    return f"{database.dsn}{separator}role=retryd_worker"


@pytest.fixture
async def api(dsn: str, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """A server that reads tokens every half second."""
    monkeypatch.setattr(known_tokens, "REFRESH_SECONDS", 0.5)
    monkeypatch.setattr(known_tokens, "AGAIN_SECONDS", 0.1)
    async with serving(dsn, shell) as api:
        yield api


def every_route(routes: list[object]) -> list[object]:
    """Return routes, and those of routers that were included."""
    found: list[object] = []
    for route in routes:
        router = getattr(route, "original_router", route)  # of one that was included
        below = getattr(router, "routes", None)
        found += every_route(list(below)) if below else [route]
    return found


def without_scope(app: FastAPI) -> set[str]:
    """Return the paths of routes that let everybody in, and are none of the open ones."""
    return {
        path
        for route in every_route(list(app.routes))
        if (path := getattr(route, "path", "?")) not in OPEN
        and (not isinstance(route, APIRoute) or scope_of(route) is None)
    }


def test_every_route_of_the_api_demands_a_scope_and_the_others_are_known() -> None:
    access, metrics = Access(HttpSettings()), Metrics()
    opened = ingesting(Configuration(), "postgresql://", metrics.captures.count, access)
    app = build_app(Told(), metrics.exposition, "test", web.Api(access, opened))
    assert without_scope(app) == set()
    assert {getattr(route, "path", "?") for route in every_route(list(app.routes))} >= OPEN


def test_a_route_without_a_scope_is_found() -> None:
    app = build_app(Told(), Metrics().exposition, "test")
    access = Access(HttpSettings())
    add_routes(app, access)
    assert without_scope(app) == set()
    router = APIRouter()
    router.get("/api/v1/included")(lambda: "everybody")
    app.include_router(router)
    app.get("/api/v1/direct")(lambda: "everybody")
    app.mount("/api/v1/mounted", FastAPI(openapi_url=None))
    found = without_scope(app)
    assert found == {"/api/v1/direct", "/api/v1/mounted", "/api/v1/included"}


async def test_a_token_works_at_once_within_its_scopes_and_until_it_is_revoked(api: Api) -> None:
    id, token = await api.create("ingest", "read")
    answer = await api.get("read", token)
    assert (answer.status_code, answer.json()) == (200, {"name": "shop", "token_id": id})
    assert await api.status("ingest", token) == 200
    answer = await api.get("operate", token)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert "has not the scope operate" in answer.json()["detail"]
    assert 'error="insufficient_scope", scope="operate"' in answer.headers["www-authenticate"]

    assert (await api.shell("token", "revoke", str(id))).status == 0

    async def refused() -> bool:
        return await api.status("read", token) == 401

    await until(refused, within=known_tokens.REFRESH_SECONDS + 2)
    unknown = await api.get("read", token_text(999, bytes(32)))
    revoked = await api.get("read", token)
    assert unknown.status_code == revoked.status_code == 401
    assert unknown.content == revoked.content
    assert unknown.headers["www-authenticate"] == revoked.headers["www-authenticate"]


async def test_many_who_show_unknown_tokens_keep_nobody_out_and_only_few_of_them_wait(
    database: Database, api: Api
) -> None:
    _, known = await api.create("read")
    assert await api.status("read", known) == 200
    url = api.client.base_url
    said = f"GET /api/v1/read HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {STRANGE}\r\n\r\n"
    blocker = await database.connect()
    async with blocker.transaction(), asyncio.timeout(20):
        await blocker.execute("lock table retryd.api_token in access exclusive mode")
        strangers = [await asyncio.open_connection(url.host, url.port) for _ in range(CONNECTIONS)]
        for _, writer in strangers:
            writer.write(said.encode())
        async with httpx.AsyncClient(base_url=url) as another:
            assert (await another.get("/livez", timeout=1)).status_code == 200
        assert await api.status("read", known) == 200
        answers = [asyncio.create_task(reader.readline()) for reader, _ in strangers]
        done, _ = await asyncio.wait(answers, timeout=1)
        told = [each.result() for each in done if each.exception() is None]
        assert len(told) >= CONNECTIONS - 10  # eight wait
        assert {line[:12] for line in told} <= {b"HTTP/1.1 401", b""}
        await asyncio.wait(answers)
        for _, writer in strangers:
            writer.close()


async def test_admin_may_everything(api: Api) -> None:
    _, token = await api.create("admin")
    for scope in ("ingest", "read", "payload", "operate", "admin"):
        assert await api.status(scope, token) == 200


async def test_a_token_ends_when_its_time_has_come_though_postgresql_is_away(
    database: Database, dsn: str, shell: Shell
) -> None:
    async with Proxy.before(urlsplit(database.dsn).port or 5432) as proxy:
        query = "role=retryd_worker&sslmode=disable"
        address = urlsplit(proxy.dsn(dsn))._replace(query=query).geturl()
        async with serving(address, shell) as api:
            _, brief = await api.create("read", expires_days=f"{8 / 86_400:.6f}")
            _, lasting = await api.create("read")
            assert await api.status("read", brief) == 200
            assert await api.status("read", lasting) == 200
            proxy.reset(closed=True)

            async def ended() -> bool:
                return await api.status("read", brief) == 401

            await until(ended, within=15)
            assert await api.status("read", lasting) == 200


async def test_with_postgresql_away_from_the_start_a_token_is_put_off_and_then_taken(
    database: Database, dsn: str, shell: Shell
) -> None:
    async with Proxy.before(urlsplit(database.dsn).port or 5432) as proxy:
        proxy.reset(closed=True)
        query = "role=retryd_worker&sslmode=disable"
        address = urlsplit(proxy.dsn(dsn))._replace(query=query).geturl()
        async with serving(address, shell, tokens=("sesame",)) as api:
            _, token = await api.create("read")
            answer = await api.get("read", token)
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "5"
            assert "PostgreSQL" in answer.json()["detail"]
            assert await api.status("read", "sesame") == 200
            assert (await api.client.get("/livez")).status_code == 200
            proxy.resume()

            async def taken() -> bool:
                return await api.status("read", token) == 200

            await until(taken)


async def test_where_everybody_listens_nothing_is_served_until_a_token_is_made(
    dsn: str, shell: Shell, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(dsn, shell, host="0.0.0.0") as api:  # noqa: S104 - that is the point
        await until(lambda: "api_not_served" in caplog.messages)
        answer = await api.client.get("/api/v1/read")
        assert answer.status_code == 403
        assert "`retryd token create --name NAME --scope SCOPE`" in answer.json()["detail"]
        assert (await api.client.get("/health")).status_code == 200
        _, token = await api.create("read")
        assert await api.status("read", token) == 200
        assert (await api.client.get("/api/v1/read")).status_code == 401
    assert caplog.messages.count("api_not_served") == 1


async def test_the_token_that_is_made_at_start_is_told_once_and_works(
    dsn: str, shell: Shell, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "retryd")
    async with serving(dsn, shell) as api:
        await until(lambda: "http_token_made" in caplog.messages)
        [address] = [
            vars(line)["address"] for line in caplog.records if line.message == "http_token_made"
        ]
        where, _, token = address.partition("/?token=")
        assert where == str(api.client.base_url).rstrip("/")
        assert await api.status("admin", token) == 200


async def test_a_request_that_is_signed_needs_no_token_and_its_bytes_are_what_counts(
    dsn: str, shell: Shell
) -> None:
    async with serving(dsn, shell, webhook_keys=(KEY.get_secret_value(),)) as api:
        body = json.dumps({"event_type": "order.sync.failed"}).encode()

        async def post(at: float, sent: bytes = body, **more: str) -> httpx.Response:
            kind = {"content-type": "application/json"}
            headers = {**kind, **signed("msg_1", int(at), body, [KEY]), **more}
            return await api.client.post("/api/v1/events", content=sent, headers=headers)

        answer = await post(time.time())
        assert (answer.status_code, answer.json()["events"][0]["event_id"]) == (201, "msg_1")
        assert (await post(time.time())).status_code == 200, "the same again"
        assert (await post(time.time(), body + b" ")).status_code == 401
        for off in (-310, 310):
            answer = await post(time.time() + off)
            assert answer.status_code == 401
            assert "www-authenticate" in answer.headers
        assert (await post(time.time(), authorization="Bearer x")).status_code == 401
        assert (await api.client.post("/api/v1/events", content=body)).status_code == 401
        headers = dict(signed("msg_1", int(time.time()), b"", [KEY]))
        assert (await api.client.get("/api/v1/ingest", headers=headers)).status_code == 401


@pytest.mark.parametrize(("write", "status"), [(structured, 201), (binary, 422)])
async def test_what_another_retryd_signs_is_taken_in_the_mode_in_which_all_of_it_is_signed(
    dsn: str, shell: Shell, write: Callable[[Retry], tuple[Mapping[str, str], bytes]], status: int
) -> None:
    async with serving(dsn, shell, webhook_keys=(KEY.get_secret_value(),)) as api:
        headers, body = write(a_retry())
        proof = signed("retry_42_1", int(time.time()), body, [KEY])
        sent = {**headers, **proof}
        answer = await api.client.post("/api/v1/events", content=body, headers=sent)
        assert answer.status_code == status
        assert status == 201 or "structured" in answer.json()["detail"]


async def test_the_description_tells_that_a_token_is_needed(api: Api) -> None:
    document = (await api.client.get("/openapi.json")).json()
    assert document["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    assert document["paths"]["/api/v1/read"]["get"]["security"] == [{"HTTPBearer": []}]
    assert "security" not in document["paths"]["/livez"]["get"]


async def test_a_server_that_was_told_of_a_token_holds_one_session(
    api: Api, connection: Connection
) -> None:
    _, token = await api.create("read")
    for _ in range(20):
        await asyncio.gather(*(api.get("read", token_text(id, bytes(32))) for id in range(10)))
    assert await api.status("read", token) == 200
    query = "select count(*) from pg_stat_activity where application_name = 'retryd/http'"
    assert await connection.fetchval(query) == 1
