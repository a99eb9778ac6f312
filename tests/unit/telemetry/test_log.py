"""Log lines: one event name a line, facts as fields."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator

import asyncpg
import pytest

from retryd.telemetry.log import (
    ConsoleFormatter,
    JsonFormatter,
    bear,
    set_up_again,
    set_up_logging,
)


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


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("mail", "mail"),
        ("two words", '"two words"'),
        ("", '""'),
        ("a=b", '"a=b"'),
        ('say "no"', '"say \\"no\\""'),
        ("\u00fcber", "\u00fcber"),
        (0.5, "0.5"),
        (False, "False"),
    ],
)
def test_on_the_console_what_is_no_single_word_stands_in_quotes(value: object, text: str) -> None:
    assert ConsoleFormatter().format(record(reason=value)).endswith(f"worker_started reason={text}")


def test_on_the_console_nothing_is_said_of_what_is_none() -> None:
    line = ConsoleFormatter().format(record(reason=None, retry=7))
    assert line.endswith("worker_started retry=7")


def test_on_the_console_each_item_of_a_list_has_a_line() -> None:
    held = [{"retry": 7, "handler": "a b"}, {"retry": 8, "handler": None}]
    text = ConsoleFormatter().format(record("in_flight", in_flight=held, worker="w"))
    assert text.splitlines() == [
        "22:13:20 warning in_flight worker=w",
        '         retry=7 handler="a b"',
        "         retry=8",
    ]


def test_a_traceback_does_not_quote_the_rows_that_postgresql_refused() -> None:
    cause = asyncpg.CheckViolationError("new row violates check constraint")
    cause.detail = "Failing row contains (1, sesame\nsesame)."
    made = record("step_failed")
    try:
        try:
            raise cause
        except asyncpg.PostgresError as error:
            raise OSError("settling") from error
    except OSError as error:
        made.exc_info = (OSError, error, error.__traceback__)
    for formatter in (JsonFormatter(), ConsoleFormatter()):
        text = formatter.format(made)
        assert "sesame" not in text
        assert "new row violates check constraint" in text
        assert "(left out)" in text


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


@pytest.mark.usefixtures("logger")
def test_a_process_that_was_started_without_standard_error_works_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    set_up_logging("auto", "info")
    logging.getLogger("retryd.worker").error("line")


def test_only_who_has_its_logs_from_us_gets_them_set_up_again(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logger.handlers = []
    set_up_again("json", "error")
    assert logger.handlers == []
    set_up_logging("json", "error")
    set_up_again("console", "info")
    logging.getLogger("retryd.worker").info("line")
    assert capsys.readouterr().err.endswith("info    line\n")


@pytest.mark.usefixtures("logger")
def test_what_all_lines_bear_outlives_a_new_set_up(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("json", "info")
    bear(child=3)
    logging.getLogger("retryd.worker").info("before")
    set_up_logging("console", "info")
    logging.getLogger("retryd.worker").info("after")
    before, after = capsys.readouterr().err.splitlines()
    assert json.loads(before)["child"] == 3
    assert after.endswith("after child=3")


@pytest.mark.usefixtures("logger")
def test_the_logs_of_an_application_bear_nothing_of_ours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    theirs = logging.StreamHandler()
    theirs.setFormatter(JsonFormatter())
    logging.getLogger("retryd").handlers = [theirs]
    bear(child=3)
    logging.getLogger("retryd").error("line")
    assert "child" not in json.loads(capsys.readouterr().err)
