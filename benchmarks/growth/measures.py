"""What is measured beside what waits: size, captures, claims, reads, upkeep, a drain."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

import retryd
from benchmarks.drain import WARM_UP
from benchmarks.growth.cost import Cost, cost
from benchmarks.growth.load import NAMES
from benchmarks.peers.install import ROOT
from benchmarks.peers.server import Connection, connected
from retryd.store.reads import PAGE, text_of
from retryd.store.schema import migrate

Figures: TypeAlias = "dict[str, float]"

SINGLES: Final = 2_000
DRAINED: Final = 20_000

# A partition counts with its parent.
SIZES: Final = """
    select r.relname as name,
        sum(case c.relkind when 'r' then pg_table_size(c.oid) else pg_relation_size(c.oid) end
            )::bigint as bytes
    from pg_class c
    join pg_class r on r.oid =
        case when c.relispartition then pg_partition_root(c.oid) else c.oid end
    where c.relnamespace = 'retryd'::regnamespace and c.relkind in ('r', 'i')
    group by r.relname
    order by bytes desc
"""
LOOK: Final = "select * from retryd.look_ahead('bench', $1::text[])"
CLAIM: Final = """
    select c.id
    from (
        select array_agg(h) as handlers, array_agg(5) as priorities,
            array_agg('-infinity'::timestamptz) as sinces, array_agg(0::bigint) as afters
        from unnest($1::text[]) h
    ) l
    cross join lateral retryd.claim_retries(
        'bench', 100, '60 s', l.handlers, l.priorities, l.sinces, l.afters) c
"""
THREE_DAYS_ON: Final = """
    create or replace function retryd.now() returns timestamptz
    language sql volatile parallel safe
    as $$ select clock_timestamp() + interval '3 days' $$
"""
GAUGES: Final = ("handler_activity", "dead_letter_stats", "retry_queue_alerts")
UPKEEP: Final = (
    "rescue_retries('bench', 200, '60 s', null)",
    "clamp_leases(200)",
    "bury_expired(100)",
    "unpark_stranded(100)",
    "route_unrouted()",
    "ensure_partitions()",
    "prune_attempts('7 days')",
    "prune_archive('7 days')",
    "prune_dead_letters('90 days')",
    "prune_workers()",
)
WRITTEN: Final = """
    select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 as bytes,
        (select sum(i.fsyncs)::float8 from pg_stat_io i where i.object = 'wal') as fsyncs
