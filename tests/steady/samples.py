"""What a look at the running thing finds: sizes, rows, buffers, memory, delays."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass

from tests.postgres import Connection
from tests.steady.notes import Notes

# A partition counts with its parent; one that is being dropped has none any more.
SIZES = """
    select r.relname as name, r.relkind in ('r', 'p') as is_table,
        sum(case c.relkind when 'r' then pg_table_size(c.oid) else pg_relation_size(c.oid) end
            )::bigint as bytes,
        coalesce(sum(pg_stat_get_dead_tuples(c.oid)), 0)::bigint as dead
    from pg_class c
    join pg_class r on r.oid =
        case when c.relispartition then pg_partition_root(c.oid) else c.oid end
    where c.relnamespace = 'retryd'::regnamespace and c.relkind in ('r', 'i')
    group by r.relname, r.relkind
"""
SESSIONS = """
    select count(*) filter (where application_name like 'retryd/%') as connections,
        coalesce(max(extract(epoch from clock_timestamp() - xact_start)) filter (
            where backend_xmin is not null and pid <> pg_backend_pid()), 0)::float8 as snapshot
    from pg_stat_activity
    where datname = current_database() and backend_type = 'client backend'
"""
# What the workers themselves have called; what a function does inside counts for it.
CALLED = """
    select substring(query from 'retryd\\.(\\w+)\\(') as function, sum(calls)::bigint as calls,
        sum(rows)::bigint as rows, sum(shared_blks_hit + shared_blks_read)::bigint as buffers
    from pg_stat_statements
    where dbid = (select oid from pg_database where datname = current_database())
        and query like 'select%retryd.%'
    group by 1
"""


@dataclass(frozen=True, slots=True)
class Called:
    """How often a function was called up to now, for how many rows, at how many buffers."""

    calls: int
    rows: int
    buffers: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. Bytes are by table and index, rows and dead rows by table."""

    at: float
    day: int
    passed: int
    bytes: Mapping[str, int]
    rows: Mapping[str, int]
    dead: Mapping[str, int]
    called: Mapping[str, Called]
    snapshot_seconds: float
    connections: int
    resident_mb: Mapping[str, float]
    """By name: the worker that stays, and the one that is replaced."""
    pickup_ms: tuple[float, float]
    """The median and the 99th of 100 delays from due to start since the look before."""


@dataclass(slots=True)
class Looker:
    """Looks again and again at one database."""

    connection: Connection
    notes: Notes
    began: float

    async def look(self, day: int, passed: int, pids: Mapping[str, int]) -> Sample:
        """Take a sample."""
        sizes = await self.connection.fetch(SIZES)
        tables = [row["name"] for row in sizes if row["is_table"]]
        sessions = await self.connection.fetchrow(SESSIONS)
        assert sessions is not None
        called = await self.connection.fetch(CALLED)
        return Sample(
            at=time.monotonic() - self.began,
            day=day,
            passed=passed,
            bytes={row["name"]: row["bytes"] for row in sizes},
            rows={name: await self._count(name) for name in tables},
            dead={row["name"]: row["dead"] for row in sizes if row["is_table"]},
            called={row["function"]: Called(*tuple(row)[1:]) for row in called if row["function"]},
            snapshot_seconds=sessions["snapshot"],
            connections=sessions["connections"],
            resident_mb={name: resident_mb(pid) for name, pid in pids.items()},
            pickup_ms=spread(self.notes.read()),
        )

    async def _count(self, table: str) -> int:
        return int(await self.connection.fetchval(f"select count(*) from retryd.{table}"))


def spread(delays: list[float]) -> tuple[float, float]:
    """Return the median and the 99th of 100, in milliseconds; zeros where there is nothing."""
    if len(delays) < 2:
        return 0.0, 0.0
    cuts = statistics.quantiles(delays, n=100)
    return cuts[49] * 1000, cuts[98] * 1000


def resident_mb(pid: int) -> float:
    """Return the memory of a process as `ps` tells it; 0 when it has ended."""
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=False)
    return int(told.stdout or 0) / 1024
