"""The few Protocols that the worker needs from the world."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from concurrent.futures import Future
    from datetime import datetime

    from retryd.domain.api_token import ApiToken
    from retryd.domain.decision import Decided
    from retryd.domain.outcome import Outcome
    from retryd.domain.retry import Retry


class Handler(Protocol):
    """Runs an operation again."""

    @property
    def name(self) -> str:
        """The durable name that retries carry."""

    @property
    def definition(self) -> Mapping[str, object]:
        """What the registry keeps: name, match, policy, dependency, kind."""

    @property
    def stoppable(self) -> bool:
        """Whether a cancellation ends an attempt: then the runner cancels it at its timeout."""

    async def run(self, retry: Retry, timeout_seconds: float) -> Outcome:
        """Make one attempt and report; never raises but when cancelled."""


class Means(Protocol):
    """What a worker lends its handlers."""

    @property
    def dsn(self) -> str:
        """The address of the PostgreSQL that holds the retries."""

    @property
    def pooled(self) -> bool:
        """Whether a connection pooler stands in front of it."""

    async def pause(self, handler: str, reason: str) -> None:
        """Have nothing more claimed for a handler until a person resumes it.

        Does nothing for a worker that claims no more itself.
        """


class OwnedHandler(Handler, Protocol):
    """A handler that belongs to one worker, which opens it before its first attempt."""

    async def open(self, means: Means) -> None:
        """Make what is kept from one attempt to the next."""

    async def close(self) -> None:
        """Let go of it; no attempt runs any more."""


@dataclass(frozen=True, slots=True)
class Depths:
    """How much there is in PostgreSQL; a handler of None stands for what is unrouted.

    `queue` counts live retries by handler and state, `oldest_due_seconds` is how long the oldest
    due retry of a handler has waited, `dead_letters` counts by status, `held` has handler and
    reason of what no claim takes, `alerts` counts by kind what needs a look.
    """

    queue: Mapping[tuple[str | None, str], int]
    oldest_due_seconds: Mapping[str | None, float]
    dead_letters: Mapping[str, int]
    held: Collection[tuple[str, str]] = ()
    alerts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Buried:
    """A retry that died of its age, without an attempt; the handler is None if none matches."""

    id: int
    handler: str | None
    event_type: str
    attempt: int
    max_retries: int
    life: int
    error_type: str | None


@dataclass(frozen=True, slots=True)
class Lane:
    """One handler at one priority; a claim in it begins behind (since, after).

    Both come from PostgreSQL and go back there as they are.
    """

    handler: str
    priority: int
    since: datetime
    after: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim brought, the seconds that each was due, and its lanes as the next has them."""

    retries: Sequence[Retry]
    late: Sequence[float]
    lanes: Sequence[Lane]


class Observer(Protocol):
    """Hears what a worker does; each call is short and never raises."""

    def claimed(self, retries: int, seconds: float) -> None:
        """Report that a claim took this long and brought so many retries."""

    def started(self, handler: str, seconds: float) -> None:
        """Report that an attempt began so many seconds after its retry was due."""

    def settled(self, decided: Sequence[Decided], results: Sequence[str]) -> None:
        """Report what became of decisions: `settled`, `stale`, `spent`, `refused`, `busy`.

        What is busy is reported again.
        """

    def rescued(self, retries: int) -> None:
        """Report that leases of lost workers were taken over."""

    def expired(self, buried: Buried) -> None:
        """Report a retry that this worker buried, for it was too old."""

    def measured(self, depths: Depths | None) -> None:
        """Report how much there is in PostgreSQL; None: it could not be read."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a process takes work; `reasons` names what is wrong, even where it still does."""

    ready: bool
    reasons: tuple[str, ...] = ()


class Overflow(Protocol):
    """Where what comes in is kept while PostgreSQL is away; may be used from any thread."""

    def append(self, *records: bytes) -> Future[None]:
        """Keep all records or none; the future is done when they will outlive a crash.

        Else it says why they cannot.
        """


class Health(Protocol):
    """What the HTTP server asks, from a thread of its own; neither call asks PostgreSQL."""

    async def ready(self) -> Readiness:
        """Tell whether this process takes work."""

    def state(self) -> Mapping[str, object]:
        """Tell how this process is, for people; all of it can be written as JSON."""


class TokenSource(Protocol):
    """Knows the tokens of the HTTP API."""

    async def live_tokens(self) -> Sequence[ApiToken]:
        """Return those that are neither revoked nor expired. Raises DatabaseUnavailable."""
