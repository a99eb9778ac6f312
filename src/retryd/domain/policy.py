"""How often and how patiently an operation is tried again: chosen by capture, read by `decide`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from retryd.domain.errors import ConfigurationError, Refused
from retryd.domain.limits import (
    KEY_BYTES,
    LOWEST_PRIORITY,
    MAX_DELAY_SECONDS,
    MAX_LOST_ATTEMPTS,
    MAX_RETRIES,
)
from retryd.domain.patterns import MAX_STARS, check_pattern, literal_length, matches

Backoff: TypeAlias = Literal[
    "exponential", "linear", "constant", "fibonacci", "decorrelated", "schedule"
]
JitterMode: TypeAlias = Literal["fraction", "full", "equal", "none"]

MAX_AGE_SECONDS: Final = 10 * MAX_DELAY_SECONDS
SHORTEST_SECONDS: Final = 0.001

RANGES: Final = (
    ("max_retries", int, 1, MAX_RETRIES),
    ("initial_delay_seconds", float, 0, MAX_DELAY_SECONDS),
    ("backoff_multiplier", float, 1, sys.float_info.max),
    ("max_delay_seconds", float, 0, MAX_DELAY_SECONDS),
    ("schedule_seconds", float, 0, MAX_DELAY_SECONDS),
    ("jitter", float, 0, 1),
    ("timeout_seconds", float, SHORTEST_SECONDS, MAX_DELAY_SECONDS),
    ("max_age_seconds", float, SHORTEST_SECONDS, MAX_AGE_SECONDS),
    ("priority", int, 0, LOWEST_PRIORITY),
    ("max_lost_attempts", int, 1, MAX_LOST_ATTEMPTS),
)
"""Each number of a policy: its type, the least and the most that is allowed."""
_OPTIONAL: Final = {"priority", "max_age_seconds"}


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules for retrying an operation; durations in seconds.

    `max_retries` counts retryd's own attempts, not the failure that came in. `retry_on` and
    `give_up_on` hold error types: the full name, its last part, or a pattern with `*`. Whoever
    builds an unusable policy gets a `ConfigurationError` that names each field.
    """

    name: str = "default"
    match: tuple[str, ...] = ()
    max_retries: int = 3
    backoff: Backoff = "exponential"
    initial_delay_seconds: float = 2.0
    backoff_multiplier: float = 2.0
    max_delay_seconds: float = 60.0
    schedule_seconds: tuple[float, ...] = ()
    jitter: float = 0.25
    jitter_mode: JitterMode = "fraction"
    timeout_seconds: float = 30.0
    max_age_seconds: float | None = None
    priority: int | None = None
    retry_on: tuple[str, ...] = ()
    give_up_on: tuple[str, ...] = ()
    max_lost_attempts: int = 3

    def __post_init__(self) -> None:
        """Check every field and name all that are wrong at once."""
        if problems := [f"policy {self.name!r}: {problem}" for problem in _problems(self)]:
            raise ConfigurationError(problems)


def _problems(policy: Policy) -> Iterator[str]:
    if not 0 < len(policy.name) <= KEY_BYTES:
        yield f"its name must have 1 to {KEY_BYTES} characters"
    yield from _choice_problems(policy)
    yield from _number_problems(policy)
    yield from _pattern_problems(policy)


def _choice_problems(policy: Policy) -> Iterator[str]:
    if policy.backoff not in get_args(Backoff):
        yield f"backoff is {_shown(policy.backoff)}, allowed is {', '.join(get_args(Backoff))}"
    if policy.jitter_mode not in get_args(JitterMode):
        modes = ", ".join(get_args(JitterMode))
        yield f"jitter_mode is {_shown(policy.jitter_mode)}, allowed is {modes}"
    if policy.backoff == "schedule" and not policy.schedule_seconds:
        yield "schedule_seconds is empty, allowed with backoff schedule is one delay or more"


def _number_problems(policy: Policy) -> Iterator[str]:
    for field, kind, low, high in RANGES:
        value = getattr(policy, field)
        for each in value if isinstance(value, tuple) else (value,):
            optional = each is None and field in _OPTIONAL
            if not (optional or _within(each, kind, low, high)):
                yield f"{field} is {_shown(each)}, allowed is {low:.10g} to {high:.10g}"


def _pattern_problems(policy: Policy) -> Iterator[str]:
    for pattern in policy.match:
        try:
            check_pattern(pattern)
        except Refused as refused:
            yield f"match: {refused}"
    for field, error_types in (("retry_on", policy.retry_on), ("give_up_on", policy.give_up_on)):
        for error_type in error_types:
            if not 0 < len(error_type) <= KEY_BYTES or error_type.count("*") > MAX_STARS:
                allowed = f"1 to {KEY_BYTES} characters with at most {MAX_STARS} times `*`"
                yield f"{field} has {_shown(error_type)}, allowed is {allowed}"


def _within(value: object, kind: type, low: float, high: float) -> bool:
    """Tell whether it is a number in this range; NaN is in none, a bool is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (kind is float or isinstance(value, int)) and low <= value <= high


def _shown(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > KEY_BYTES:
        return "an enormous number"  # int has a limit on digits beyond which repr() raises
    text = repr(value)
    return text if len(text) <= KEY_BYTES else text[:KEY_BYTES] + "…"


DEFAULT: Final = Policy()
SQL_OPERATION: Final = Policy("sql_operation", match=("sql.*",), timeout_seconds=15.0)
EVENT_PUBLISH: Final = Policy("event_publish", match=("event.*",), max_retries=5)
PRESETS: Final = (DEFAULT, SQL_OPERATION, EVENT_PUBLISH)


def choose(policies: Iterable[Policy], operation: str, named: str | None = None) -> Policy:
    """Choose the named policy, else the closest match, else the one called `default`.

    The closest has most literal characters in the pattern that matches; of equals the smaller name
    wins. A name that no policy has counts as not given, so a removed policy loses no retry.
    """
    by_name = {policy.name: policy for policy in policies}
    if named in by_name:
        return by_name[named]
    found = [
        (-literal_length(pattern), policy.name)
        for policy in by_name.values()
        for pattern in policy.match
        if matches(pattern, operation)
    ]
    return by_name[min(found)[1]] if found else by_name.get(DEFAULT.name, DEFAULT)
