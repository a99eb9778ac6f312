"""What a process that was forked begins anew: its parent's threads are not in it."""

from __future__ import annotations

import os
from typing import Final, Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """Has threads or locks, which are of no use in a child."""

    def start_afresh(self) -> None:
        """Be as one that was just made, without whatever the parent has in hand."""


def in_children(forkable: Forkable) -> None:
    """Have it start afresh in each child that is forked, before anything else runs there."""
    _forkables.add(forkable)


def _start_afresh() -> None:
    for forkable in list(_forkables):
        forkable.start_afresh()


_forkables: Final[WeakSet[Forkable]] = WeakSet()

os.register_at_fork(after_in_child=_start_afresh)
