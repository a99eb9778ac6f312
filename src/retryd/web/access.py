"""Who may do what: before a route is run, and before its body is read, its caller is known."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute

from retryd.domain.api_token import ALL, SECRET_BYTES, Scope, read_token, token_text
from retryd.handlers.signature import HEADERS, verified
from retryd.web.known_tokens import KnownTokens, TokenReader
from retryd.web.server import url_of

if TYPE_CHECKING:
    from fastapi.dependencies.models import Dependant  # codespell:ignore

    from retryd.ports import TokenSource
    from retryd.settings.models import HttpSettings

REALM: Final = 'Bearer realm="retryd"'
LATER: Final = {"retry-after": "5"}
HOW: Final = "`retryd token create --name NAME --scope SCOPE` makes a token"
MADE: Final = "made at start"
SIGNED: Final = "http.webhook_keys"

_BEARER = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/-]+=*) *")
_SHOWN_IN_OPENAPI = HTTPBearer(auto_error=False, description=HOW)

logger = logging.getLogger("retryd.web")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the name and number of the token, and what it may do.

    A token of the configuration has no number. `webhook_id` is that of a request that is signed.
    """

    name: str
    scopes: frozenset[str]
    token_id: int | None = None
    webhook_id: str | None = None

    def may(self, scope: Scope) -> bool:
        """Tell whether it has this scope, or all."""
        return scope in self.scopes or ALL in self.scopes


@dataclass(frozen=True, slots=True)
class Required:
    """The scope that a route demands; its method is a dependency of the route."""

    access: Access
    scope: Scope
    or_signed: bool

    async def caller(
        self, request: Request, _shown: Annotated[object, Depends(_SHOWN_IN_OPENAPI)]
    ) -> None:
        """Note who asks in `request.state.caller`; None: `Access.caller_of` has to find out."""
        request.state.caller = None
        if self.or_signed and self.access.is_signed(request.headers):
            return
        caller = await self.access.identified(request.headers)
        if not caller.may(self.scope):
            raise forbidden(
                f"this token has not the scope {self.scope}: {HOW}",
                f'{REALM}, error="insufficient_scope", scope="{self.scope}"',
            )
        request.state.caller = caller


