"""What all workers that one process runs, one after the other, have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

import retryd
from retryd.handlers.threads import Threads
from retryd.store.reach import Reach
from retryd.telemetry.attempts import AttemptLines
from retryd.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Process:
    """What counts and tells their attempts, what they know of PostgreSQL, and their threads."""

    metrics: Metrics = field(default_factory=lambda: Metrics(retryd.__version__))
    lines: AttemptLines = field(default_factory=AttemptLines)
    reach: Reach = field(default_factory=Reach)
    threads: Threads = field(default_factory=Threads)
