"""What handlers have in common that keep nothing from one attempt to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retryd.ports import Means


class Stateless:
    """Needs nothing of its worker."""

    async def open(self, means: Means) -> None:
        """Open nothing."""

    async def close(self) -> None:
        """Close nothing."""
