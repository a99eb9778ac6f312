"""What a handler of kind `http` does: one request per attempt, over one pool of connections."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from io import BytesIO
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import aiohttp
from yarl import URL

from retryd.client.trace import current_trace
from retryd.domain.errors import RetrydError
from retryd.domain.outcome import Failure, Reject, Snooze, Success
from retryd.handlers.addresses import may_dial
from retryd.handlers.cloudevent import HOPS, binary, hops_of, structured
from retryd.handlers.fields import MISSING, PLACE, found_at
from retryd.handlers.kept import Kept, without
from retryd.handlers.signature import signed
from retryd.handlers.variables import HIDDEN_LENGTH, secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from retryd.domain.outcome import Outcome
    from retryd.domain.retry import Retry
    from retryd.handlers.fields import Fields
    from retryd.handlers.http import HttpHandlerSettings
    from retryd.ports import Means

BODY_BYTES: Final = 16 * 1024
BODY_SECONDS: Final = 2.0
"""How long the rest of an answer is waited for once its status is known: that says it all."""
SPARE_SECONDS: Final = 0.1
"""How long before the end of the attempt's time its body is waited for no more."""
KEPT_SECONDS: Final = 4.0
"""How long an idle connection is kept: less than servers do, or they close it under a request."""
SHOWN_BYTES: Final = 255
AT_ONCE_BYTES: Final = 1024 * 1024
"""How long a body may be that is written at once: others would wait for a longer one."""

AGAIN_SECONDS: Final = 60.0
"""How long a target that is gone is left alone where the handler could not be paused."""
AGAIN: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)
"""Those statuses from 400 to 499 that say nothing against the request."""


