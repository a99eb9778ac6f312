"""The tokens of the database as the server knows them: in memory, so PostgreSQL may be away."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from typing_extensions import override

from retryd.domain.api_token import ApiToken, hash_of
from retryd.domain.errors import DatabaseUnavailable, SchemaOutdated
from retryd.ports import TokenSource
from retryd.service import Service

REFRESH_SECONDS: Final = 10.0
AGAIN_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 2.0
WAITING: Final = 8
"""So many callers at once may wait for a reading: who shows a number needs no secret for it."""

logger = logging.getLogger("retryd.web")


class KnownTokens:
    """What was read last; each token ends when its time has come, read again or not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.was_read = False
        self.were_any = False
        self._tokens: dict[int, tuple[ApiToken, float | None]] = {}
        self._nobodys = hash_of(secrets.token_bytes(32))

    def learn(self, tokens: Iterable[ApiToken], asked_at: float) -> None:
        """Take in all that live; `asked_at` is when the question was put, by the same clock."""
        self._tokens = {
            token.id: (
                token,
                None if token.expires_in_seconds is None else asked_at + token.expires_in_seconds,
            )
            for token in tokens
        }
        self.was_read = True
        self.were_any = self.were_any or bool(self._tokens)

    def has(self, id: int) -> bool:
        """Tell whether a token with this id lives."""
        return self._live(id) is not None

    def find(self, id: int, secret: bytes) -> ApiToken | None:
        """Return the token if it lives and this is its secret; an unknown id takes as long."""
        token = self._live(id)
        kept = self._nobodys if token is None else token.secret_sha256
        return token if hmac.compare_digest(kept, hash_of(secret)) else None

    def _live(self, id: int) -> ApiToken | None:
        token, ends_at = self._tokens.get(id, (None, None))
        return token if ends_at is None or self.clock() < ends_at else None


class TokenReader(Service):
    """Reads the tokens every 10 s and, at most once a second, when somebody shows a new one."""

    def __init__(
        self, source: TokenSource, known: KnownTokens, on_read: Callable[[], None]
    ) -> None:
        super().__init__()
        self._source = source
        self._known = known
        self._on_read = on_read
        self._waiting: list[asyncio.Future[None]] = []
        self._awaited = 0
        self._began_at: float | None = None
        self._failing_since: float | None = None
        self._complained = False

    async def read_again(self) -> None:
        """Wait until the tokens were read anew, or that failed; no longer than 2 s.

        Where WAITING others wait already, it returns at once: what is known has to do.
        """
        if self._awaited >= WAITING:
            return
        read: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(read)
        self.wake()
        self._awaited += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await read
        finally:
            self._awaited -= 1

    @override
    async def step(self) -> float:
        """Read once."""
        clock = self._known.clock
        if self._began_at is not None:
            await asyncio.sleep(self._began_at + AGAIN_SECONDS - clock())
        waiting, self._waiting = self._waiting, []
        self._began_at = clock()
        try:
            tokens = await self._source.live_tokens()
        except (DatabaseUnavailable, SchemaOutdated) as error:
            self._complain(error)
            raise DatabaseUnavailable(str(error)) from error
        else:
            self._failing_since, self._complained = None, False
            self._known.learn(tokens, self._began_at)
            self._on_read()
        finally:
            for read in waiting:
                if not read.done():  # who has waited too long is gone
                    read.set_result(None)
        return REFRESH_SECONDS

    def _complain(self, error: Exception) -> None:
        """Tell once of what a moment does not cure; until then it is the start, or a failover."""
        now = self._known.clock()
        self._failing_since = self._failing_since or now
        if not self._complained and now - self._failing_since >= REFRESH_SECONDS:
            self._complained = True
            logger.warning("tokens_not_read", extra={"reason": str(error)})
