from __future__ import annotations

import math
import sys
from dataclasses import replace
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retryd.domain.backoff import delay, first_delay_bounds
from retryd.domain.limits import MAX_DELAY_SECONDS
from retryd.domain.policy import Backoff, JitterMode, Policy

TINY = 5e-324
HUGE = sys.float_info.max

seconds = st.sampled_from([0, 0.0, TINY, 1e-300, 1, MAX_DELAY_SECONDS]) | st.floats(
    0, MAX_DELAY_SECONDS
)
policies = st.builds(
    Policy,
    backoff=st.sampled_from(get_args(Backoff)),
    initial_delay_seconds=seconds,
    backoff_multiplier=st.sampled_from([1, 1.0000000000000002, 2, 1e300, HUGE])
    | st.floats(1, HUGE),
    max_delay_seconds=seconds,
    schedule_seconds=st.lists(seconds, min_size=1, max_size=4).map(tuple),
    jitter=st.floats(0, 1),
    jitter_mode=st.sampled_from(get_args(JitterMode)),
)
draws = st.floats(0, 1, exclude_max=True)
attempts = st.integers(1, 10**6) | st.sampled_from([0, -1, 2**63, 10**400])


def delays(policy: Policy, count: int = 6, draw: float = 0.5) -> list[float]:
    return [delay(policy, n, draw) for n in range(1, count + 1)]


@given(policies, attempts, draws)
@example(Policy(backoff_multiplier=1e300), 10**6, 0.5)
@example(Policy(backoff="fibonacci", initial_delay_seconds=0), 10**6, 0.5)
@example(Policy(backoff="fibonacci", initial_delay_seconds=TINY), 10**6, 0.5)
def test_a_delay_is_finite_and_within_the_cap(policy: Policy, n: int, draw: float) -> None:
    assert 0 <= delay(policy, n, draw) <= policy.max_delay_seconds
    assert math.isfinite(delay(policy, n, draw))


@given(policies, draws)
def test_the_first_delay_is_within_its_bounds(policy: Policy, draw: float) -> None:
    low, high = first_delay_bounds(policy)
    assert low <= delay(policy, 1, draw) <= high <= policy.max_delay_seconds


@given(policies.filter(lambda policy: policy.backoff != "schedule"), st.integers(1, 10**6), draws)
def test_a_later_attempt_never_waits_less_at_the_same_draw(
    policy: Policy, n: int, draw: float
) -> None:
    assert delay(policy, n, draw) <= delay(policy, n + 1, draw)


@given(policies, st.integers(1, 2_000))
def test_a_larger_draw_never_waits_less(policy: Policy, n: int) -> None:
    waits = [delay(policy, n, draw / 8) for draw in range(8)]
    assert all(earlier <= later for earlier, later in pairwise(waits))


def test_the_default_doubles_up_to_the_cap() -> None:
    assert delays(Policy(), 7) == [2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize(
    ("backoff", "expected"),
    [
        ("exponential", [2, 6, 18, 54, 60, 60]),
        ("linear", [2, 4, 6, 8, 10, 12]),
        ("constant", [2, 2, 2, 2, 2, 2]),
        ("fibonacci", [2, 2, 4, 6, 10, 16]),
        ("schedule", [5, 1, 30, 30, 30, 30]),
    ],
)
def test_each_backoff_follows_its_formula(backoff: Backoff, expected: list[float]) -> None:
    policy = Policy(
        backoff=backoff, backoff_multiplier=3, schedule_seconds=(5, 1, 30), jitter_mode="none"
    )
    assert delays(policy) == expected


def test_decorrelated_draws_between_the_first_delay_and_three_times_more_each_time() -> None:
    policy = Policy(backoff="decorrelated", max_delay_seconds=30, jitter=1)
    assert delays(policy, draw=0.0) == [2, 2, 2, 2, 2, 2]
    assert delays(policy, draw=0.5) == [2, 4, 10, 16, 16, 16]
    assert first_delay_bounds(policy) == (2, 2)


@pytest.mark.parametrize(
    ("mode", "bounds"),
    [("fraction", (6, 10)), ("full", (0, 8)), ("equal", (4, 8)), ("none", (8, 8))],
)
def test_each_jitter_has_its_bounds(mode: JitterMode, bounds: tuple[float, float]) -> None:
    policy = Policy(initial_delay_seconds=8, jitter_mode=mode)
    assert first_delay_bounds(policy) == bounds


def test_the_cap_holds_after_the_jitter_too() -> None:
    policy = Policy(initial_delay_seconds=60)
    assert first_delay_bounds(policy) == (45, 60)
    assert first_delay_bounds(replace(policy, max_delay_seconds=0)) == (0, 0)


@pytest.mark.timeout(10)
def test_a_million_attempts_take_no_time() -> None:
    for backoff in get_args(Backoff):
        for initial in (0, TINY, 2):
            policy = Policy(
                backoff=backoff,
                initial_delay_seconds=initial,
                schedule_seconds=(2,),
                backoff_multiplier=1e300,
            )
            for n in range(10**6, 10**6 + 100):
                assert delay(policy, n, 0.5) <= 60
