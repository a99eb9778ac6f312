"""What runs an operation again: one module per kind, its settings and how to open it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retryd.handlers import python
from retryd.handlers.python import PythonHandlerSettings

if TYPE_CHECKING:
    from retryd.ports import Handler

HandlerSettings = PythonHandlerSettings
"""The settings of every kind; a new kind joins this union and `open_handler`."""


def open_handler(name: str, settings: object) -> Handler:
    """Make a configured handler. Raises ConfigurationError, which names its key."""
    match settings:
        case PythonHandlerSettings():
            return python.from_settings(name, settings)
        case _:
            raise TypeError(settings)
