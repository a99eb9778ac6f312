"""The embedded PostgreSQL behind `--embedded`, `retryd demo` and the tests."""

from __future__ import annotations

from retryd.embedded.directory import default_directory
from retryd.embedded.errors import (
    BinariesNotFound,
    DirectoryInUse,
    EmbeddedPostgresError,
    OutOfReach,
    ServerNotStarted,
    VersionMismatch,
)
from retryd.embedded.server import EmbeddedPostgres

__all__ = [
    "BinariesNotFound",
    "DirectoryInUse",
    "EmbeddedPostgres",
    "EmbeddedPostgresError",
    "OutOfReach",
    "ServerNotStarted",
    "VersionMismatch",
    "default_directory",
]
