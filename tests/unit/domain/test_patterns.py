from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retryd.domain.errors import Refused
from retryd.domain.patterns import check_pattern, literal_length, matches, operation_of

patterns = st.text("ab.*", max_size=12).filter(lambda text: text.count("*") <= 4)
subjects = st.text("ab.", max_size=12)


@given(patterns, subjects)
@example("a*a", "a")
@example("*ab*ab*", "ab.ab")
@example("a*b*", "ab")
@example("", "")
def test_a_pattern_matches_as_its_regular_expression_does(pattern: str, subject: str) -> None:
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert matches(pattern, subject) == bool(re.fullmatch(expression, subject))


@given(subjects, subjects, subjects)
def test_a_star_takes_any_run_of_characters(head: str, run: str, tail: str) -> None:
    assert matches(f"{head}*{tail}", head + run + tail)


def test_a_star_takes_dots_and_nothing_too() -> None:
    assert matches("*.failed", "sql.query.failed")
    assert matches("sql.*", "sql.")
    assert not matches("*.failed", "failed")
    assert not matches("sql.*", "SQL.query")


@pytest.mark.timeout(5)
def test_a_hostile_pattern_takes_no_longer_than_a_few_searches() -> None:
    assert not matches("*a*a*a*b", "a" * 10**6)
    assert not matches("*.x*.x*.x*.y", "a." * 10**6)
    assert matches("*a*a*a*", "a." * 10**6)


@pytest.mark.parametrize("text", ["*", "a", "*.failed", "****", "a*b*c*d*e", "x" * 200])
def test_a_pattern_is_an_event_type_with_up_to_four_stars(text: str) -> None:
    check_pattern(text)


@pytest.mark.parametrize("text", ["", "*****", "a b", "a?", "[a]", "a%", "a\n", "x" * 201, None, 1])
def test_anything_else_is_no_pattern(text: object) -> None:
    with pytest.raises(Refused, match=r"^pattern "):
        check_pattern(text)


@pytest.mark.parametrize(
    ("event_type", "operation"),
    [
        ("sql.query.failed", "sql.query"),
        ("sql.query.error", "sql.query"),
        ("sql.query.timeout", "sql.query"),
        ("a.failed.error", "a.failed"),
        ("a.failed.failed", "a.failed"),
        ("failed", "failed"),
        ("sql.query", "sql.query"),
        ("a_failed", "a_failed"),
        ("a.Failed", "a.Failed"),
        ("failed.failed", "failed"),
    ],
)
def test_an_operation_is_its_event_type_without_one_suffix(event_type: str, operation: str) -> None:
    assert operation_of(event_type) == operation


@given(subjects.filter(bool), st.sampled_from(["failed", "error", "timeout"]))
def test_an_operation_comes_back_from_its_event_type(operation: str, suffix: str) -> None:
    assert operation_of(f"{operation}.{suffix}") == operation


@given(patterns)
def test_the_literal_length_counts_what_is_no_star(pattern: str) -> None:
    assert literal_length(pattern) == len(pattern.replace("*", ""))
