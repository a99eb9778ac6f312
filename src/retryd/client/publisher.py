"""`ResilientPublisher`: publish now, and have retryd publish later what could not be."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from retryd.client.event import encoded, said
from retryd.client.keeper import Keeper, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from typing_extensions import Unpack

    from retryd.client.app import App
    from retryd.client.event import Details
    from retryd.domain.retry import Retry

OPERATION: Final = "event."
"""What stands before the type of an event in the operation: the preset `event_publish` has it."""

ASYNC: Final = "the function that publishes is async: await publisher.publish(…)"

logger = logging.getLogger("retryd.publisher")


class ResilientPublisher:
    """Publishes for a business operation that must not fail because its bus does.

    `publish(event_type, payload)` is the application's function, async or plain. It is also the
    handler `name` of `app`, for the operations `event.*`: what it could not publish is captured as
    `event.<event type>.failed`, or `.timeout`, in PostgreSQL or, with that away, in files of the
    directory `spool`, which this process drains when PostgreSQL is back.

    An attempt to publish has `timeout_seconds`; `buffer_size` failures wait in memory at most, for
    a moment, and what comes beyond goes to the spool at once.
    """

    def __init__(
        self,
        publish: Callable[[str, Any], Any],
        app: App,
        *,
        spool: Path | str,
        name: str = "event-publish",
        policy: str | None = None,
        dependency: str | None = None,
        timeout_seconds: float = 10.0,
        buffer_size: int = 1000,
    ) -> None:
        self._publish = publish
        self._waits = any(map(inspect.iscoroutinefunction, (publish, type(publish).__call__)))
        self._timeout_seconds = timeout_seconds
        self._keeper = Keeper(app.database_url, Path(spool), buffer_size)
        register = app.handler(f"{OPERATION}*", name=name, policy=policy, dependency=dependency)
        register(self._handler())

    async def publish(
        self, event_type: str, payload: Any = None, **details: Unpack[Details]
    ) -> bool:
        """Publish; returns whether that worked, and raises nothing: retryd has what did not.

        The details are those of `capture`. A caller that is cancelled meanwhile leaves a retry as
        well. What retryd cannot take, a payload that is no JSON, is logged as `event_lost`.
        """
        self._keeper.begin()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                if self._waits:
                    said = self._publish(event_type, payload)
                else:
                    said = await asyncio.to_thread(self._publish, event_type, payload)
                if inspect.isawaitable(said):  # so does a lambda around a coroutine function
                    await said
        except BaseException as error:
            self._keep(event_type, payload, {**details, "error": error})
            if not isinstance(error, Exception):
                raise
            return False
        return True

    def publish_sync(
        self, event_type: str, payload: Any = None, **details: Unpack[Details]
    ) -> bool:
        """Do what `publish` does in code that is not async; nothing ends a call that hangs.

        Raises TypeError when the application's function is async: then nothing is published.
        """
        if self._waits:
            raise TypeError(ASYNC)
        self._keeper.begin()
        try:
            said = self._publish(event_type, payload)
        except BaseException as error:
            self._keep(event_type, payload, {**details, "error": error})
            if not isinstance(error, Exception):
                raise
            return False
        if inspect.isawaitable(said):
            if inspect.iscoroutine(said):
                said.close()
            raise TypeError(ASYNC)
        return True

    async def close(self, within: float = 10.0) -> bool:
        """Bring all failures to PostgreSQL, those left after so many seconds into the spool.

        Returns whether nothing was lost. What an interpreter that ends has not closed, it closes.
        """
        try:
            return await asyncio.to_thread(self.close_sync, within)
        except RuntimeError:  # no thread can start
            return self.close_sync(within)

    def close_sync(self, within: float = 10.0) -> bool:
        """Do what `close` does, and block meanwhile."""
        return self._keeper.close(within)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _handler(self) -> Callable[[Retry], Any]:
        """Return what makes an attempt: the function, with what it got at first."""
        if self._waits:

            @functools.wraps(self._publish)
            async def handle(retry: Retry) -> None:
                await self._publish(retry.operation.removeprefix(OPERATION), retry.payload)

            return handle

        @functools.wraps(self._publish)
        def handle_plain(retry: Retry) -> object:
            return self._publish(retry.operation.removeprefix(OPERATION), retry.payload)

        return handle_plain

    def _keep(self, event_type: str, payload: Any, details: dict[str, Any]) -> None:
        error = details["error"]
        extra = {"event_type": event_type, "reason": reason_of(error)}
        logger.warning("publish_failed", extra=extra)
        suffix = "timeout" if isinstance(error, TimeoutError) else "failed"
        kind = f"{OPERATION}{event_type}.{suffix}"
        event_id = details.get("event_id") or uuid.uuid4().hex
        event = {**details, "event_type": kind, "payload": payload, "event_id": event_id}
        try:
            self._keeper.keep(encoded(said(event)).encode())
        except Exception as fault:  # noqa: BLE001 - a payload may do anything when it is read
            self._keeper.lose(kind, event_id, reason_of(fault))
