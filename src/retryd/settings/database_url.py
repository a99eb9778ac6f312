"""The URL of a database: what of it retryd checks before the driver reads it."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

GIVE: Final = "give postgresql://user:password@host:port/name"
MAX_PORT: Final = 65_535
MASK: Final = "***"
OPEN: Final = frozenset(
    {"host", "port", "dbname", "database", "user", "sslmode", "target_session_attrs"}
)
"""The parameters of a URL that are shown."""

_SCHEME = re.compile(r"postgres(?:ql)?(?:\+[a-z0-9_]+)?://", re.IGNORECASE)
_HOST = re.compile(r"(?:\[[0-9a-fA-F:.%]+\]|[^:@\[\]]*)(?::(?P<port>\d{1,5})?)?")


def clean_url(url: str) -> str:
    """Return the URL without the driver that SQLAlchemy writes into its scheme.

    A ValueError says what is wrong in words that follow the key, and never shows the URL.
    """
    if re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError(f" has a space or control character in it, {GIVE}")
    if not (scheme := _SCHEME.match(url)):
        raise ValueError(f" is no PostgreSQL URL, {GIVE}")
    cleaned = "postgresql://" + url[scheme.end() :]
    if not _readable(cleaned):
        raise ValueError(
            " has no readable host, port or database name: write special characters of user and"
            " password percent-encoded, such as %40 for @"
        )
    return cleaned


def masked_url(url: str) -> str:
    """Return a clean URL without its password, and without what else may be one."""
    parts = urlsplit(url)
    account, at, hosts = parts.netloc.rpartition("@")
    user, colon, _ = account.partition(":")
    pairs = (pair.partition("=") for pair in parts.query.split("&"))
    query = "&".join(
        f"{name}={value if name in OPEN else MASK}" if equals else MASK
        for name, equals, value in pairs
        if name
    )
    account = f"{user}:{MASK}" if colon else user
    return f"{parts.scheme}://{account}{at}{hosts}{parts.path}{query and '?' + query}"


def _readable(url: str) -> bool:
    """Tell whether host and port can be told apart from the password, as the driver does it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    hosts = parts.netloc.partition("@")[2] if "@" in parts.netloc else parts.netloc
    found = [_HOST.fullmatch(host) for host in hosts.split(",")]
    fits = all(host and int(host["port"] or 1) in range(1, MAX_PORT + 1) for host in found)
    return fits and "@" not in parts.path and not parts.fragment
