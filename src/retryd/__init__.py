"""retryd, the retry daemon for PostgreSQL: hand it a failure, it tries again until it works."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from retryd.client.app import App
from retryd.client.capture import capture, capture_many, capture_many_sync, capture_sync
from retryd.domain.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    NotFound,
    PayloadUndecodable,
    Refused,
    RetrydError,
    SchemaOutdated,
    TransactionAborted,
)
from retryd.domain.outcome import Cancel, Reject, Snooze
from retryd.domain.retry import ErrorInfo, Retry

if TYPE_CHECKING:
    from retryd import testing
    from retryd.client.publisher import ResilientPublisher
    from retryd.compose import running

    __version__: str

__all__ = [
    "App",
    "Cancel",
    "ConfigurationError",
    "DatabaseUnavailable",
    "ErrorInfo",
    "NotFound",
    "PayloadUndecodable",
    "Refused",
    "Reject",
    "ResilientPublisher",
    "Retry",
    "RetrydError",
    "SchemaOutdated",
    "Snooze",
    "TransactionAborted",
    "__version__",
    "capture",
    "capture_many",
    "capture_many_sync",
    "capture_sync",
    "running",
    "testing",
]

# In a process that has not set up its logs nothing is printed; `retryd run` sets them up.
logging.getLogger("retryd").addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """Load on first use what brings much with it: the worker, threads, the reader of metadata."""
    match name:
        case "__version__":
            return import_module("importlib.metadata").version("retryd")
        case "ResilientPublisher":
            return import_module("retryd.client.publisher").ResilientPublisher
        case "running":
            return import_module("retryd.compose").running
        case "testing":
            return import_module("retryd.testing")
        case _:
            message = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(message)
