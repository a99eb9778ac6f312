"""What a person does to a retry, a dead letter, a handler, a token: one method per function."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import timedelta

    from retryd.store.pool import Pool


class Operators:
    """The functions of the role `retryd_operator`, called in the name of `actor`.

    Without an actor the session user of the database is noted. Each method returns False when the
    state does not allow it, and nothing was changed. Raises what `reaching_database` says.
    """

    def __init__(self, pool: Pool, actor: str | None = None) -> None:
        self._pool = pool
        self._actor = actor

    async def replay_dead_letter(self, id: int, reason: str | None = None) -> bool:
        """Give a dead letter a new life, due at once."""
        query = "select retryd.replay_dead_letter($1, $2, coalesce($3, session_user))"
        return await self._done(query, id, reason)

    async def resolve_dead_letter(self, id: int, reason: str | None = None) -> bool:
        """Close a dead letter without another attempt."""
        query = "select retryd.resolve_dead_letter($1, $2, coalesce($3, session_user))"
        return await self._done(query, id, reason)

    async def delete_dead_letter(self, id: int, reason: str | None = None) -> bool:
        """Delete a dead letter for good."""
        query = "select retryd.delete_dead_letter($1, $2, coalesce($3, session_user))"
        return await self._done(query, id, reason)

    async def replay_dead_letters(self, ids: Sequence[int], reason: str | None = None) -> list[int]:
        """Give dead letters a new life each, due at once; returns those that were dead."""
        query = "select retryd.replay_dead_letters($1, $2, coalesce($3, session_user))"
        return await self._those(query, ids, reason)

    async def delete_dead_letters(self, ids: Sequence[int], reason: str | None = None) -> list[int]:
        """Delete dead letters for good; returns those that are gone, none that is being retried."""
        query = "select retryd.delete_dead_letters($1, $2, coalesce($3, session_user))"
        return await self._those(query, ids, reason)

    async def import_dead_letters(self, lines: Sequence[str]) -> list[tuple[str, str | None]]:
        """Bring dead letters back from lines of an export, each a JSON document by itself.

        Returns for each line its outcome (imported, existing, conflict, bad) and what is wrong.
        """
        query = (
            "select outcome, problem"
            " from retryd.import_dead_letters($1::text::jsonb, coalesce($2, session_user))"
            " order by index"
        )
        rows = await self._pool.fetch(query, f"[{','.join(lines)}]", self._actor)
        return [(row["outcome"], row["problem"]) for row in rows]

    async def cancel_retry(self, id: int, reason: str | None = None) -> bool:
        """Stop a live retry for good."""
        query = "select retryd.cancel_retry($1, $2, coalesce($3, session_user))"
        return await self._done(query, id, reason)

    async def retry_now(self, id: int, reason: str | None = None) -> bool:
        """Make a waiting retry due at once."""
        query = "select retryd.retry_now($1, $2, coalesce($3, session_user))"
        return await self._done(query, id, reason)

    async def pause_handler(self, name: str, reason: str | None = None) -> bool:
        """Stop claiming for a handler; running attempts end, nothing is spent."""
        query = "select retryd.pause_handler($1, $2, coalesce($3, session_user))"
        return await self._done(query, name, reason)

    async def resume_handler(self, name: str, reason: str | None = None) -> bool:
        """Claim for a paused handler again."""
        query = "select retryd.resume_handler($1, $2, coalesce($3, session_user))"
        return await self._done(query, name, reason)

    async def forget_handler(self, name: str) -> bool:
        """Take a handler out of the registry; its retries wait for another one that matches."""
        return bool(await self._pool.fetchval("select retryd.forget_handler($1)", name))

    async def create_token(
        self,
        name: str,
        scopes: Sequence[str],
        secret_sha256: bytes,
        expires_in: timedelta | None = None,
    ) -> int:
        """Keep a token of the HTTP API by the hash of its secret; returns its id."""
        query = "select retryd.create_token($1, $2, $3, $4, coalesce($5, session_user))"
        arguments = (name, scopes, secret_sha256, expires_in, self._actor)
        return int(await self._pool.fetchval(query, *arguments))

    async def revoke_token(self, id: int, reason: str | None = None) -> bool:
        """End a token for good."""
        query = "select retryd.revoke_token($1, $2, coalesce($3, session_user))"
        return await self._done(query, id, reason)

    async def publish_policies(self, policies: Iterable[Mapping[str, object]]) -> list[str]:
        """Tell capture what it needs to know of policies; returns the names that changed."""
        query = "select retryd.publish_policies($1::text::jsonb)"
        return [row[0] for row in await self._pool.fetch(query, json.dumps(list(policies)))]

    async def _those(self, query: str, ids: Sequence[int], reason: str | None) -> list[int]:
        return [row[0] for row in await self._pool.fetch(query, ids, reason, self._actor)]

    async def _done(self, query: str, subject: int | str, reason: str | None) -> bool:
        return bool(await self._pool.fetchval(query, subject, reason, self._actor))
