"""What `retryd check` finds out about PostgreSQL: reach, version, clock, pooler, schema, rights."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from retryd.compose.worker import listening_at
from retryd.domain.errors import RetrydError
from retryd.settings.database_url import masked_url
from retryd.store.pool import behind_pooler, open_pool
from retryd.store.reads import Reads
from retryd.store.revisions import found, head, revisions
from retryd.store.rights import ROLES, uses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from retryd.settings.database import DatabaseChoice
    from retryd.settings.models import Configuration
    from retryd.store.pool import Pool
    from retryd.store.reads import Row

APPLICATION: Final = "retryd/check"
OLDEST: Final = 14
NEWEST: Final = 18
CLOCK_SECONDS: Final = 10.0

FINE: Final = 0
PROBLEM: Final = 1
CONFIGURATION: Final = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what there is, and for a problem what to do; `status` is the exit's."""

    check: str
    detail: str
    status: int = FINE


async def database(
    dsn: str, choice: DatabaseChoice, configuration: Configuration
) -> AsyncIterator[Finding]:
    """Ask PostgreSQL. Raises what the store raises."""
    # As behind pgbouncer, which there may be.
    async with open_pool(dsn, size=1, application=APPLICATION, pgbouncer=True) as pool:
        asked = datetime.now(UTC)
        [server] = await Reads(pool).server()
        answered = datetime.now(UTC)
        yield reached(server, dsn, choice)
        yield version(server)
        yield clock(server["clock"], asked, answered)
        pooled = await behind_pooler(dsn, APPLICATION)
        yield pooler(configuration, pooled=pooled)
        if (listening := listening_at(configuration, dsn, pooled=pooled)) not in {None, dsn}:
            yield await listener(str(listening))
        async for finding in contents(pool, server["role"]):
            yield finding


def reached(server: Row, dsn: str, choice: DatabaseChoice) -> Finding:
    """Say which database it is, and whether it may be written to."""
    where = f"{server['database']} at {masked_url(dsn)} (by {choice.way})"
    if server["standby"]:
        remedy = "name the primary, or all hosts: postgresql://a,b/name"
        return Finding("database", f"{where} is a standby: {remedy}", PROBLEM)
    if server["read_only"]:
        remedy = "its default_transaction_read_only must be off"
        return Finding("database", f"{where} is read only: {remedy}", PROBLEM)
    return Finding("database", where)


def version(server: Row) -> Finding:
    """Say which PostgreSQL it is."""
    name = f"PostgreSQL {server['version']}"
    tested = f"{OLDEST} to {NEWEST}"
    if server["major"] < OLDEST:
        return Finding("version", f"{name} is too old: upgrade it to {tested}", PROBLEM)
    if server["major"] > NEWEST:
        return Finding("version", f"{name} is newer than what retryd is tested with, {tested}")
    return Finding("version", f"{name}, of {tested}; no extension is needed")


def clock(theirs: datetime, asked: datetime, answered: datetime) -> Finding:
    """Compare the clock of PostgreSQL with ours, between whose times it was read."""
    half = (answered - asked) / 2
    apart = (theirs - (asked + half)).total_seconds()
    surely = max(0.0, abs(apart) - half.total_seconds())
    if surely <= CLOCK_SECONDS:
        return Finding("clock", f"PostgreSQL's is within {CLOCK_SECONDS:g} s of this machine's")
    way = "ahead of" if apart > 0 else "behind"
    return Finding(
        "clock",
        f"PostgreSQL's is {surely:.0f} s {way} this machine's: set the wrong one right;"
        " retries are due by PostgreSQL's",
        PROBLEM,
    )


def pooler(configuration: Configuration, *, pooled: bool) -> Finding:
    """Say whether pgbouncer or its like stands before PostgreSQL, and what follows from that."""
    told, listen = configuration.database.pgbouncer, configuration.retry.listen_notify
    direct = configuration.database.listen_url is not None
    if not pooled:
        unseen = "none is seen, though database.pgbouncer is true; auto finds out by itself"
        return Finding("pooler", unseen if told is True else "none")
    seen = "pgbouncer or its like stands before PostgreSQL"
    if told is False:
        remedy = "but database.pgbouncer is false: set it to auto or true"
        return Finding("pooler", f"{seen}, {remedy}", PROBLEM)
    if listen is True and not direct:
        remedy = (
            "and forwards no notification, but retry.listen_notify is true: give"
            " database.listen_url, the address of the server itself, or say auto"
        )
        return Finding("pooler", f"{seen} {remedy}", PROBLEM)
    if direct:
        return Finding("pooler", seen)
    poll = configuration.retry.poll_interval_seconds
    rung = f"the worker looks every {poll:g} s; with database.listen_url it would be rung"
    return Finding("pooler", f"{seen}: {rung}")


async def listener(url: str) -> Finding:
    """Try where the worker would listen."""
    try:
        pooled = await behind_pooler(url, APPLICATION)
    except RetrydError as error:
        return Finding("listen_url", f"database.listen_url: {error}", PROBLEM)
    if pooled:
        remedy = "give the address of the server itself"
        detail = f"database.listen_url leads to pgbouncer or its like as well: {remedy}"
        return Finding("listen_url", detail, PROBLEM)
    return Finding("listen_url", masked_url(url))


async def contents(pool: Pool, role: str) -> AsyncIterator[Finding]:
    """Look at the schema, and at what this role may do with it."""
    may = uses(await Reads(pool).rights())
    told = f"{role} may {', '.join(may) or 'nothing'}"
    granted = Finding("rights", told)
    if not {"work", "read"} <= set(may):
        remedy = f"not run a worker: `grant {ROLES['work']} to {role}`"
        granted = Finding("rights", f"{told}; {remedy}", PROBLEM)
    try:
        async with pool.connection() as connection:
            here = await found(connection)
    except RetrydError as error:
        yield Finding("schema", f"{error}", PROBLEM)
        yield granted
        return
    if here is None:
        yield Finding("schema", "there is none of retryd's: run `retryd migrate`", PROBLEM)
        return
    if here == head():
        yield Finding("schema", f"at {here}, the newest")
    elif here in revisions():
        yield Finding("schema", f"at {here}, behind {head()}: run `retryd migrate`", PROBLEM)
    else:
        newer = f"at {here}, newer than this retryd, which works with the next release's schema"
        yield Finding("schema", f"{newer}: upgrade retryd here too")
    yield granted
