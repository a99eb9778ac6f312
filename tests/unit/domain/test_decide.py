from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retryd.domain import backoff
from retryd.domain.decide import decide
from retryd.domain.decision import Bury, Cancelled, Complete, Decision, Release, Reschedule
from retryd.domain.limits import MAX_DELAY_SECONDS
from retryd.domain.outcome import Cancel, Failure, Lost, Outcome, Reject, Snooze, Success
from retryd.domain.policy import Policy

POLICY = Policy(jitter_mode="none")


@dataclass
class Held:
    attempt: int = 1
    lost_attempts: int = 0
    snoozes: int = 0
    max_retries: int = 3


counts = st.integers(0, 10**6)
retries = st.builds(
    Held, counts, st.integers(0, 2_000), st.integers(0, 2_000), st.integers(1, 10**6)
)
hostile = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, -5, 1e300, 10**400, 5e-324])
outcomes: st.SearchStrategy[Any] = st.one_of(
    st.builds(Success),
    st.builds(Lost),
    st.builds(Cancel, st.text()),
    st.builds(Reject, st.text()),
    st.builds(Snooze, hostile.filter(lambda number: number != 10**400)),
    st.builds(Failure, st.text(), st.text(), st.none() | st.text(), st.none() | hostile),
)
policies = st.builds(
    Policy,
    max_delay_seconds=st.floats(0, MAX_DELAY_SECONDS),
    backoff=st.sampled_from(["exponential", "fibonacci", "decorrelated"]),
    retry_on=st.sampled_from([(), ("a*",), ("TimeoutError", "5*")]),
    give_up_on=st.sampled_from([(), ("*b",)]),
    max_lost_attempts=st.integers(1, 1_000),
)


def failed(error_type: str, **rules: tuple[str, ...]) -> Decision:
    return decide(Held(), Failure(error_type), Policy(jitter_mode="none", **rules), 0.5)  # type: ignore[arg-type]


@given(retries, outcomes, policies, st.floats(0, 1, exclude_max=True))
def test_no_outcome_raises_or_breaks_a_bound(
    retry: Held, outcome: Outcome, policy: Policy, draw: float
) -> None:
    match decide(retry, outcome, policy, draw):
        case Reschedule(delay=delay):
            assert 0 <= delay <= max(policy.max_delay_seconds, 1.0)
            assert retry.attempt - retry.lost_attempts < retry.max_retries
            assert retry.lost_attempts < policy.max_lost_attempts or outcome != Lost()
        case Release(delay=delay, snooze=snooze):
            assert snooze
            assert 0 <= delay <= MAX_DELAY_SECONDS
            assert retry.snoozes < 1_000
        case Bury() | Cancelled():
            assert outcome != Success()
        case Complete():
            assert outcome == Success()


@given(policies, st.integers(1, 30), st.integers(1, 5), st.lists(st.booleans()))
def test_every_life_ends_whatever_fails_or_is_lost(
    policy: Policy, max_retries: int, max_lost: int, losses: list[bool]
) -> None:
    rules = replace(policy, max_lost_attempts=max_lost, retry_on=(), give_up_on=())
    retry = Held(attempt=0, max_retries=max_retries)
    chances = iter(losses)
    decision: Decision = Reschedule(0)
    while isinstance(decision, Reschedule):
        retry.attempt += 1
        lost = next(chances, False)
        retry.lost_attempts += lost
        decision = decide(retry, Lost() if lost else Failure("x"), rules, 0.5)
    worn_out = retry.lost_attempts == max_lost
    assert decision == Bury("worker_lost" if worn_out else "exhausted")
    assert worn_out or retry.attempt - retry.lost_attempts == max_retries


def test_what_a_handler_says_is_done() -> None:
    assert decide(Held(), Success(), POLICY, 0.5) == Complete()
    assert decide(Held(), Cancel("paid by hand"), POLICY, 0.5) == Cancelled("paid by hand")
    assert decide(Held(), Reject("no such customer"), POLICY, 0.5) == Bury("rejected")


def test_a_failure_waits_for_the_delay_of_the_next_attempt() -> None:
    assert decide(Held(attempt=1), Failure("x"), POLICY, 0.5) == Reschedule(4)
    assert decide(Held(attempt=2), Failure("x"), POLICY, 0.5) == Reschedule(8)
    assert decide(Held(attempt=3), Failure("x"), POLICY, 0.5) == Bury("exhausted")


