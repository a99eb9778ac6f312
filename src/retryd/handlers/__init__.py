"""What runs an operation again: one module per kind, its settings and how to open it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retryd.handlers import command, isolation, python
from retryd.handlers.command import CommandHandlerSettings
from retryd.handlers.python import PythonHandlerSettings
from retryd.handlers.threads import Threads

if TYPE_CHECKING:
    from retryd.ports import Handler

HandlerSettings = PythonHandlerSettings | CommandHandlerSettings
"""The settings of every kind; a new kind joins this union and `open_handler`."""


def open_handler(name: str, settings: object, threads: Threads | None = None) -> Handler:
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
        case _:
            raise TypeError(settings)
