"""The tokens of the HTTP API, as its server asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retryd.domain.api_token import ApiToken

if TYPE_CHECKING:
    from retryd.store.pool import Pool


class Tokens:
    """Needs the role `retryd_worker`; raises what `reaching_database` says."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def live_tokens(self) -> list[ApiToken]:
        """Return the tokens that are neither revoked nor expired."""
        rows = await self._pool.fetch("select * from retryd.live_tokens()")
        return [
            ApiToken(
                row["id"],
                row["name"],
                frozenset(row["scopes"]),
                row["secret_sha256"],
                row["expires_in_seconds"],
            )
            for row in rows
        ]