class HttpHandler:
    """Posts the failure event. It can be stopped; what was sent by then has an unknown effect."""

    stoppable = True

    def __init__(self, name: str, settings: HttpHandlerSettings) -> None:
        self.name = name
        self.definition: Mapping[str, object] = settings.definition(name)
        self._settings = settings
        template = settings.url.get_secret_value()
        self._template = template if settings.fields else URL(template, encoded=True)
        self._allowed = tuple(map(ip_network, settings.allow_cidrs))
        self._headers = {
            "user-agent": "retryd",
            "accept-encoding": "identity",
            **{key: value.get_secret_value() for key, value in settings.headers.items()},
        }
        values = secrets(settings.headers)
        last_words = (value.split()[-1] for value in values)  # of `Bearer abc…`, what is secret
        self._hidden = (*values, *(word for word in last_words if len(word) >= HIDDEN_LENGTH))
        self._write = structured if settings.content_mode == "structured" else binary
        self._session: aiohttp.ClientSession | None = None
        self._means: Means | None = None

    async def open(self, means: Means) -> None:
        """Make the pool of connections."""
        self._means = means
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._settings.connections,
                keepalive_timeout=KEPT_SECONDS,
                socket_factory=self._socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            auto_decompress=False,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def run(self, retry: Retry, timeout_seconds: float) -> Outcome:
        """Make one attempt; who runs it cancels it at its timeout, whatever drips."""
        ends = time.monotonic() + timeout_seconds - SPARE_SECONDS
        assert self._session is not None  # noqa: S101 - `open` comes first
        url = self._address(retry)
        if isinstance(url, Reject):
            return url
        headers, body = self._request(retry)
        try:
            async with self._session.post(
                url,
                data=body if len(body) <= AT_ONCE_BYTES else BytesIO(body),
                headers=headers,
                allow_redirects=False,
            ) as response:
                said = await self._read(response, min(BODY_SECONDS, ends - time.monotonic()))
                return await self._outcome(response, said)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return self._failure(error)

    def _address(self, retry: Retry) -> URL | Reject:
        if isinstance(self._template, URL):
            return self._template
        address = address_of(self._template, self._settings.fields, retry)
        return address if isinstance(address, Reject) else URL(address, encoded=True)

    def _request(self, retry: Retry) -> tuple[Mapping[str, str], bytes]:
        headers, body = self._write(retry)
        message_id = f"retry_{retry.id}_{retry.life}"
        keys = self._settings.signing_keys
        proof = signed(message_id, int(time.time()), body, keys) if keys else {}
        more = {"webhook-id": message_id, HOPS: str(hops_of(retry) + 1), **proof, **current_trace()}
        return {**self._headers, **headers, **more}, body

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        """Make the socket that dials this very address, unless it may not be dialled."""
        family, kind, protocol, _, (host, *_) = address
        if not may_dial(host, self._allowed):
            raise AddressRefusedError
        return socket.socket(family, kind, protocol)

    async def _read(self, response: aiohttp.ClientResponse, seconds: float) -> str:
        """Read the beginning of an answer; what is longer, or takes longer, is left to itself."""
        if response.content.at_eof() and not response.content.total_bytes:
            return ""
        kept = Kept(BODY_BYTES, head=True)
        size = 0
        with suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(max(0.0, seconds)):
                async for chunk in response.content.iter_any():
                    kept.add(chunk)
                    size += len(chunk)
                    if size >= BODY_BYTES:
                        break
        if not response.content.at_eof():
            response.close()
        return kept.text(self._hidden)

    async def _outcome(self, response: aiohttp.ClientResponse, said: str) -> Outcome:
        """Return what the status says."""
        status = response.status
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return Success()
        name = f"http.{status}"
        message = ": ".join(filter(None, (f"{status} {phrase_of(status)}".strip(), said)))
        if status == HTTPStatus.GONE and not self._settings.fields:
            return await self._gone()
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            where = without(response.headers.get("location", ""), self._hidden)[:SHOWN_BYTES]
            return Failure(
                name, f"{message}; redirects are not followed, this one leads to {where!r}"
            )
        permanent = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        return Failure(
            name,
            message,
            retry_after=seconds_of(response.headers.get("retry-after", ""), time.time()),
            permanent=permanent and status not in AGAIN,
        )

    async def _gone(self) -> Outcome:
        """Let nobody call again until a person has looked; nothing is spent meanwhile."""
        assert self._means is not None  # noqa: S101 - `open` comes first
        try:
            await self._means.pause(self.name, "its target answers 410 Gone")
        except RetrydError:  # PostgreSQL is away: the target will say it again
            return Snooze(AGAIN_SECONDS)
        return Snooze(0)

    def _failure(self, error: Exception) -> Outcome:
        """Say what kept the request from being answered."""
        message = str(error) or type(error).__name__
        match error:
            case aiohttp.InvalidURL():  # such as 127.1, which some systems take for 127.0.0.1
                kind = "http.address"
            case aiohttp.ClientConnectorDNSError():
                kind = "http.dns"
            case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
                kind = "http.tls"
            case _ if refused_the_address(error):
                kind = "http.address"
                message = (
                    "its host leads to an address that is not public; if that is meant, name its"
                    f" network in handlers.{self.name}.allow_cidrs"
                )
            case aiohttp.ClientConnectorError() | ValueError():
                kind = "http.connection"
            case _:  # the connection was there: some or all of it may have been sent
                kind = "http.unknown"
                message = f"{message}; whether it took effect is unknown"
        return Failure(kind, without(message, self._hidden))


class AddressRefusedError(OSError):
    """An address that this handler may not dial."""

    def __init__(self) -> None:
        super().__init__("the address is not public")


def refused_the_address(error: BaseException | None) -> bool:
    """Tell whether that is why there is no connection."""
    while error is not None:
        if isinstance(error, AddressRefusedError):
            return True
        error = getattr(error, "os_error", None) or error.__cause__
    return False


def address_of(template: str, fields: Fields, retry: Retry) -> str | Reject:
    """Return the address with its fields put in, or why it has none."""
    values = {}
    for name, pointer in fields.items():
        value = found_at(pointer, retry.payload)
        if isinstance(value, bool) or not isinstance(value, str | int) or value in {"", ".", ".."}:
            found = "nothing" if value is MISSING else f"a value of type {type(value).__name__}"
            return Reject(
                f"the payload has {found} at {pointer!r}: the address needs text or an integer"
                f" there for {{{name}}}"
            )
        values[name] = quote(str(value), safe="")
    return PLACE.sub(lambda place: values[place[1]], template)


def seconds_of(retry_after: str, now: float) -> float | None:
    """Return the seconds that a header Retry-After asks for, in either of its forms."""
    if re.fullmatch("[0-9]{1,9}", retry_after):
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def phrase_of(status: int) -> str:
    """Return what a status is called, nothing for an unknown one."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
