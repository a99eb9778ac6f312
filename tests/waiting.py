"""Waiting for what will come true: the one place of the tests that sleeps."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

POLL_SECONDS = 0.02

T = TypeVar("T")


@overload
async def until(condition: Callable[[], Awaitable[T]], *, within: float = 10.0) -> T: ...


@overload
async def until(condition: Callable[[], T], *, within: float = 10.0) -> T: ...


async def until(condition: Callable[[], object], *, within: float = 10.0) -> object:
    """Ask `condition` until it is true; returns its answer, fails after `within` seconds."""
    answer: object = "none yet"
    try:
        async with asyncio.timeout(within):
            while True:
                answer = condition()
                if inspect.isawaitable(answer):
                    answer = await answer
                if answer:
                    return answer
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as error:
        name = getattr(condition, "__qualname__", repr(condition))
        message = f"{name} did not come true within {within:g} s; its last answer: {answer!r}"
        raise AssertionError(message) from error
