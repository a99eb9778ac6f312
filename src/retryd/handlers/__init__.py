"""What runs an operation again: one module per kind, its settings and how to open it."""

from __future__ import annotations

from retryd.handlers.python import PythonHandlerSettings

HandlerSettings = PythonHandlerSettings

__all__ = ["HandlerSettings"]
