"""The one brain: from a retry's progress and an outcome to what happens next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol, assert_never

from retryd.domain import backoff
from retryd.domain.decision import Bury, Cancelled, Complete, Decision, Release, Reschedule
from retryd.domain.limits import MAX_DELAY_SECONDS, MAX_SNOOZES
from retryd.domain.outcome import Cancel, Failure, Lost, Outcome, Reject, Snooze, Success
from retryd.domain.patterns import matches
from retryd.domain.policy import Policy

FIRST_DELAY_AFTER_LOSS_SECONDS: Final = 1.0


class Progress(Protocol):
    """How far a retry has come in this life, the attempt that just ended counted in."""

    @property
    def attempt(self) -> int:
        """Attempts claimed and not given back, lost ones among them."""

    @property
    def lost_attempts(self) -> int:
        """Attempts that ended with their worker."""

    @property
    def snoozes(self) -> int:
        """Snoozes so far."""

    @property
    def max_retries(self) -> int:
        """Attempts that may report before the retry is spent."""


def decide(retry: Progress, outcome: Outcome, policy: Policy, draw: float) -> Decision:
    """Decide what follows an attempt; `draw`, in [0, 1), is the chance in the delay.

    Never raises, however odd an outcome's numbers are, and never reschedules a spent retry.
    """
    match outcome:
        case Success():
            return Complete()
        case Cancel(why=why):
            return Cancelled(why)
        case Reject():
            return Bury("rejected")
        case Snooze(delay=delay):
            return _after_snooze(retry, delay)
        case Failure():
            return _after_failure(retry, outcome, policy, draw)
        case Lost():
            return _after_loss(retry, policy, draw)
        case _:
            assert_never(outcome)


def _after_snooze(retry: Progress, delay: float) -> Decision:
    if retry.snoozes >= MAX_SNOOZES:
        return Bury("snoozed_out")
    return Release(_clamped(delay, MAX_DELAY_SECONDS), snooze=True)


def _after_failure(retry: Progress, failure: Failure, policy: Policy, draw: float) -> Decision:
    if _names(policy.give_up_on, failure.error_type):
        return Bury("rejected")
    wanted = _names(policy.retry_on, failure.error_type)
    if not wanted and (policy.retry_on or failure.permanent):
        return Bury("rejected")
    if _spent(retry):
        return Bury("exhausted")
    delay = backoff.delay(policy, _reported(retry) + 1, draw)
    floor = _clamped(failure.retry_after or 0.0, policy.max_delay_seconds)
    return Reschedule(max(delay, floor))


def _after_loss(retry: Progress, policy: Policy, draw: float) -> Decision:
    if retry.lost_attempts >= policy.max_lost_attempts:
        return Bury("worker_lost")
    # A loss alone spends nothing, but SQL reschedules no spent retry, whatever the outcome.
    if _spent(retry):
        return Bury("exhausted")
    if retry.lost_attempts <= 1:
        return Reschedule(FIRST_DELAY_AFTER_LOSS_SECONDS)
    return Reschedule(backoff.delay(policy, retry.lost_attempts, draw))


def _reported(retry: Progress) -> int:
    return retry.attempt - retry.lost_attempts


def _spent(retry: Progress) -> bool:
    return _reported(retry) >= retry.max_retries


def _names(patterns: Iterable[str], error_type: str) -> bool:
    """Tell whether a pattern takes the error type, or its last part: `TimeoutError`, `5*`."""
    last = error_type.rpartition(".")[2]
    return any(matches(pattern, name) for pattern in patterns for name in (error_type, last))


def _clamped(seconds: float, highest: float) -> float:
    # The order matters: max() keeps its first argument when the second is NaN.
    return min(max(0.0, seconds), highest)
