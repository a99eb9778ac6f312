"""How long to wait before attempt n: used by `decide`, and once at capture for the first delay."""

from __future__ import annotations

import math
from typing import assert_never

from retryd.domain.policy import Policy

_FINITE_FIBONACCI = 1476  # the last Fibonacci number that a float holds
_MANY = 2**53  # times any first delay that matters, it is beyond every cap
_FINITE_EXPONENT = 1000  # two to this power fits into a float, with room for the first delay


def delay(policy: Policy, n: int, draw: float) -> float:
    """Seconds to wait before attempt `n`, counted from 1; `draw`, in [0, 1), is the chance in it.

    Finite and within 0 … `max_delay_seconds`, for every `n` and every valid policy.
    """
    cap = policy.max_delay_seconds
    if policy.backoff == "decorrelated":
        return _decorrelated(policy, n, draw)
    return min(_jittered(policy, min(_planned(policy, max(n, 1)), cap), draw), cap)


def first_delay_bounds(policy: Policy) -> tuple[float, float]:
    """Give the least and the greatest delay before attempt 1; capture draws between them in SQL."""
    return delay(policy, 1, 0.0), delay(policy, 1, 1.0)


def _planned(policy: Policy, n: int) -> float:
    initial = policy.initial_delay_seconds
    match policy.backoff:
        case "exponential":
            return initial * _power(policy.backoff_multiplier, n - 1)
        case "linear":
            return initial * min(n, _MANY)
        case "constant":
            return initial
        case "fibonacci":
            return initial * _fibonacci(n)
        case "schedule":
            return policy.schedule_seconds[min(n, len(policy.schedule_seconds)) - 1]
        case "decorrelated":
            return initial * _power(3.0, n - 1)
        case _:
            assert_never(policy.backoff)


def _jittered(policy: Policy, seconds: float, draw: float) -> float:
    match policy.jitter_mode:
        case "fraction":
            return seconds * (1 + policy.jitter * (2 * draw - 1))
        case "full":
            return seconds * draw
        case "equal":
            return seconds / 2 + seconds / 2 * draw
        case "none":
            return seconds
        case _:
            assert_never(policy.jitter_mode)


def _decorrelated(policy: Policy, n: int, draw: float) -> float:
    """Draw between the first delay and three times more per attempt.

    The "decorrelated jitter" of the AWS Architecture Blog, "Exponential Backoff And Jitter" (2015),
    without its memory: the bound grows from attempt to attempt, not from draw to draw.
    """
    low = min(policy.initial_delay_seconds, policy.max_delay_seconds)
    high = min(_planned(policy, max(n, 1)), policy.max_delay_seconds)
    return min(low + (high - low) * draw, high)


def _power(base: float, exponent: int) -> float:
    """Raise `base`, at least 1, with the exponent clamped first, since pow raises on overflow."""
    if base == 1:
        return 1.0
    return math.pow(base, min(exponent, _FINITE_EXPONENT / math.log2(base)))


def _fibonacci(n: int) -> float:
    current, following = 1.0, 1.0
    for _ in range(min(n, _FINITE_FIBONACCI) - 1):
        current, following = following, current + following
    return current
