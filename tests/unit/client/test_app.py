"""The registry of handlers: durable names, patterns, and what is refused at once."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import retryd


async def send_invoice(_: retryd.Retry) -> None:
    """Do nothing."""


def test_a_handler_is_registered_and_stays_the_function_it_was() -> None:
    app = retryd.App()
    returned = app.handler("invoice.*", "bill.email", policy="email", dependency="smtp")(
        send_invoice
    )
    assert returned is send_invoice
    registration = app.handlers["send-invoice"]
    assert registration.match == ("invoice.*", "bill.email")
    assert (registration.policy, registration.dependency) == ("email", "smtp")
    assert registration.function is send_invoice


def test_a_given_name_wins() -> None:
    app = retryd.App()
    app.handler("a", name="Mail_v2.1:x")(send_invoice)
    assert list(app.handlers) == ["Mail_v2.1:x"]


def test_one_function_may_serve_under_two_names() -> None:
    app = retryd.App()
    app.handler("a", name="one")(send_invoice)
    app.handler("b", name="two")(send_invoice)
    assert list(app.handlers) == ["one", "two"]


def test_a_taken_name_is_refused_and_keeps_its_handler() -> None:
    app = retryd.App()
    app.handler("a")(send_invoice)
    with pytest.raises(retryd.ConfigurationError, match="registered twice"):
        app.handler("b")(send_invoice)
    assert app.handlers["send-invoice"].match == ("a",)


@pytest.mark.parametrize("name", ["", "a b", "-a", ".a", "a" * 201, "ä", "a\n"])
def test_a_bad_name_is_refused(name: str) -> None:
    app = retryd.App()
    with pytest.raises(retryd.ConfigurationError, match="pass name="):
        app.handler("a", name=name)(send_invoice)
    assert not app.handlers


@pytest.mark.parametrize(
    "function",
    [lambda _: None, functools.partial(send_invoice), type("Job", (), {"__call__": id})()],
)
def test_what_has_no_good_name_needs_one(function: Any) -> None:
    app = retryd.App()
    with pytest.raises(retryd.ConfigurationError, match="pass name="):
        app.handler("a")(function)
    app.handler("a", name="job")(function)
    assert list(app.handlers) == ["job"]


@pytest.mark.parametrize("pattern", ["", "a b", "a" * 201, "*****", "ä"])
def test_a_bad_pattern_is_refused_before_there_is_a_function(pattern: str) -> None:
    with pytest.raises(retryd.ConfigurationError, match="pattern"):
        retryd.App().handler("good", pattern)


def test_a_handler_without_a_pattern_is_refused() -> None:
    with pytest.raises(retryd.ConfigurationError, match="no pattern"):
        retryd.App().handler()(send_invoice)


def test_forgotten_parentheses_are_named() -> None:
    misused: Any = retryd.App().handler
    with pytest.raises(retryd.ConfigurationError, match=r"@app\.handler\('invoice"):
        misused(send_invoice)


def job(_: retryd.Retry) -> Iterator[int]:
    """Yield, which nothing asks for."""
    yield 1


async def async_job(_: retryd.Retry) -> AsyncIterator[int]:
    """Yield, which nothing asks for."""
    yield 1


@pytest.mark.parametrize("function", [job, async_job, 7])
def test_what_nothing_would_run_is_refused(function: Any) -> None:
    app = retryd.App()
    with pytest.raises(retryd.ConfigurationError, match="no function, or a generator"):
        app.handler("a", name="job")(function)


def test_the_registry_cannot_be_changed_from_outside() -> None:
    handlers: Any = retryd.App().handlers
    with pytest.raises(TypeError):
        handlers["x"] = None
