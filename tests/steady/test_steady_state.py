"""The short form of `make steady`."""

from __future__ import annotations

import pytest

from tests.postgres import open_directory
from tests.remains import Processes
from tests.steady.judge import judge
from tests.steady.plan import SHORT
from tests.steady.run import Steady, open_database


@pytest.mark.timeout(240)
async def test_at_a_constant_backlog_nothing_grows_is_lost_or_done_twice(
    processes: Processes,
) -> None:
    with open_directory() as folder:
        async with open_database(SHORT, folder) as database:
            record = await Steady(SHORT, database, folder).run()
    assert record.wrong == []
    assert [verdict for verdict in judge(record) if not verdict.holds] == []
