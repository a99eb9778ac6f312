"""How much is asked at once: less after a failure, more after a success."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retryd.domain.errors import DatabaseUnavailable
from retryd.worker.batch import Batch


def attempt(batch: Batch, *, works: bool) -> None:
    with suppress(DatabaseUnavailable), batch.trying(batch.size):
        if not works:
            raise DatabaseUnavailable


def test_a_failure_halves_and_a_success_doubles_up_to_all() -> None:
    batch = Batch(10)
    sizes = []
    for works in (False, False, False, False, True, True, True, True):
        attempt(batch, works=works)
        sizes.append(batch.size)
    assert sizes == [5, 2, 1, 1, 2, 4, 8, 10]


def test_the_failure_itself_goes_on() -> None:
    with pytest.raises(DatabaseUnavailable), Batch(10).trying(10):
        raise DatabaseUnavailable


def test_a_failure_halves_what_was_asked_where_that_was_less() -> None:
    batch = Batch(1_000)
    with suppress(DatabaseUnavailable), batch.trying(12):
        raise DatabaseUnavailable
    assert batch.size == 6


@given(st.integers(1, 10_000), st.lists(st.booleans(), max_size=50))
def test_it_is_never_below_one_or_above_the_largest(largest: int, history: list[bool]) -> None:
    batch = Batch(largest)
    for works in history:
        attempt(batch, works=works)
        assert 1 <= batch.size <= largest
