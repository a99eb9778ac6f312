"""The door while PostgreSQL is away: what it keeps in mind of that."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any, cast

import pytest

from retryd.domain.errors import DatabaseUnavailable
from retryd.store.intake import Intake
from retryd.web.door import Door
from retryd.web.fields import Arrival


class Text(str):
    """A text of which one can tell whether it is still there."""

    __slots__ = ("__weakref__",)


class Away:
    """Takes nothing."""

    async def capture_checked(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        message = "it is away"
        raise DatabaseUnavailable(message)


async def test_what_could_not_be_captured_is_not_kept_in_memory() -> None:
    door = Door(cast("Intake", Away()), None)

    async def refused(number: int) -> weakref.ref[Text]:
        text = Text("{}")
        arrival = Arrival(str(number), "", "a.failed", text)
        with pytest.raises(DatabaseUnavailable, match=r"^it is away$"):
            await door.capture([arrival] * (number % 2 + 1))
        return weakref.ref(text)

    texts = [await refused(number) for number in range(10)]
    await asyncio.sleep(0)  # what woke this up is done with
    gc.collect()
    assert [text() for text in texts] == [None] * 10
    assert door.is_away
