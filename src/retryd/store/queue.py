"""What a worker asks of PostgreSQL: one method per SQL function, same name."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, assert_never

from retryd.domain.decision import Bury, Cancelled, Complete, Decided, Release, Reschedule
from retryd.domain.outcome import Cancel, Failure, Lost, Reject, Snooze, Success
from retryd.domain.retry import Retry
from retryd.ports import Buried, Claimed, Lane

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from retryd.domain.decision import Decision
    from retryd.domain.outcome import Outcome
    from retryd.store.pool import Pool


PRUNING_SECONDS = 300.0
# What most lines of a settlement say.
AS_COMPLETE = "complete", None, None
AS_SUCCESS = "success", None, None, None
LINE = 10  # values


class Queue:
    """The SQL functions as one worker calls them; raises what `reaching_database` says."""

    def __init__(self, pool: Pool, worker: str) -> None:
        self.worker = worker
        self._pool = pool

    async def claim_retries(
        self, batch_size: int, lease_seconds: float, lanes: Sequence[Lane]
    ) -> Claimed:
        """Claim due retries of these lanes."""
        rows = await self._pool.fetch(
            "select * from retryd.claim_retries($1, $2, $3, $4, $5, $6, $7)",
            self.worker,
            batch_size,
            timedelta(seconds=lease_seconds),
            [lane.handler for lane in lanes],
            [lane.priority for lane in lanes],
            [lane.since for lane in lanes],
            [lane.after for lane in lanes],
        )
        last = {(row["handler"], row["priority"]): row for row in rows}
        return Claimed(
            [Retry.of_row(row) for row in rows],
            [row["late"] for row in rows],
            [Lane(*key, row["since"], row["after"]) for key, row in last.items()],
        )

    async def look_ahead(
        self, handlers: Sequence[str], asleep_seconds: float | None
    ) -> tuple[list[tuple[Lane, float]], datetime]:
        """Find what waits for these handlers, with the seconds until it is due.

        Returns as well up to when nothing waits in other lanes. With `asleep_seconds`, after which
        this worker looks again, it asks to be rung for what becomes due before.
        """
        rows = await self._pool.fetch(
            "select * from retryd.look_ahead($1, $2, $3)", self.worker, handlers, asleep_seconds
        )
        found = [(Lane(*row[:4]), row["due_in"]) for row in rows if row["handler"] is not None]
        [empty] = [row["since"] for row in rows if row["handler"] is None]
        return found, empty

    async def rescue_retries(
        self, batch_size: int, lease_seconds: float, within_seconds: float | None
    ) -> list[Retry]:
        """Take over retries whose worker was lost: whose lease ran out no longer ago than this."""
        rows = await self._pool.fetch(
            "select * from retryd.rescue_retries($1, $2, $3, $4)",
            self.worker,
            batch_size,
            timedelta(seconds=lease_seconds),
            None if within_seconds is None else timedelta(seconds=within_seconds),
        )
        return [Retry.of_row(row) for row in rows]

    async def adopt_claims(self, after: int, lease_seconds: float) -> list[Retry]:
        """Take what this worker claimed under a token above `after`, and was never told of."""
        rows = await self._pool.fetch(
            "select * from retryd.adopt_claims($1, $2, $3)",
            self.worker,
            after,
            timedelta(seconds=lease_seconds),
        )
        return [Retry.of_row(row) for row in rows]

    async def clamp_leases(self, batch_size: int) -> int:
        """Shorten leases that a clock which stepped back made too long; returns how many."""
        return await self._count("select retryd.clamp_leases($1)", batch_size)

    async def renew_leases(
        self, ids: Sequence[int], tokens: Sequence[int], lease_seconds: float
    ) -> dict[int, bool]:
        """Renew leases; returns those still held by id, False for one that is locked just now."""
        rows = await self._pool.fetch(
            "select id, renewed from retryd.renew_leases($1, $2, $3, $4)",
            self.worker,
            ids,
            tokens,
            timedelta(seconds=lease_seconds),
        )
        return {row[0]: row[1] for row in rows}

    async def settle_retries(self, decided: Sequence[Decided]) -> list[str]:
        """Write decisions; returns `settled`, `stale`, `spent` or `busy` for each."""
        columns = zip(*map(line_of, decided), strict=True) if decided else ((),) * LINE
        rows = await self._pool.fetch(
            "select outcome from"
            " retryd.settle_retries($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, waiting => false)",
            *(None if column.count(None) == len(column) else column for column in columns),
        )
        return [row[0] for row in rows]

    async def settled_under(self, ids: Sequence[int], tokens: Sequence[int]) -> set[int]:
        """Return those tokens under which a settlement is on record."""
        query = "select * from retryd.settled_under($1, $2)"
        return {row[0] for row in await self._pool.fetch(query, ids, tokens)}

    async def mark_awake(self) -> None:
        """Ask not to be rung."""
        await self._pool.fetchval("select retryd.mark_awake($1)", self.worker)

    async def bury_expired(self, batch_size: int) -> list[Buried]:
        """Bury retries that are too old; returns them."""
        rows = await self._pool.fetch("select * from retryd.bury_expired($1)", batch_size)
        return [Buried(*row) for row in rows]

    async def unpark_stranded(self, batch_size: int) -> int:
        """Let followers go on whose predecessor is gone; returns how many."""
        return await self._count("select retryd.unpark_stranded($1)", batch_size)

    async def route_unrouted(self) -> int:
        """Give retries without a handler to matching ones; returns how many."""
        return await self._count("select retryd.route_unrouted()")

    async def ensure_partitions(self) -> int:
        """Make the partitions of the next days; returns how many were missing."""
        return await self._count("select retryd.ensure_partitions()")

    async def prune_attempts(self, days: float) -> int:
        """Forget attempts older than this; returns how many."""
        query = "select retryd.prune_attempts($1)"
        return await self._count(query, timedelta(days=days), within=PRUNING_SECONDS)

    async def prune_archive(self, days: float) -> int:
        """Forget done retries older than this; returns how many."""
        query = "select retryd.prune_archive($1)"
        return await self._count(query, timedelta(days=days), within=PRUNING_SECONDS)

    async def prune_dead_letters(self, days: float) -> int:
        """Forget dead letters older than this; returns how many."""
        query = "select retryd.prune_dead_letters($1)"
        return await self._count(query, timedelta(days=days), within=PRUNING_SECONDS)

    async def prune_events(self, days: float, batch_size: int) -> int:
        """Forget events older than this that nothing refers to; returns how many."""
        query = "select retryd.prune_events($1, $2)"
        return await self._count(query, timedelta(days=days), batch_size, within=PRUNING_SECONDS)

    async def prune_workers(self) -> int:
        """Forget workers that vanished; returns how many."""
        return await self._count("select retryd.prune_workers()")

    async def pause_handler(self, handler: str, reason: str, actor: str) -> bool:
        """Stop claiming for a handler; False if it is paused already, or unknown."""
        query = "select retryd.pause_handler($1, $2, $3)"
        return bool(await self._pool.fetchval(query, handler, reason, actor))

    async def publish_policies(self, policies: Iterable[Mapping[str, object]]) -> None:
        """Tell capture what it needs to know of policies."""
        query = "select retryd.publish_policies($1::text::jsonb)"
        await self._pool.fetch(query, json.dumps(list(policies)))

    async def publish_handlers(self, handlers: Iterable[Mapping[str, object]]) -> list[str]:
        """Register handlers; the names that are new or changed come back."""
        query = "select retryd.publish_handlers($1::text::jsonb)"
        return [row[0] for row in await self._pool.fetch(query, json.dumps(list(handlers)))]

    async def worker_seen(
        self, host: str, pid: int, version: str, handlers: Mapping[str, str]
    ) -> None:
        """Give a sign of life."""
        query = "select retryd.worker_seen($1, $2, $3, $4, $5::text::jsonb)"
        await self._pool.fetchval(query, self.worker, host, pid, version, json.dumps(handlers))

    async def worker_alert(self, alert: str | None) -> None:
        """Tell people what is wrong with this worker; None: nothing any more."""
        query = "select retryd.worker_alert($1, $2)"
        await self._pool.fetchval(query, self.worker, alert)

    async def worker_gone(self) -> None:
        """Say good-bye."""
        await self._pool.fetchval("select retryd.worker_gone($1)", self.worker)

    async def _count(self, query: str, *arguments: object, within: float | None = None) -> int:
        return int(await self._pool.fetchval(query, *arguments, within=within))


def line_of(item: Decided) -> tuple[object, ...]:
    """Return one line of a settlement, in the order of `settle_retries`."""
    retry, outcome, decision, seconds = item
    return (
        retry.id,
        retry.claim_token,
        *(AS_COMPLETE if type(decision) is Complete else decision_columns(decision)),
        *(AS_SUCCESS if type(outcome) is Success else outcome_columns(outcome)),
        seconds,
    )


def decision_columns(decision: Decision) -> tuple[str, float | None, str | None]:
    """Return a decision's word, its delay and its reason."""
    match decision:
        case Complete():
            return AS_COMPLETE
        case Cancelled():
            return "cancel", None, None
        case Reschedule(delay=delay):
            return "reschedule", delay, None
        case Bury(reason=reason):
            return "bury", None, reason
        case Release(delay=delay, snooze=snooze):
            return ("snooze", delay, None) if snooze else ("release", None, None)
        case _:
            assert_never(decision)


def outcome_columns(
    outcome: Outcome | None,
) -> tuple[str | None, str | None, str | None, str | None]:
    """Return an outcome's word, error type, message and stack, as the log of attempts has them."""
    match outcome:
        case None:
            return None, None, None, None
        case Success():
            return AS_SUCCESS
        case Failure(error_type=error_type, message=message, stack=stack):
            return "failure", error_type, message, stack
        case Snooze():
            return "snoozed", None, None, None
        case Reject(why=why):
            return "rejected", "Reject", why, None
        case Cancel(why=why):
            return "cancelled", None, why or None, None
        case Lost():
            return "lost", "WorkerLost", "the lease ran out before the worker reported", None
        case _:
            assert_never(outcome)
