"""`retryd policy preview`: the attempts that a policy allows, computed as they will be decided."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from retryd.cli import output
from retryd.domain.backoff import first_delay_bounds
from retryd.domain.decide import decide
from retryd.domain.decision import Reschedule
from retryd.domain.outcome import Failure
from retryd.domain.policy import Policy

LEAST: Final = 0.0
GREATEST: Final = 1.0
COMPUTED: Final = 1000
SHOWN: Final = 20
BAR: Final = 40
UNITS: Final = (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0))


@dataclass(frozen=True, slots=True)
class Step:
    """An attempt: how long it waits at least and at most, and when it is due since the capture.

    In seconds; the time that earlier attempts take comes on top.
    """

    attempt: int
    delay_low: float
    delay_high: float
    due_low: float
    due_high: float


@dataclass(frozen=True, slots=True)
class Progress:
    """A retry all of whose attempts have failed so far."""

    attempt: int
    max_retries: int
    lost_attempts: int = 0
    snoozes: int = 0


def steps(policy: Policy) -> Iterator[Step]:
    """Yield each attempt of a retry that fails again and again, with an error that is retried."""
    always = replace(policy, retry_on=(), give_up_on=())
    low, high = first_delay_bounds(policy)
    attempt, due_low, due_high = 1, low, high
    while True:
        yield Step(attempt, low, high, due_low, due_high)
        retry = Progress(attempt, policy.max_retries)
        least = decide(retry, Failure("Error"), always, LEAST)
        greatest = decide(retry, Failure("Error"), always, GREATEST)
        if not isinstance(least, Reschedule) or not isinstance(greatest, Reschedule):
            return
        low, high = least.delay, greatest.delay
        attempt, due_low, due_high = attempt + 1, due_low + low, due_high + high


@dataclass(frozen=True, slots=True)
class Schedule:
    """What a policy comes to: its steps, of a very long one the first, and when it gives up.

    `gives_up_low` and `gives_up_high` are seconds since the capture; None: beyond what is computed.
    """

    policy: Policy
    steps: tuple[Step, ...]
    gives_up_low: float | None
    gives_up_high: float | None

    @property
    def reason(self) -> str:
        """Why a retry that keeps failing dies: of its age for sure, perhaps, or of its attempts."""
        age = self.policy.max_age_seconds
        if age is None or (self.gives_up_high is not None and self.gives_up_high < age):
            return "exhausted"
        return "expired" if self.gives_up_low == age else "exhausted or expired"


def schedule_of(policy: Policy) -> Schedule:
    """Compute the schedule; a retry that is too old by then makes no further attempt."""
    found = tuple(islice(steps(policy), COMPUTED))
    whole = found[-1].attempt >= policy.max_retries
    last = found[-1]
    low, high = (last.due_low, last.due_high) if whole else (None, None)
    age = policy.max_age_seconds
    if age is not None:
        low = age if last.due_low > age else low
        high = age if last.due_high > age else high
        found = tuple(step for step in found if step.due_low <= age)
    return Schedule(policy, found, low, high)


def document_of(schedule: Schedule) -> dict[str, object]:
    """Return a schedule as JSON has it."""
    return {
        "policy": schedule.policy.name,
        "max_retries": schedule.policy.max_retries,
        "max_age_seconds": schedule.policy.max_age_seconds,
        "timeout_seconds": schedule.policy.timeout_seconds,
        "steps": [
            {
                "attempt": step.attempt,
                "delay_low_seconds": step.delay_low,
                "delay_high_seconds": step.delay_high,
                "due_low_seconds": step.due_low,
                "due_high_seconds": step.due_high,
            }
            for step in schedule.steps
        ],
        "gives_up_low_seconds": schedule.gives_up_low,
        "gives_up_high_seconds": schedule.gives_up_high,
        "reason": schedule.reason,
    }


def draw(schedule: Schedule) -> None:
    """Print a schedule for a person: a bar begins at the least delay, it ends at the greatest."""
    policy = schedule.policy
    output.print_text(f"{policy.name}: {told(policy)}", style="bold")
    longest = max((step.delay_high for step in schedule.steps), default=0.0)
    output.print_table(
        ("attempt", "delay", "due after", "least to greatest"),
        [
            (
                step.attempt,
                span(step.delay_low, step.delay_high),
                span(step.due_low, step.due_high),
                bar(step.delay_low, step.delay_high, longest),
            )
            for step in schedule.steps[:SHOWN]
        ],
    )
    if (more := len(schedule.steps) - SHOWN) > 0:
        output.print_text(
            f"… and {more if more + SHOWN < COMPUTED else 'many'} more; --json has them"
        )
    output.print_text(end_of(schedule))


def told(policy: Policy) -> str:
    """Return a policy's rules in words."""
    words = [
        f"{policy.max_retries} attempt{'s' if policy.max_retries > 1 else ''}",
        backoff(policy),
    ]
    match policy.jitter_mode:
        case "fraction":
            words.append(f"jitter ±{policy.jitter:.0%}")
        case "full" | "equal":
            words.append(f"{policy.jitter_mode} jitter")
        case "none":
            words.append("no jitter")
    words.append(f"timeout {duration(policy.timeout_seconds)}")
    if policy.max_age_seconds is not None:
        words.append(f"given up after {duration(policy.max_age_seconds)}")
    return ", ".join(words)


def backoff(policy: Policy) -> str:
    """Return how the delay grows, in words."""
    first, cap = duration(policy.initial_delay_seconds), duration(policy.max_delay_seconds)
    match policy.backoff:
        case "constant":
            return f"constant {first}"
        case "exponential":
            return f"exponential from {first} by {policy.backoff_multiplier:g} up to {cap}"
        case "schedule":
            capped = max(policy.schedule_seconds) > policy.max_delay_seconds
            steps = ", ".join(map(duration, policy.schedule_seconds))
            return f"schedule {steps}" + (f", cut to max_delay_seconds {cap}" if capped else "")
        case kind:
            return f"{kind} from {first} up to {cap}"


def end_of(schedule: Schedule) -> str:
    """Say when a retry that keeps failing is dead."""
    low, high = schedule.gives_up_low, schedule.gives_up_high
    if low is None or high is None:
        least = duration(schedule.steps[-1].due_low)
        return (
            f"dead ({schedule.reason}) after its last attempt, more than {least} after the capture"
        )
    when = f"dead ({schedule.reason}) {span(low, high)} after the capture"
    if schedule.reason == "expired":
        return when
    return f"{when}, and what the attempts themselves take"


def span(low: float, high: float) -> str:
    """Return a span of time: `1.5 - 2.5 s`, and one number where both ends are equal."""
    least, greatest = duration(low), duration(high)
    if least == greatest:
        return least
    number, unit = least.split()
    return f"{number if greatest.endswith(f' {unit}') else least} - {greatest}"


def duration(seconds: float) -> str:
    """Return seconds in the greatest unit that they fill twice: `90 s`, `2.25 min`."""
    for unit, size in UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def bar(low: float, high: float, longest: float) -> str:
    """Draw the band between two delays on a scale that ends at the longest."""
    longest = longest or 1.0
    begin, end = round(low / longest * BAR), round(high / longest * BAR)
    begin = min(begin, end - 1) if end > 0 else 0
    return "·" * begin + "█" * max(end - begin, 1)
