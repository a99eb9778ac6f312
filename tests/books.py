"""The books of a database: what retryd accepted, noted beside it, and is all of it there?"""

from __future__ import annotations

from tests.postgres import Connection

RECORD = """
    with last as (
        select distinct on (e.id) e.id, e.page from books.entry e order by e.id, e.number desc
    ), placed as (
        select p.id, array_agg(p.place) as places from retryd.place p group by p.id
    )
    select coalesce(l.id, p.id) as id, l.page, coalesce(p.places, '{}') as places
    from last l
    full join placed p on p.id = l.id
    where l.id is null or p.id is null or cardinality(p.places) > 1
    order by 1
"""
EXCESS = """
    select id, attempt, lost_attempts, max_retries
    from (
        select id, attempt, lost_attempts, max_retries from retryd.retry_archive
        union all
        select id, attempt, lost_attempts, max_retries from retryd.dead_letter
        union all
        select id, attempt, lost_attempts, max_retries from retryd.retry_queue
    ) r
    where attempt - lost_attempts > max_retries or lost_attempts > $1
"""
# In the order in which they were noted: the clock may have gone back.
TOKENS = """
    select retry, token, earlier
    from (
        select retry, token, lag(token) over (partition by retry order by number) as earlier
        from books.attempt
    ) a
    where token <= earlier
"""


async def has_books(connection: Connection) -> bool:
    """Tell whether the database keeps books: `tests.postgres` opens them."""
    return bool(await connection.fetchval("select to_regclass('books.entry') is not null"))


async def balanced(connection: Connection, *, max_lost: int = 1000, forgets: bool = False) -> None:
    """Fail unless every accepted retry is in one place and was tried within its bounds.

    `forgets`: retention or a person removed something; even so, only what had ended may be gone.
    """
    gone = 0
    for id, page, places in await connection.fetch(RECORD):
        assert page, f"retry {id} is {places} and nobody has noted that it was accepted"
        assert len(places) < 2, f"retry {id} is in {len(places)} places: {places}"
        assert page in {"done", "dead"}, f"retry {id} is lost: accepted, last {page}, in no place"
        assert forgets, f"retry {id} was {page} and is gone; does the test say that it forgets?"
        gone += 1
    assert gone or not forgets, "the test says that it forgets, and nothing is gone"

    for row in await connection.fetch(EXCESS, max_lost):
        # An attempt that runs is counted, and not reported yet.
        raise AssertionError(f"too many attempts: {dict(row)}")
    for row in await connection.fetch(TOKENS):
        raise AssertionError(f"the tokens of a retry do not grow: {dict(row)}")
