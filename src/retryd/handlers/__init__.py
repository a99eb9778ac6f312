"""What runs an operation again: one module per kind, its settings and how to open it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retryd.handlers import command, http, isolation, python, sql
from retryd.handlers.command import CommandHandlerSettings
from retryd.handlers.http import HttpHandlerSettings
from retryd.handlers.python import PythonHandlerSettings
from retryd.handlers.sql import SqlHandlerSettings
from retryd.handlers.threads import Threads

if TYPE_CHECKING:
    from retryd.ports import OwnedHandler

HandlerSettings = (
    PythonHandlerSettings | CommandHandlerSettings | HttpHandlerSettings | SqlHandlerSettings
)
"""The settings of every kind; a new kind joins this union and `open_handler`."""


def open_handler(name: str, settings: object, threads: Threads | None = None) -> OwnedHandler:
    """Make a configured handler, which uses these threads. Raises ConfigurationError for its key.

    A python function with a process for itself is imported by such a process, which blocks.
    """
    threads = threads or Threads()
    match settings:
        case PythonHandlerSettings(isolation="process"):
            return isolation.from_settings(name, settings, threads)
        case PythonHandlerSettings():
            return python.from_settings(name, settings, threads)
        case CommandHandlerSettings():
            return command.from_settings(name, settings, threads)
        case HttpHandlerSettings():
            return http.from_settings(name, settings)
        case SqlHandlerSettings():
            return sql.from_settings(name, settings)
        case _:
            raise TypeError(settings)
