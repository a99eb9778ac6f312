"""The composition root: from configuration and code to a worker that runs."""

from __future__ import annotations

from retryd.compose.configuration import (
    configuration_schema,
    load_app,
    load_configuration,
    open_handlers,
)
from retryd.compose.database import Store, embedded_database, open_database, open_store
from retryd.compose.in_process import running
from retryd.compose.serving import Fleet, open_daemon
from retryd.compose.systemd import Systemd
from retryd.compose.worker import listening_at

__all__ = [
    "Fleet",
    "Store",
    "Systemd",
    "configuration_schema",
    "embedded_database",
    "listening_at",
    "load_app",
    "load_configuration",
    "open_daemon",
    "open_database",
    "open_handlers",
    "open_store",
    "running",
]
