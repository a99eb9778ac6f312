"""What each use of retryd calls, to tell a user of the database what it may do and what not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from retryd.store.reads import Row

NEEDS: Final = {
    "work": frozenset(
        {
            *("claim_retries", "rescue_retries", "adopt_claims", "clamp_leases"),
            *("renew_leases", "settle_retries", "settled_under", "look_ahead", "mark_awake"),
            *("bury_expired", "unpark_stranded", "route_unrouted", "ensure_partitions"),
            *("prune_attempts", "prune_archive", "prune_dead_letters", "prune_events"),
            *("prune_workers", "publish_policies", "publish_handlers"),
            *("worker_seen", "worker_alert", "worker_gone", "pause_handler"),
            *("capture_checked", "capture_dead", "queue_depth", "live_tokens"),
        }
    ),
    "capture": frozenset({"capture_failure", "capture_failures"}),
    "operate": frozenset({"replay_dead_letter", "resolve_dead_letter", "cancel_retry"}),
    "read": frozenset({"retries", "dead_letters", "retry_queue_stats", "handler_stats"}),
}
ROLES: Final = {
    "work": "retryd_worker",
    "capture": "retryd_producer",
    "operate": "retryd_operator",
    "read": "retryd_reader",
}


def uses(rights: Iterable[Row]) -> list[str]:
    """Return what somebody with these rights may do: work, capture, operate, read."""
    may = {row["name"] for row in rights if row["may"]}
    return [use for use, needed in NEEDS.items() if needed <= may]
