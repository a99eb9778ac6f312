"""HTTP/1.1 for clients that take their time: each gets a little of it, and only so many do."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from retryd.web.joining import Joining

CONNECTIONS = 100
EXCHANGE_SECONDS = 20.0
LINGER_SECONDS = 2.0
# At the end of the server: an answer may take as long as a capture may, and a little more; a
# request that has not come yet is hardly waited for.
LAST_SECONDS = 6
LAST_REQUEST_SECONDS = 1.0

logger = logging.getLogger("retryd.web.uvicorn")


class PatientProtocol(H11Protocol):
    """One connection: a request has to come, head and body, and its answer to go within 20 s.

    Beyond CONNECTIONS the one whose request has been awaited longest, or else the one whose answer
    has, makes room for a new one, so that clients who only connect, or send head or body byte by
    byte, or ask for what takes long, keep nobody out and take no more files than that. What is
    still sent after an answer, such as that the body is too large, is thrown away for
    LINGER_SECONDS: a connection that ends at once may take the answer along.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.logger = logger  # uvicorn's own may belong to an application in this process
        self._deadline: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Joining(transport, self.loop))
        self._begin_exchange()
        connected = [each for each in self.connections if isinstance(each, PatientProtocol)]
        others = [each for each in connected if each is not self and not each.is_closing]
        if len(others) >= CONNECTIONS:
            awaited = [each for each in others if each.is_awaited]
            min(awaited or others, key=lambda each: each.since).transport.abort()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._end_exchange()
        super().connection_lost(exc)

    @override
    def on_response_complete(self) -> None:
        self._begin_exchange(LINGER_SECONDS if self.cycle.more_body else None)
        super().on_response_complete()

    @override
    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(LAST_REQUEST_SECONDS, self._end_if_awaited)
        self.loop.call_later(LAST_SECONDS, self.transport.abort)

    @property
    def is_closing(self) -> bool:
        """Whether it counts no more."""
        return self.transport.is_closing()

    @property
    def is_awaited(self) -> bool:
        """Whether its next request has not come, or not the whole of it."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
        return cycle is None or cycle.response_complete or cycle.more_body

    def _end_if_awaited(self) -> None:
        if self.is_awaited:
            self.transport.abort()

    def _begin_exchange(self, seconds: float | None = None) -> None:
        self._end_exchange()
        self.since = self.loop.time()
        self._deadline = self.loop.call_later(seconds or EXCHANGE_SECONDS, self.transport.abort)

    def _end_exchange(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
