"""Logs: one event name a line, facts as fields; JSON for machines, words for a terminal."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

from typing_extensions import override

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: at, level, event, and the fields."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "level": record.levelname.lower(), "event": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps({**line, **fields_of(record), **line}, default=str)


class ConsoleFormatter(logging.Formatter):
    """Time, level, event and the fields as key=value."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        fields = "".join(f" {key}={shown(value)}" for key, value in fields_of(record).items())
        line = f"{at} {record.levelname.lower():<7} {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """Return what was passed as `extra`."""
    return {key: value for key, value in vars(record).items() if key not in STANDARD}


def shown(value: object) -> str:
    """Return a value as it may stand in one line of a terminal."""
    text = str(value)
    return text if text.isprintable() else repr(text)


def set_up_logging(form: Literal["auto", "json", "console"], level: str) -> None:
    """Log to standard error; `auto` is console on a terminal, JSON elsewhere."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ConsoleFormatter() if console else JsonFormatter())
    logger = logging.getLogger("retryd")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(level.upper())
