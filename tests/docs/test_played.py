"""Plays README.md and docs/quickstart.md from top to bottom, each on an empty database."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.played import Reader, same
from tests.postgres import Database


@pytest.mark.parametrize(("page", "outputs"), [("README.md", 2), ("docs/quickstart.md", 6)])
async def test_a_reader_who_types_what_the_page_says_sees_what_it_shows(
    plain_database: Database, tmp_path: Path, page: str, outputs: int
) -> None:
    assert await Reader(tmp_path, plain_database.dsn).play(page) == outputs


@pytest.mark.parametrize(
    ("shown", "printed", "alike"),
    [
        ("at 2026-01-01 00:00:00Z", "at 2027-02-03 04:05:06Z", True),
        ("took  0.1  by host/1/0123456789ab", "took  2e-05   by vm/77/ba9876543210", True),
        ("first\n...\nlast", "first\nsecond\nthird\nlast", True),
        ("first\n...", "first", True),
        ("attempt 2", "attempt 3", False),
        ("first\n...\nlast", "first\nsecond", False),
        ("id  place\n1   done", "id  place\n1   dead", False),
    ],
)
def test_what_is_shown_may_differ_in_times_and_ids_only(
    shown: str, printed: str, *, alike: bool
) -> None:
    assert same(shown, printed) is alike
