"""The routes: what a process tells about itself; none of them touches PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Any, TypeAlias

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException

from retryd.ports import Health, Readiness
from retryd.web.edge import Edge
from retryd.web.problem import problem

PATIENCE_SECONDS = 2.0

Exposition: TypeAlias = Callable[[str], tuple[bytes, str]]
"""Takes the header Accept; returns the text of a scrape and its content type."""

Lifespan: TypeAlias = Callable[[FastAPI], AbstractAsyncContextManager[None]]
"""Holds what the routes need, open on the server's own loop while it serves."""


def build_app(
    health: Health, exposition: Exposition, version: str, *, lifespan: Lifespan | None = None
) -> FastAPI:
    """Make the application; `health` and `exposition` are asked from the server's thread."""
    app = FastAPI(
        title="retryd",
        version=version,
        lifespan=lifespan,
        docs_url=None,  # it would load its program from somebody else's server
        redoc_url=None,
        exception_handlers={HTTPException: refused},
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

    return app


async def readiness_of(health: Health) -> Readiness:
    """Ask, and take no answer in time for an answer."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await health.ready()
    except TimeoutError:
        return Readiness(ready=False, reasons=(f"no answer within {PATIENCE_SECONDS:g} s",))


async def refused(_request: Request, error: Exception) -> Response:
    """Answer an unknown path, a wrong method, or what a route refuses."""
    if not isinstance(error, HTTPException):  # what Starlette's type of a handler allows
        raise error
    said = error.detail != HTTPStatus(error.status_code).phrase
    detail = error.detail if said else None
    return problem(error.status_code, dict(error.headers or {}), detail)
