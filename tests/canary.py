"""What must be read nowhere: tests put it where payloads and secrets are, and look for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import pytest
from typing_extensions import override

from retryd.telemetry.log import JsonFormatter

CANARY: Final = "canary-tweedledee-9d41"
SHORTEST_PASSWORD: Final = 12  # a shorter one may be an ordinary word

_passwords: set[str] = set()


def hide_password(dsn: str) -> None:
    """Look for the password of this address from now on."""
    password = urlsplit(dsn).password
    if password and len(password) >= SHORTEST_PASSWORD:
        _passwords.add(password)


def sings(text: str, *, data: bool = False) -> bool:
    """Tell whether a text holds what nobody may read; `data` may hold payloads, never passwords."""
    return any(password in text for password in _passwords) or (not data and CANARY in text)


class Cage(logging.Handler):
    """Keeps the lines in which the canary sings."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(JsonFormatter())
        self.songs: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Read a line as it would be written."""
        if sings(line := self.format(record)):
            self.songs.append(line)


@pytest.fixture(autouse=True)
def no_canary_in_the_logs() -> Iterator[None]:
    """Fail a test in which retryd logs a payload or a password, at any level."""
    logger, cage = logging.getLogger("retryd"), Cage()
    level = logger.level
    logger.addHandler(cage)
    logger.setLevel(logging.DEBUG)
    yield
    logger.setLevel(level)
    logger.removeHandler(cage)
    assert cage.songs == []
