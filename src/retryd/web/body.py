"""The body of a request: read as it streams, within limits, and never unpacked."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from starlette.requests import ClientDisconnect

from retryd.web.problem import RequestRefused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import Request
    from starlette.datastructures import Headers

BODY_BYTES: Final = 5 * 1024 * 1024
HELD_BYTES: Final = 128 * 1024 * 1024
AGAIN_SECONDS: Final = 1
LENGTH_DIGITS: Final = 18


class Bodies:
    """Reads bodies of at most `most` bytes; all that are held at once have `most_held`."""

    def __init__(self, most: int = BODY_BYTES, most_held: int = HELD_BYTES) -> None:
        self._most = most
        self._most_held = most_held
        self._held = 0

    @asynccontextmanager
    async def of(self, request: Request) -> AsyncIterator[bytes]:
        """Read the body of a request, and hold it while the context lasts. Raises RequestRefused.

        One that is announced to be too large is refused unread.
        """
        check_encoding(request.headers)
        if announced(request.headers) > self._most:
            raise self._too_large()
        body = bytearray()
        try:
            async for part in request.stream():
                if len(body) + len(part) > self._most:
                    raise self._too_large()
                self._held += len(part)
                body += part
                if self._held > self._most_held:
                    raise RequestRefused(
                        429,
                        "too many large bodies come in at once: send them one after the other",
                        headers={"retry-after": str(AGAIN_SECONDS)},
                    )
            yield bytes(body)
        except ClientDisconnect as gone:  # nobody reads the answer
            raise RequestRefused(400, "the body did not come whole") from gone
        finally:
            self._held -= len(body)

    def _too_large(self) -> RequestRefused:
        return RequestRefused(
            413, f"the body has more than {self._most} bytes: send fewer events at once"
        )


def check_encoding(headers: Headers) -> None:
    """Refuse a body that would have to be unpacked: a small one may become a huge one."""
    encodings = {
        each.strip().lower()
        for value in headers.getlist("content-encoding")
        for each in value.split(",")
    }
    if not encodings <= {"identity", ""}:
        raise RequestRefused(
            415,
            "a body is taken as it is: send it without Content-Encoding",
            headers={"accept-encoding": "identity"},
        )


def announced(headers: Headers) -> int:
    """Return the length that a request announces; 0 if none, for what comes is counted anyway."""
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() and len(length) <= LENGTH_DIGITS else 0
