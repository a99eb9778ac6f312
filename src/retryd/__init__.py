"""retryd, the retry daemon for PostgreSQL: hand it a failure, it tries again until it works."""

from __future__ import annotations

from importlib.metadata import version

from retryd.client.app import App
from retryd.client.capture import capture, capture_many
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
    "Retry",
    "RetrydError",
    "SchemaOutdated",
    "Snooze",
    "TransactionAborted",
    "__version__",
    "capture",
    "capture_many",
]

__version__ = version("retryd")