def test_the_row_tells_how_many_retries_it_has_and_not_the_policy() -> None:
    assert decide(Held(attempt=4, max_retries=5), Failure("x"), POLICY, 0.5) == Reschedule(32)
    assert decide(Held(attempt=1, max_retries=1), Failure("x"), POLICY, 0.5) == Bury("exhausted")


def test_lost_attempts_spend_nothing() -> None:
    held = Held(attempt=4, lost_attempts=2)
    assert decide(held, Failure("x"), POLICY, 0.5) == Reschedule(8)


@pytest.mark.parametrize(
    ("lost", "decision"),
    [(1, Reschedule(1)), (2, Reschedule(4)), (3, Bury("worker_lost")), (9, Bury("worker_lost"))],
)
def test_the_first_loss_is_made_good_quickly_and_the_third_is_the_last(
    lost: int, decision: Decision
) -> None:
    assert decide(Held(attempt=lost, lost_attempts=lost), Lost(), POLICY, 0.5) == decision


def test_the_first_loss_waits_one_second_whatever_the_cap() -> None:
    policy = Policy(max_delay_seconds=0.5)
    assert decide(Held(attempt=3, lost_attempts=1), Lost(), policy, 0.9) == Reschedule(1)


def test_a_spent_retry_is_not_rescheduled_by_a_loss() -> None:
    assert decide(Held(attempt=4, lost_attempts=1), Lost(), POLICY, 0.5) == Bury("exhausted")


@pytest.mark.parametrize(
    ("asked", "given_"),
    [
        (60, 60),
        (0, 0),
        (-5, 0),
        (math.nan, 0),
        (-math.inf, 0),
        (1e300, MAX_DELAY_SECONDS),
        (math.inf, MAX_DELAY_SECONDS),
    ],
)
def test_a_snooze_is_clamped(asked: float, given_: float) -> None:
    assert decide(Held(), Snooze(asked), POLICY, 0.5) == Release(given_, snooze=True)


def test_a_thousand_snoozes_are_enough() -> None:
    assert decide(Held(snoozes=999), Snooze(1), POLICY, 0.5) == Release(1, snooze=True)
    assert decide(Held(snoozes=1_000), Snooze(1), POLICY, 0.5) == Bury("snoozed_out")


@pytest.mark.parametrize(
    ("wish", "delay"),
    [
        (None, 4),
        (0, 4),
        (3, 4),
        (10, 10),
        (61, 60),
        (math.inf, 60),
        pytest.param(10**400, 60, id="enormous"),
        (math.nan, 4),
        (-9, 4),
    ],
)
def test_the_targets_wish_is_a_floor_below_the_cap(wish: float | None, delay: float) -> None:
    failure = Failure("http.503", retry_after=wish)
    assert decide(Held(), failure, POLICY, 0.5) == Reschedule(delay)


@pytest.mark.parametrize(
    ("pattern", "error_type", "taken"),
    [
        ("TimeoutError", "TimeoutError", True),
        ("TimeoutError", "asyncpg.exceptions.TimeoutError", True),
        ("asyncpg.exceptions.TimeoutError", "asyncpg.exceptions.TimeoutError", True),
        ("exceptions.TimeoutError", "asyncpg.exceptions.TimeoutError", False),
        ("asyncpg.*", "asyncpg.exceptions.TimeoutError", True),
        ("5*", "503", True),
        ("5*", "http.503", True),
        ("5*", "404", False),
        ("Timeout", "TimeoutError", False),
    ],
)
def test_an_error_type_is_named_whole_by_its_last_part_or_by_a_pattern(
    pattern: str, error_type: str, taken: bool
) -> None:
    rejected = Bury("rejected")
    assert (failed(error_type, give_up_on=(pattern,)) == rejected) == taken
    assert (failed(error_type, retry_on=(pattern,)) == rejected) != taken


def test_giving_up_comes_before_retrying() -> None:
    rejected = failed("ValueError", retry_on=("ValueError",), give_up_on=("*Error",))
    assert rejected == Bury("rejected")


@given(policies, st.integers(1, 10**6 - 1), st.floats(0, 1, exclude_max=True))
@example(Policy(backoff_multiplier=1e300), 10**6 - 1, 0.0)
def test_the_delay_is_that_of_the_policy(policy: Policy, attempt: int, draw: float) -> None:
    held = Held(attempt=attempt, max_retries=10**6)
    error_type = policy.retry_on[0].replace("*", "") if policy.retry_on else "x"
    expected = Reschedule(backoff.delay(policy, attempt + 1, draw))
    assert decide(held, Failure(error_type), policy, draw) == expected