class Access:
    """Knows callers by tokens of the configuration and the database, and by signatures.

    It lives in the server's thread. Where there is no token at all, one is made in memory if only
    this machine can reach the server; else the API is not served.
    """

    def __init__(
        self,
        settings: HttpSettings,
        known: KnownTokens | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._own = {
            f"http.tokens[{number}]": fingerprint(token.get_secret_value())
            for number, token in enumerate(settings.tokens)
        }
        self._keys = settings.webhook_keys
        self._known = known or KnownTokens()
        self._clock = clock
        self._reader: TokenReader | None = None
        self._addresses: Sequence[tuple[str, int]] = ()
        self._told = False

    def require(self, scope: Scope, *, or_signed: bool = False) -> Callable[..., object]:
        """Return the dependency of a route that lets in callers of this scope, and notes who.

        With `or_signed` a request without Authorization that bears a signature passes as well,
        unjudged: the route reads the body and asks `caller_of` before it does anything with it.
        """
        return Required(self, scope, or_signed).caller

    def caller_of(self, request: Request, body: bytes) -> Caller:
        """Return who made a request that was let in; raises a 401 for a wrong signature.

        `body` has the exact bytes that came.
        """
        caller: Caller | None = request.state.caller
        if caller is None:
            caller = request.state.caller = self.signed(request.headers, body)
        return caller

    def is_signed(self, headers: Mapping[str, str]) -> bool:
        """Tell whether a request comes with a signature, right or wrong, and it counts."""
        without_token = "authorization" not in headers
        return bool(self._keys) and without_token and all(name in headers for name in HEADERS)

    def signed(self, headers: Mapping[str, str], body: bytes) -> Caller:
        """Return who has signed these headers and bytes; raises a 401."""
        if not self.is_signed(headers) or not verified(headers, body, self._keys, self._clock()):
            raise unauthorized(
                "the signature does not fit: sign these bytes with a key of http.webhook_keys, and"
                " have the clock right"
            )
        return Caller(SIGNED, frozenset({"ingest"}), webhook_id=headers["webhook-id"])

    async def identified(self, headers: Mapping[str, str]) -> Caller:
        """Return whose token a request shows; raises a 401, 403 or 503."""
        given = _BEARER.fullmatch(headers.get("authorization", ""))
        text = given[1] if given else ""
        if (owner := self._owner(text)) is not None:
            return Caller(owner, frozenset({ALL}))
        if read := read_token(text):
            if self._reader is not None and not self._known.has(read[0]):
                await self._reader.read_again()
            if token := self._known.find(*read):
                return Caller(token.name, token.scopes, token.id)
        if text and not self._known.was_read:
            raise HTTPException(
                503, "the tokens could not be read yet: PostgreSQL does not answer", LATER
            )
        if self._known.was_read and not self._own and not self._known.were_any:
            raise forbidden(f"there is no token yet, so this is not served: {HOW}", REALM)
        if "authorization" not in headers:
            raise unauthorized("show a token: `Authorization: Bearer rtd_...`", REALM)
        raise unauthorized(f"this token is not valid (any more): {HOW}")

    @asynccontextmanager
    async def reading(self, source: TokenSource) -> AsyncIterator[None]:
        """Know the tokens of the database while the context lasts; what is known stays behind."""
        self._reader = TokenReader(source, self._known, self._look)
        task = asyncio.create_task(self._reader.run(), name="tokens")
        try:
            yield
        finally:
            self._reader = None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def listening(self, addresses: Sequence[tuple[str, int]]) -> None:
        """Hear where the server listens."""
        self._addresses = addresses
        self._look()

    def _look(self) -> None:
        """See to it that somebody can be let in, or tell that nobody is."""
        unsure = not self._known.was_read or not self._addresses
        if self._told or unsure or self._own or self._known.were_any:
            return
        self._told = True
        if all(is_loopback(host) for host, _ in self._addresses):
            text = token_text(0, secrets.token_bytes(SECRET_BYTES))
            self._own[MADE] = fingerprint(text)
            address = f"{url_of(self._addresses[0])}/?token={text}"
            logger.info("http_token_made", extra={"address": address})
        elif not self._keys:
            logger.warning("api_not_served", extra={"remedy": HOW})

    def _owner(self, text: str) -> str | None:
        given = fingerprint(text)
        same = [name for name, kept in self._own.items() if hmac.compare_digest(kept, given)]
        return same[0] if same else None


def scope_of(route: BaseRoute) -> Scope | None:
    """Return the scope that a route demands; None: it lets everybody in."""
    if not isinstance(route, APIRoute):
        return None
    asked = dependencies_of(route.dependant)  # codespell:ignore
    owners = (getattr(each.call, "__self__", None) for each in asked)
    return next((owner.scope for owner in owners if isinstance(owner, Required)), None)


def dependencies_of(asking: Dependant) -> Iterator[Dependant]:  # codespell:ignore
    """Yield all that a route depends on, near and far."""
    for each in asking.dependencies:
        yield each
        yield from dependencies_of(each)


def fingerprint(text: str) -> bytes:
    """Return what is compared of a token, of the same length for all."""
    return hashlib.sha256(text.encode()).digest()


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach what listens at an address."""
    return ip_address(host).is_loopback


def unauthorized(detail: str, challenge: str = f'{REALM}, error="invalid_token"') -> HTTPException:
    """Make the answer to who shows nothing, or nothing that counts."""
    return HTTPException(401, detail, {"www-authenticate": challenge})


def forbidden(detail: str, challenge: str) -> HTTPException:
    """Make the answer to who may not do this."""
    return HTTPException(403, detail, {"www-authenticate": challenge})
