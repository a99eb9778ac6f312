"""Logs: one event name a line, facts as fields; JSON for machines, words for a terminal."""

from __future__ import annotations

import json
import logging
import math
import re
import select
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO, cast

from typing_extensions import override

STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
PLAIN: Final = re.compile(r"[^\s\"'=]+")
PATIENCE_MILLISECONDS: Final = 250
IMPATIENT_SECONDS: Final = 60.0

logger = logging.getLogger("retryd.telemetry")


class LineFormatter(logging.Formatter):
    """What both forms leave out: the rows that PostgreSQL quotes when it refuses them."""

    @override
    def formatException(self, ei: Any) -> str:
        """Return the traceback without the details of errors of PostgreSQL, which are data."""
        text = super().formatException(ei)
        error, seen = ei[1], set[int]()
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            for detail in (getattr(error, "detail", None), getattr(error, "where", None)):
                if isinstance(detail, str) and detail:
                    text = text.replace(detail, "(left out)")
            error = error.__cause__ or error.__context__
        return text


class JsonFormatter(LineFormatter):
    """One JSON object a line: at, level, event, and the fields."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "level": record.levelname.lower(), "event": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps({**line, **fields_of(record), **line}, default=str)


class ConsoleFormatter(LineFormatter):
    """Time, level, event and the fields as key=value; each item of a list on a line of its own."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and those that belong to it."""
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        fields = fields_of(record)
        lists = [fields.pop(key) for key, value in tuple(fields.items()) if is_list(value)]
        lines = [f"{at} {record.levelname.lower():<7} {record.getMessage()}{written(fields)}"]
        lines += [f"        {written(item)}" for items in lists for item in cast("Any", items)]
        if record.exc_info:
            lines.append(self.formatException(record.exc_info))
        return "\n".join(lines)


class Lines(logging.StreamHandler[TextIO]):
    """Writes to standard error; every line bears `fields`.

    Whoever reads a pipe may stop reading, and holds up who writes into it once it is full. A worker
    must not stand still for that: then lines are left out, and counted.
    """

    def __init__(self, fields: Mapping[str, object]) -> None:
        super().__init__(sys.stderr)
        self.fields = fields
        self._outlet = outlet_of(sys.stderr)
        self._impatient_until = -math.inf
        self._left_out = 0

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, if there is room for it."""
        if not self._has_room():
            self._left_out += 1
            return
        if count := self._left_out:
            self._left_out = 0
            logger.error("lines_left_out", extra={"count": count})
            self.emit(record)
            return
        super().emit(record)

    def _has_room(self) -> bool:
        """Wait a moment for a reader that is behind, but not for each line again."""
        if self._outlet is None or self._outlet.poll(0):
            return True
        if time.monotonic() < self._impatient_until:
            return False
        if self._outlet.poll(PATIENCE_MILLISECONDS):
            return True
        self._impatient_until = time.monotonic() + IMPATIENT_SECONDS
        return False

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Return the line with what all lines bear."""
        vars(record).update(self.fields)
        return super().format(record)


def outlet_of(stream: TextIO) -> select.poll | None:
    """Return what tells whether a line can be written at once; None for what is no file."""
    try:
        number = stream.fileno()
    except (AttributeError, OSError):  # there is no standard error, or a program took its place
        return None
    outlet = select.poll()
    outlet.register(number, select.POLLOUT)
    return outlet


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """Return what was passed as `extra`."""
    return {key: value for key, value in vars(record).items() if key not in STANDARD}


def is_list(value: object) -> bool:
    """Tell whether a value is a list of mappings."""
    return isinstance(value, list | tuple) and all(isinstance(item, Mapping) for item in value)


def written(fields: Mapping[str, object]) -> str:
    """Return fields as they may stand in one line of a terminal; nothing of what is None."""
    known = {key: value for key, value in fields.items() if value is not None}
    return "".join(f" {key}={shown(value)}" for key, value in known.items())


def shown(value: object) -> str:
    """Return a value as one word: in quotes where it is none."""
    text = str(value)
    if not text.isprintable():
        return json.dumps(text)
    return text if PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def set_up_logging(form: Literal["auto", "json", "console"], level: str) -> None:
    """Log to standard error; `auto` is console on a terminal, JSON elsewhere.

    May be called again; what all lines bear stays.
    """
    console = form == "console" or (form == "auto" and is_terminal(sys.stderr))
    logger = logging.getLogger("retryd")
    handler = Lines(next((each.fields for each in logger.handlers if isinstance(each, Lines)), {}))
    handler.setFormatter(ConsoleFormatter() if console else JsonFormatter())
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(level.upper())


def set_up_again(form: Literal["auto", "json", "console"], level: str) -> None:
    """Log like this from now on, if this process has its logs from us."""
    if any(isinstance(each, Lines) for each in logging.getLogger("retryd").handlers):
        set_up_logging(form, level)


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a person looks at it; None: the process was started without it."""
    return stream is not None and stream.isatty()


def bear(**fields: object) -> None:
    """Let every line of this process bear these fields from now on, if it has its logs from us."""
    for handler in logging.getLogger("retryd").handlers:
        if isinstance(handler, Lines):
            handler.fields = fields
