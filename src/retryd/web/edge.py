"""What holds for every answer, whichever route gives it."""

from __future__ import annotations

import logging

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retryd.web.problem import problem

HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}

logger = logging.getLogger("retryd.web")


class Edge:
    """Adds headers, answers HEAD like GET, and turns a fault of ours into a 500 and a log line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_on(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if scope.get("method") == "HEAD":
            scope = {**scope, "method": "GET"}  # the server knows to leave the body out
        try:
            await self._app(scope, receive, send_on)
        except Exception:  # the server lives on
            logger.exception("request_failed", extra={"path": scope["path"]})
            if not begun:
                await problem(500)(scope, receive, send_on)
