"""The routes: what a process tells about itself, without PostgreSQL, and what it takes in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeAlias

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException

from retryd.ports import Health, Readiness
from retryd.web.access import Access
from retryd.web.edge import Edge
from retryd.web.ingest import Ingest
from retryd.web.problem import RequestRefused, problem
from retryd.web.schemas import takes_events

PATIENCE_SECONDS = 2.0

Exposition: TypeAlias = Callable[[str], tuple[bytes, str]]
"""Takes the header Accept; returns the text of a scrape and its content type."""

Opened: TypeAlias = Callable[[], AbstractAsyncContextManager[Ingest]]
"""Opens what takes events, on the server's loop and for as long as it runs."""


@dataclass(frozen=True, slots=True)
class Api:
    """What is served under `/api`, and who may use it."""

    access: Access
    opened: Opened


def build_app(
    health: Health, exposition: Exposition, version: str, api: Api | None = None
) -> FastAPI:
    """Make the application; `health` and `exposition` are asked from the server's thread."""
    app = FastAPI(
        title="retryd",
        version=version,
        docs_url=None,  # it would load its program from somebody else's server
        redoc_url=None,
        exception_handlers={HTTPException: refused, RequestRefused: refused},
        lifespan=None if api is None else lifespan_of(api.opened),
        # What newer versions of FastAPI take part in: traces here are of attempts, not of scrapes.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.add_middleware(Edge)

    @app.get("/livez", response_class=PlainTextResponse)
    async def livez() -> str:
        """Tell that the process answers: 200, whatever PostgreSQL does."""
        return "ok\n"

    @app.get("/readyz", responses={503: {"model": Readiness}})
    async def readyz(response: Response) -> Readiness:
        """Tell whether the process takes work: 200 or 503, with the reasons."""
        readiness = await readiness_of(health)
        response.status_code = 200 if readiness.ready else 503
        return readiness

    @app.get("/health")
    async def overview() -> dict[str, Any]:
        """Tell all that a person wants to know first: always 200, `status` is ok or degraded."""
        readiness = await readiness_of(health)
        return {
            "status": "ok" if readiness.ready and not readiness.reasons else "degraded",
            "version": version,
            "ready": readiness.ready,
            "reasons": readiness.reasons,
            **health.state(),
        }

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics(request: Request) -> Response:
        """Tell the metrics, as OpenMetrics to whoever accepts it, else as Prometheus text."""
        text, content_type = exposition(request.headers.get("accept", ""))
        return Response(text, headers={"content-type": content_type})

    if api is not None:
        may_ingest = Depends(api.access.require("ingest", or_signed=True))

        @app.post("/api/v1/events", dependencies=[may_ingest], **takes_events())
        async def post_events(request: Request) -> Response:
            """Take failure events, all of a request or none."""
            ingest: Ingest = request.state.ingest
            return await ingest.answer(request, api.access)

    return app


def lifespan_of(opened: Opened) -> Callable[[FastAPI], AbstractAsyncContextManager[dict[str, Any]]]:
    """Return what opens it when the server begins; each request finds it in its state."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with opened() as ingest:
            yield {"ingest": ingest}

    return lifespan


async def readiness_of(health: Health) -> Readiness:
    """Ask, and take no answer in time for an answer."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await health.ready()
    except TimeoutError:
        return Readiness(ready=False, reasons=(f"no answer within {PATIENCE_SECONDS:g} s",))


async def refused(_request: Request, error: Exception) -> Response:
    """Answer an unknown path, a wrong method, or what a route refuses."""
    if isinstance(error, RequestRefused):
        return error.answer()
    if not isinstance(error, HTTPException):  # what Starlette's type of a handler allows
        raise error
    said = error.detail != HTTPStatus(error.status_code).phrase
    detail = error.detail if said else None
    return problem(error.status_code, dict(error.headers or {}), detail)
