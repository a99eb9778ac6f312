"""How a worker works, made from the configuration and true for the worker's whole life."""

from __future__ import annotations

from dataclasses import dataclass

from retryd.worker.pruner import Retention


@dataclass(frozen=True, slots=True)
class Plan:
    """How one worker works; durations in seconds. `listen_dsn` None: poll only.

    `until_empty` ends the worker when no retry of its handlers is live; `process_ends` tells that
    the process ends with a worker that was stopped. `grace_seconds` after its timeout an attempt
    that cannot be stopped loses its lease.
    """

    claims: bool
    batch_size: int
    worker_count: int
    poll_seconds: float
    lease_seconds: float
    shutdown_seconds: float
    retention: Retention
    listen_dsn: str | None
    version: str
    until_empty: bool = False
    process_ends: bool = False
    grace_seconds: float = 30.0
