"""Ends a worker that was asked to run only until nothing is left to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from retryd.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from retryd.store.reads import Reads

EVERY_SECONDS = 0.25


class UntilEmpty(Service):
    """Calls `on_empty` once no retry of these handlers is live, due or not."""

    def __init__(self, reads: Reads, handlers: Sequence[str], on_empty: Callable[[], None]) -> None:
        super().__init__()
        self._reads = reads
        self._handlers = handlers
        self._on_empty = on_empty

    @override
    async def step(self) -> float:
        """Look once."""
        if not await self._reads.any_live(self._handlers):
            self._on_empty()
            self.stop()
        return EVERY_SECONDS
