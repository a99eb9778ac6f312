"""A call that is refused for one of many is made again for each half, down to that one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, TypeVar

T = TypeVar("T")

Ask: TypeAlias = Callable[[Sequence[T]], Awaitable[Sequence[str | None]]]
"""Returns why one is refused, None for each that is taken."""


async def by_halves(
    ask: Ask[T], items: Sequence[T], dividing: tuple[type[Exception], ...]
) -> list[str | None]:
    """Ask for all; where that raises one of these errors, for each half by itself.

    What `ask` raises for a single item is raised.
    """
    try:
        return list(await ask(items))
    except dividing:
        if len(items) < 2:  # noqa: PLR2004 - one cannot be divided
            raise
    middle = len(items) // 2
    first = await by_halves(ask, items[:middle], dividing)
    return [*first, *await by_halves(ask, items[middle:], dividing)]
