"""Whether what was seen is a steady state: the last third of the time is compared with the second.

The first third is for filling up: until the first day is dropped, everything grows. What grows
without bound grows on in the last third: by half, if nothing of what came in ever goes. What is
bounded goes up and down with autovacuum and with the days, so the greatest value of a third counts,
and a fifth more is no growth. The slack beside it is small against a leak of one row, or of one
entry of an index, for each retry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.steady.run import Record
from tests.steady.samples import Sample

FIFTH = 1.2
HALF = 1.5
BYTES_PER_RETRY = 10.0
"""Half of what the smallest entry of an index takes."""
SMALL_BYTES = 65_536.0
"""The maps that a table gets with its first vacuum, and a few pages."""
SMALL_ROWS = 4.0
SMALL_MB = 3.0
SMALL_BUFFERS = 5.0
MOST_CONNECTIONS = 3 * 11.0
"""Of three processes, as there are while one is replaced: the pool, and one to listen."""
DAYS_KEPT = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing in the second third and in the last, and what it may be at most."""

    what: str
    second: float
    last: float
    allowed: float

    @property
    def holds(self) -> bool:
        """Whether it is no more than it may be."""
        return self.last <= self.allowed


def thirds(record: Record) -> tuple[list[Sample], list[Sample]]:
    """Return the samples of the second and of the last third."""
    third = record.plan.days / 3
    second = [sample for sample in record.samples if third <= sample.day < 2 * third]
    return second, [sample for sample in record.samples if sample.day >= 2 * third]


def judge(record: Record) -> list[Verdict]:
    """Compare everything that has to stay as it is."""
    second, last = thirds(record)
    passed = last[-1].passed - last[0].passed
    verdicts: list[Verdict] = []

    def compare(what: str, of: Callable[[Sample], float], factor: float, slack: float) -> None:
        before, after = max(map(of, second)), max(map(of, last))
        verdicts.append(Verdict(what, before, after, before * factor + slack))

    for name in sorted(last[-1].bytes):
        slack = SMALL_BYTES + BYTES_PER_RETRY * passed
        compare(f"bytes of {name}", lambda sample, name=name: sample.bytes[name], FIFTH, slack)  # type: ignore[misc]
    for name in sorted(last[-1].rows):
        compare(f"rows of {name}", lambda sample, name=name: sample.rows[name], FIFTH, SMALL_ROWS)  # type: ignore[misc]
    compare("MB of the worker that stays", lambda sample: sample.resident_mb["stays"], 1, SMALL_MB)
    for what, of in COSTS.items():
        before, after = (mean_of(of, samples) for samples in (second, last))
        factor = HALF if what is LOOKS else FIFTH
        verdicts.append(Verdict(what, before, after, before * factor + SMALL_BUFFERS))
    most = max(sample.connections for sample in record.samples)
    verdicts.append(Verdict("connections of workers", most, most, MOST_CONNECTIONS))
    return [*verdicts, *absolutes(record)]


def absolutes(record: Record) -> Iterator[Verdict]:
    """Tell what has nothing to be compared with: it is as it must be, or not."""
    missing = max(0, 2 * (record.plan.days - DAYS_KEPT) - record.partitions_dropped)
    yield Verdict("days that should have been dropped and were not", 0, missing, 0)
    yield Verdict("retries lost, done twice, or in a wrong place", 0, len(record.wrong), 0)


def per(function: str, unit: str) -> Callable[[Sample, Sample], tuple[int, int]]:
    """Return what tells the buffers of a function between two looks, and for how many units."""

    def spent(earlier: Sample, later: Sample) -> tuple[int, int]:
        before, after = earlier.called.get(function), later.called[function]
        return (
            after.buffers - (before.buffers if before else 0),
            getattr(after, unit) - (getattr(before, unit) if before else 0),
        )

    return spent


LOOKS = "buffers for each look ahead"
"""It pays for what died since the last vacuum, whose visits do not fall evenly into the thirds."""
COSTS = {
    "buffers for each retry claimed": per("claim_retries", "rows"),
    LOOKS: per("look_ahead", "calls"),
    "buffers for each retry settled": per("settle_retries", "rows"),
}


def mean_of(spent: Callable[[Sample, Sample], tuple[int, int]], samples: Sequence[Sample]) -> float:
    """Return the mean over these samples."""
    each = [spent(*pair) for pair in pairwise(samples)]
    return sum(buffers for buffers, _ in each) / max(1, sum(units for _, units in each))
