"""What is kept of a program's output, however much it is, and how it reads as an error message."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from retryd.domain.limits import CUT_MARK as CUT
from retryd.domain.limits import ERROR_MESSAGE_BYTES, cut

CUT_MARK: Final = "[cut] … "
HIDDEN: Final = "***"


class Kept:
    """The last `limit` bytes of a stream, or with `head` the first."""

    def __init__(self, limit: int = 2 * ERROR_MESSAGE_BYTES, *, head: bool = False) -> None:
        self._limit = limit
        self._head = head
        self._kept = bytearray()
        self._cut = False

    def add(self, chunk: bytes) -> None:
        """Take in what came."""
        self._kept += chunk
        if len(self._kept) > self._limit:
            self._cut = True
            del self._kept[self._limit if self._head else 0 : None if self._head else -self._limit]

    @property
    def bytes(self) -> bytes:
        """What is kept."""
        return bytes(self._kept)

    def text(self, secrets: Collection[str] = ()) -> str:
        """Return an error message that can be stored, without the secrets: its end, or its head."""
        text = self._kept.decode(errors="replace").replace("\0", "\ufffd")
        text = without(text, secrets)
        longest = max(map(len, secrets), default=0)
        if self._cut:  # where it was cut may be a part of a secret
            text = text[: len(text) - longest] if self._head else text[longest:]
        text = text.strip()
        if self._head:
            return cut(text + CUT if self._cut else text, ERROR_MESSAGE_BYTES)
        encoded = text.encode()
        if not self._cut and len(encoded) <= ERROR_MESSAGE_BYTES:
            return text
        room = ERROR_MESSAGE_BYTES - len(CUT_MARK.encode())
        return CUT_MARK + encoded[-room:].decode(errors="ignore")


def without(text: str, secrets: Collection[str]) -> str:
    """Return a text in which none of the secrets can be read."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text
