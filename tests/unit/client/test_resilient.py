"""The registration of resilient functions: names, operations, and what is refused at once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

import retryd


async def send_reminder(invoice: int, by: str = "mail") -> str:
    """Remind of an invoice."""
    return f"{invoice} by {by}"


def test_a_resilient_function_is_a_handler_of_its_operation() -> None:
    app = retryd.App()
    app.resilient("invoice.remind", policy="email", dependency="smtp")(send_reminder)
    registration = app.handlers["send-reminder"]
    assert registration.match == ("invoice.remind",)
    assert (registration.policy, registration.dependency) == ("email", "smtp")
    assert inspect.iscoroutinefunction(registration.function)


def test_a_given_name_wins() -> None:
    app = retryd.App()
    app.resilient("invoice.remind", name="remind")(send_reminder)
    assert list(app.handlers) == ["remind"]


def test_it_keeps_its_name_its_text_and_its_arguments() -> None:
    call = retryd.App().resilient("invoice.remind")(send_reminder)
    assert inspect.iscoroutinefunction(call)
    assert (call.__name__, call.__doc__) == ("send_reminder", "Remind of an invoice.")
    assert inspect.signature(call) == inspect.signature(send_reminder)


async def test_what_works_needs_no_database() -> None:
    call = retryd.App().resilient("invoice.remind")(send_reminder)
    assert await call(7) == "7 by mail"


@pytest.mark.parametrize(
    "operation", ["", "a b", "invoice.*", ".a", "a.", "a" * 193, None, send_reminder]
)
def test_what_is_no_operation_is_refused_before_there_is_a_function(operation: Any) -> None:
    with pytest.raises(retryd.ConfigurationError, match=r"@app\.resilient.*'invoice\.remind'"):
        retryd.App().resilient(operation)


@pytest.mark.parametrize("suffix", ["failed", "error", "timeout"])
def test_an_event_type_is_led_to_its_operation(suffix: str) -> None:
    with pytest.raises(retryd.ConfigurationError, match=r"the operation, 'invoice\.remind'$"):
        retryd.App().resilient(f"invoice.remind.{suffix}")


def test_the_longest_operation_leaves_room_for_the_suffix() -> None:
    app = retryd.App()
    app.resilient("a" * 192)(send_reminder)
    assert app.handlers["send-reminder"].match == ("a" * 192,)


def numbers() -> Iterator[int]:
    """Yield, which nothing asks for."""
    yield 1


@pytest.mark.parametrize("function", [numbers, 7])
def test_what_nothing_would_run_is_refused(function: Any) -> None:
    with pytest.raises(retryd.ConfigurationError, match="no function, or a generator"):
        retryd.App().resilient("a", name="job")(function)


def test_what_has_no_name_needs_one() -> None:
    app = retryd.App()
    with pytest.raises(retryd.ConfigurationError, match="pass name="):
        app.resilient("a")(functools.partial(send_reminder, 7))
    app.resilient("a", name="seven")(functools.partial(send_reminder, 7))
    assert list(app.handlers) == ["seven"]


def test_what_hides_its_arguments_is_refused() -> None:
    with pytest.raises(retryd.ConfigurationError, match="does not tell its arguments"):
        retryd.App().resilient("a", name="job")(dict)
