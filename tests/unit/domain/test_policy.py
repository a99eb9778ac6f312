from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retryd.domain.errors import ConfigurationError
from retryd.domain.policy import DEFAULT, EVENT_PUBLISH, PRESETS, SQL_OPERATION, Policy, choose

SECONDS = "0 to 31622400"


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("max_retries", 0, "1 to 1000000"),
        ("max_retries", 1_000_001, "1 to 1000000"),
        ("max_retries", 2.0, "1 to 1000000"),
        ("max_retries", True, "1 to 1000000"),
        pytest.param("max_retries", 10**5000, "1 to 1000000", id="enormous"),
        ("max_lost_attempts", 0, "1 to 1000"),
        ("initial_delay_seconds", -1.0, SECONDS),
        ("initial_delay_seconds", math.nan, SECONDS),
        ("initial_delay_seconds", "2", SECONDS),
        ("max_delay_seconds", math.inf, SECONDS),
        ("max_delay_seconds", 367 * 86_400, SECONDS),
        ("backoff_multiplier", 0.5, "1 to 1.797693135e+308"),
        ("backoff_multiplier", math.inf, "1 to 1.797693135e+308"),
        ("schedule_seconds", (1.0, -1.0), SECONDS),
        ("jitter", 1.5, "0 to 1"),
        ("jitter", math.nan, "0 to 1"),
        ("timeout_seconds", 0, "0.001 to 31622400"),
        ("timeout_seconds", None, "0.001 to 31622400"),
        ("max_age_seconds", -1, "0.001 to 316224000"),
        ("priority", 10, "0 to 9"),
        ("priority", 1.0, "0 to 9"),
        ("backoff", "random", "exponential, linear, constant, fibonacci, decorrelated, schedule"),
        ("jitter_mode", "half", "fraction, full, equal, none"),
        ("retry_on", ("",), "1 to 255 characters with at most 4 times `*`"),
        ("give_up_on", ("*****",), "1 to 255 characters with at most 4 times `*`"),
    ],
)
def test_a_refusal_names_field_and_allowed_range(field: str, value: object, allowed: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Policy(**{field: value})  # type: ignore[arg-type]
    (problem,) = caught.value.problems
    assert problem.startswith(f"policy 'default': {field} ")
    assert problem.endswith(f"allowed is {allowed}")


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Policy(name="", match=("sql query",), backoff="schedule", jitter=9)
    assert len(caught.value.problems) == 4


def test_a_schedule_needs_a_delay() -> None:
    with pytest.raises(ConfigurationError, match="schedule_seconds is empty"):
        Policy(backoff="schedule")
    assert Policy(backoff="schedule", schedule_seconds=(0, 60)).schedule_seconds == (0, 60)


def test_the_presets_are_those_of_the_contract() -> None:
    assert [policy.name for policy in PRESETS] == ["default", "sql_operation", "event_publish"]
    assert (SQL_OPERATION.match, SQL_OPERATION.timeout_seconds) == (("sql.*",), 15)
    assert (EVENT_PUBLISH.match, EVENT_PUBLISH.max_retries) == (("event.*",), 5)
    assert DEFAULT.match == ()


def test_the_named_policy_comes_before_a_matching_one() -> None:
    assert choose(PRESETS, "sql.query", named="event_publish") is EVENT_PUBLISH
    assert choose(PRESETS, "sql.query") is SQL_OPERATION
    assert choose(PRESETS, "mail.send") is DEFAULT


def test_a_name_that_no_policy_has_counts_as_none() -> None:
    assert choose(PRESETS, "sql.query", named="removed") is SQL_OPERATION
    assert choose([], "sql.query", named="removed") is DEFAULT


def test_the_policy_called_default_replaces_the_preset() -> None:
    own = Policy(max_retries=9)
    assert choose([own], "mail.send") is own


def test_most_literal_characters_win_then_the_smaller_name() -> None:
    wide = Policy("a", match=("*", "sql.*"))
    close = Policy("z", match=("sql.q*",))
    equal = Policy("b", match=("*.query", "*sql*q*"))
    assert choose([wide, close], "sql.query") is close
    assert choose([close, equal, wide], "sql.query") is equal
    assert choose([close, equal], "sql.quit") is close
    assert choose([Policy("y", match=("sql.*",)), wide], "sql.quit") is wide


@given(st.permutations([*PRESETS, Policy("a", match=("sql.*",)), Policy("b", match=("*.query",))]))
def test_the_order_of_policies_does_not_matter(policies: list[Policy]) -> None:
    assert choose(policies, "sql.query").name == "b"
    assert choose(policies, "sql.x").name == "a"
