"""How long a claim without an answer is looked for, and what of the finds is new."""

from __future__ import annotations

import math
from collections.abc import Iterable

from retryd.domain.retry import Retry
from retryd.worker.doubt import ClaimDoubt
from tests.unit.handlers.attempts import a_retry


def retry(token: int) -> Retry:
    """Return a retry that was claimed under this token."""
    return a_retry(claim_token=token)


def tokens(retries: Iterable[Retry]) -> list[int]:
    """Return the tokens of these."""
    return [each.claim_token for each in retries]


def test_without_a_doubt_there_is_nothing_to_look_for() -> None:
    doubt = ClaimDoubt(20)
    doubt.told([retry(1)])
    assert not doubt
    assert doubt.look_in(100) == math.inf


def test_a_doubt_is_looked_into_at_once_and_every_second_until_it_is_over() -> None:
    doubt = ClaimDoubt(20)
    doubt.add(7, 100)
    looks, now = [], 100.0
    while doubt:
        now += doubt.look_in(now)
        looks.append(now)
        assert doubt.after == 7
        assert doubt.looked([], now) == []
    assert looks == [100 + second for second in range(21)]
    assert doubt.look_in(now) == math.inf


def test_the_time_of_a_doubt_begins_when_it_could_be_looked_into_for_the_first_time() -> None:
    doubt = ClaimDoubt(20)
    doubt.add(7, 100)
    assert doubt.look_in(500) == 0
    doubt.looked([], 500)
    assert doubt.look_in(500.25) == 0.75
    doubt.looked([], 519)
    assert doubt
    doubt.looked([], 520)
    assert not doubt


def test_what_was_told_of_or_found_before_is_not_new() -> None:
    doubt = ClaimDoubt(20)
    doubt.add(7, 100)
    assert tokens(doubt.looked([], 100)) == []
    doubt.told([retry(10), retry(11)])
    found = [retry(8), retry(9), retry(10), retry(11)]
    assert tokens(doubt.looked(found, 101)) == [8, 9]
    assert tokens(doubt.looked([*found, retry(12)], 102)) == [12]


def test_two_doubts_are_looked_into_together_and_end_one_by_one() -> None:
    doubt = ClaimDoubt(20)
    doubt.add(7, 100)
    doubt.looked([], 100)
    doubt.told([retry(8)])
    doubt.add(8, 110)
    doubt.looked([retry(8)], 110)
    doubt.told([retry(9)])
    assert doubt.after == 7
    doubt.looked([retry(8), retry(9)], 120)
    assert doubt.after == 8
    assert doubt.looked([retry(9)], 129) == []
    doubt.looked([retry(9)], 130)
    assert not doubt
