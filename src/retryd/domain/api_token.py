"""Tokens of the HTTP API: how one is written, and what it may be allowed."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

Scope: TypeAlias = Literal["ingest", "read", "payload", "operate", "admin"]
"""ingest: hand in events; read: look, but at no payload; payload: at those too; operate: replay,
cancel, pause; admin: everything."""

ALL: Final[Scope] = "admin"
SECRET_BYTES: Final = 32

# The number comes first and has no `_`; hexadecimal digits have none either, nor a sign at which
# a double click would end.
_FORM: Final = re.compile(r"rtd_(?P<id>0|[1-9][0-9]{0,17})_(?P<secret>[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token as PostgreSQL keeps it; `expires_in_seconds` counts from when it was read."""

    id: int
    name: str
    scopes: frozenset[str]
    secret_sha256: bytes = field(repr=False)
    expires_in_seconds: float | None = None


def token_text(id: int, secret: bytes) -> str:
    """Write a token, as its bearer shows it."""
    return f"rtd_{id}_{secret.hex()}"


def read_token(text: str) -> tuple[int, bytes] | None:
    """Return the id and the secret of a token, None for what has another form."""
    found = _FORM.fullmatch(text)
    return (int(found["id"]), bytes.fromhex(found["secret"])) if found else None


def hash_of(secret: bytes) -> bytes:
    """Return what is kept of a secret.

    One of 256 random bits cannot be guessed, so no slow hash is needed, which would let strangers
    keep the server busy.
    """
    return hashlib.sha256(secret).digest()
