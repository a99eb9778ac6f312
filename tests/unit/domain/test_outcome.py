from __future__ import annotations

import gc
import pickle
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retryd.domain.limits import CUT_MARK
from retryd.domain.outcome import Cancel, Failure, Reject, Snooze, Success, failure_of


class Mute(Exception):
    def __str__(self) -> str:  # type: ignore[explicit-override]
        raise RuntimeError("no words")


class Secretive(Exception):
    def __getattribute__(self, name: str) -> object:  # type: ignore[explicit-override]
        raise RuntimeError(name)


class Big:
    pass


def raised(error: Exception) -> Exception:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_a_failure_says_type_message_and_stack() -> None:
    failure = failure_of(raised(ValueError("no such customer")))
    assert (failure.error_type, failure.message) == ("ValueError", "no such customer")
    assert failure.stack is not None
    assert failure.stack.startswith("Traceback")
    assert failure.stack.endswith("ValueError: no such customer\n")
    assert failure.retry_after is None


def test_the_type_of_a_failure_is_its_qualified_name() -> None:
    assert failure_of(Mute()).error_type == f"{__name__}.Mute"
    assert failure_of(KeyboardInterrupt()).error_type == "KeyboardInterrupt"


def test_an_exception_that_cannot_be_printed_is_a_failure_like_any_other() -> None:
    failure = failure_of(raised(Mute()))
    assert failure.message == "(no message: its __str__ raised RuntimeError)"
    assert failure.stack is not None


def test_an_exception_that_cannot_be_formatted_has_no_stack() -> None:
    assert failure_of(Secretive("x")) == Failure(f"{__name__}.Secretive", "x")


def test_a_cause_and_a_group_are_told_in_the_stack() -> None:
    error = ExceptionGroup("both", [KeyError("k"), Mute()])
    error.__cause__ = OSError("disk")
    stack = failure_of(raised(error)).stack or ""
    assert "OSError: disk" in stack
    assert "KeyError: 'k'" in stack


def test_message_and_stack_are_cut() -> None:
    failure = failure_of(raised(ValueError("é" * 10**6)))
    assert len(failure.message.encode()) <= 8 * 1024
    assert failure.message.endswith(CUT_MARK)
    assert failure.stack is not None
    assert len(failure.stack.encode()) <= 64 * 1024


def test_a_deep_recursion_has_a_short_stack() -> None:
    def down(n: int) -> None:
        if n:
            up(n - 1)
        raise RecursionError("too deep")

    def up(n: int) -> None:
        down(n)

    with pytest.raises(RecursionError) as caught:
        down(400)
    stack = failure_of(caught.value).stack or ""
    assert stack.count('  File "') == 100
    assert stack.endswith("RecursionError: too deep\n")


def test_a_failure_keeps_nothing_of_the_frames() -> None:
    def attempt() -> tuple[Failure, weakref.ref[Big]]:
        big = Big()
        try:
            int("x")
        except ValueError as error:
            return failure_of(error), weakref.ref(big)
        raise AssertionError

    failure, big = attempt()
    gc.collect()
    assert big() is None
    assert failure.error_type == "ValueError"


@given(st.text(st.characters()), st.text(st.characters()), st.none() | st.text(st.characters()))
def test_every_failure_is_storable(error_type: str, message: str, stack: str | None) -> None:
    failure = Failure(error_type, message, stack)
    for text in (failure.error_type, failure.message, failure.stack or ""):
        assert "\x00" not in text
        assert text.encode().decode() == text


def test_snooze_reject_and_cancel_are_exceptions_and_values() -> None:
    for outcome in (Snooze(60), Reject("why"), Cancel("why")):
        with pytest.raises(type(outcome)) as caught:
            raise outcome
        assert caught.value == outcome
        assert pickle.loads(pickle.dumps(outcome)) == outcome  # noqa: S301 - its own pickle
    assert Snooze(60) == Snooze(delay=60.0)
    assert len({Reject("a"), Reject("a"), Cancel("a"), Reject("b")}) == 3
    assert Success() == Success()


def test_they_may_be_raised_with_a_cause_and_as_classes() -> None:
    with pytest.raises(Reject) as caught:
        raise Reject from KeyError("k")
    assert caught.value.why == ""
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_reason_is_storable_and_a_delay_is_a_number() -> None:
    assert str(Reject("a\x00b")) == "a\ufffdb"
    assert len(Cancel("x" * 10**6).why) < 8 * 1024
    assert Reject(ValueError("also this")).why == "also this"  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="could not convert"):
        Snooze("soon")  # type: ignore[arg-type]
