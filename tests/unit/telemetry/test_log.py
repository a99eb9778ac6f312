"""Log lines: one event name a line, facts as fields."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from retryd.telemetry.log import ConsoleFormatter, JsonFormatter, set_up_logging


def record(event: str = "worker_started", /, **fields: object) -> logging.LogRecord:
    """Return a record as a logger makes it."""
    made = logging.getLogger("retryd.test").makeRecord(
        "retryd.test", logging.WARNING, __file__, 1, event, (), None, extra=fields
    )
    made.created = 1_700_000_000.125
    return made


def failed() -> logging.LogRecord:
    """Return a record with an exception."""
    made = record("step_failed")
    made.exc_info = (OSError, OSError("no"), None)
    return made


def test_a_json_line_holds_time_level_event_and_fields() -> None:
    line = json.loads(JsonFormatter().format(record(retry=7, reason="line 1\nline 2")))
    assert line == {
        "at": "2023-11-14T22:13:20.125+00:00",
        "level": "warning",
        "event": "worker_started",
        "retry": 7,
        "reason": "line 1\nline 2",
    }


def test_a_json_line_is_one_line_whatever_it_holds() -> None:
    text = JsonFormatter().format(record(odd={1, 2}, text="\u2028\ud800\n"))
    assert text.isascii()
    assert "\n" not in text


def test_a_field_does_not_hide_what_every_line_has() -> None:
    line = json.loads(JsonFormatter().format(record(at="x", level="y", event="z")))
    assert (line["level"], line["event"]) == ("warning", "worker_started")
    assert line["at"].startswith("2023")


def test_a_traceback_goes_along() -> None:
    assert "OSError: no" in json.loads(JsonFormatter().format(failed()))["traceback"]
    assert ConsoleFormatter().format(failed()).endswith("OSError: no")


def test_a_console_line_is_read_by_people() -> None:
    line = ConsoleFormatter().format(record(retry=7))
    assert line == "22:13:20 warning worker_started retry=7"


def test_a_console_line_stays_one_line() -> None:
    line = ConsoleFormatter().format(record(reason="no\nDETAIL:  \x1b[31mred"))
    assert "\n" not in line
    assert "\x1b" not in line


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The logger of retryd, put back afterwards."""
    logger = logging.getLogger("retryd")
    before = logger.handlers, logger.propagate, logger.level
    yield logger
    logger.handlers, logger.propagate = before[0], before[1]
    logger.setLevel(before[2])


@pytest.mark.parametrize(("form", "first"), [("json", "{"), ("console", "2"), ("auto", "{")])
def test_the_form_and_the_level_are_as_configured(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str], form: str, first: str
) -> None:
    set_up_logging(form, "warning")  # type: ignore[arg-type]
    set_up_logging(form, "warning")  # type: ignore[arg-type]
    logger.info("quiet")
    logging.getLogger("retryd.worker").handle(record("loud"))
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(first)
    assert "loud" in line