"""
PRUNE_EVENTS: Final = "select retryd.prune_events($1::interval, 10000)"


async def sizes(connection: Connection, rows: int) -> Figures:
    """Return the bytes for each retry, of all and of each table and index that counts."""
    found = {row["name"]: row["bytes"] / rows for row in await connection.fetch(SIZES)}
    told = {f"{name}, bytes a retry": each for name, each in found.items() if each >= 10}
    return {
        "all, MB": sum(found.values()) * rows / 1e6,
        "all, bytes a retry": sum(found.values()),
    } | told


async def claims(connection: Connection) -> Figures:
    """Claim 100 and look ahead over 20 handlers, with nothing due and with everything due."""
    due = [THREE_DAYS_ON]
    return (
        figures("look ahead, none due", await cost(connection, LOOK, NAMES))
        | figures("look ahead, all due", await cost(connection, LOOK, NAMES, before=due))
        | figures("claim of 100, none due", await cost(connection, CLAIM, NAMES))
        | figures("claim of 100, all due", await cost(connection, CLAIM, NAMES, before=due))
    )


async def reads(connection: Connection, rows: int) -> Figures:
    """Ask what people and gauges ask."""
    told: Figures = {}
    for title, (name, arguments) in questions(rows // 2).items():
        told |= figures(title, await cost(connection, text_of(name), *arguments))
    told["gauges together, ms"] = sum(told[f"{name}, ms"] for name in GAUGES)
    return told


def questions(id_: int) -> Mapping[str, tuple[str, Sequence[object]]]:
    """Return the reads by title: the query and its arguments."""
    nobody = ["nobody"]
    return {
        **{name: (name, ()) for name in (*GAUGES, "handler_stats", "retry_queue_stats", "workers")},
        "list": ("list_retries", (None, None, None, None, None, PAGE)),
        "list, a page in the middle": ("list_retries", (None, None, None, None, id_, PAGE)),
        "list --handler h7": ("list_retries", (None, None, "h7", None, None, PAGE)),
        "list --handler nobody": ("list_retries", (None, None, "nobody", None, None, PAGE)),
        "list --operation h7.*": ("list_retries", (None, None, None, "h7.*", None, PAGE)),
        "list --operation nobody.*": ("list_retries", (None, None, None, "nobody.*", None, PAGE)),
        "list --state processing": ("list_retries", (None, "processing", None, None, None, PAGE)),
        "list --place done": ("list_retries", ("done", None, None, None, None, PAGE)),
        "show": ("find_retry", (id_,)),
        "show, its timeline": ("timeline", (id_,)),
        "explain": ("explain_retry", (id_,)),
        "dlq list": ("list_dead_letters", (None, None, None, None, None, PAGE)),
        "any live of a handler": ("any_live", (NAMES[:1],)),
        "any live of nobody": ("any_live", (nobody,)),
    }


async def upkeep(connection: Connection) -> Figures:
    """Do what workers do beside their work, each pass once."""
    told: Figures = {}
    for call in UPKEEP:
        found = await cost(connection, f"select retryd.{call}")
        told |= figures(call.partition("(")[0], found)
    week = await cost(connection, PRUNE_EVENTS, timedelta(days=7))
    old = await cost(connection, PRUNE_EVENTS, timedelta(0))
    return (
        told
        | figures("prune_events, all young", week)
        | figures("prune_events, all older than retention", old)
    )


def figures(title: str, found: Cost) -> Figures:
    """Name the two figures of a cost."""
    return {f"{title}, ms": found.ms, f"{title}, buffers": found.buffers}


async def migrated(dsn: str) -> Figures:
    """Migrate what is migrated already: functions and views are written anew."""
    began = time.perf_counter()
    await migrate(dsn)
    return {"migrate at head, s": time.perf_counter() - began}


async def captured(dsn: str) -> Figures:
    """Capture one by one on one connection, each in a transaction of its own."""
    later = datetime.now(UTC) + timedelta(days=1)
    async with connected(dsn) as connection:
        began = time.perf_counter()
        for seq in range(SINGLES):
            await retryd.capture(connection, "h0.do.failed", {"seq": seq}, not_before=later)
        return {"single capture, 1/s": SINGLES / (time.perf_counter() - began)}


async def drained(dsn: str) -> Figures:
    """Capture 20,000 that are due, 1,000 a call, and let one worker process drain them.

    Some thousands more, which warm it up, count for what was written only.
    """
    async with connected(dsn) as connection:
        before = await written(connection)
        said = await drain(dsn)
        after = await written(connection)
    items = DRAINED + WARM_UP
    return {
        "bulk capture, 1/s": said["capture"],
        "drain of 20,000, 1/s": said["drain"],
        "written to the WAL, bytes a retry": (after[0] - before[0]) / items,
        "fsyncs of the WAL, for 1,000 retries": (after[1] - before[1]) / items * 1000,
    }


async def written(connection: Connection) -> tuple[float, float]:
    """Return the bytes of the write-ahead log up to now, and how often it was flushed."""
    [row] = await connection.fetch(WRITTEN)
    return row["bytes"], row["fsyncs"]


async def drain(dsn: str) -> dict[str, float]:
    """Run `benchmarks.drain` and return what it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.drain", "--dsn", dsn, "--items", str(DRAINED)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(process.returncode)
    said: dict[str, float] = json.loads(out)
    return said
