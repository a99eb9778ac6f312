"""The life of a retry as data: the diagram in the docs, the CHECKs and the tests come from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

Place: TypeAlias = Literal["live", "done", "dead"]
Who: TypeAlias = Literal["producer", "worker", "rescuer", "expirer", "operator", "pruner"]

NOWHERE: Final = "nowhere"
"""Before capture and after the end of retention: no place and no state."""

STATES: Final[Mapping[str, Place]] = MappingProxyType(
    {
        "pending": "live",
        "processing": "live",
        "parked": "live",
        "completed": "done",
        "cancelled": "done",
        "dead": "dead",
        "resolved": "dead",
    }
)
"""Each state and its place; a dead letter that is being retried is live, in one of those states."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One step: only from `source_state`, only by `who`, only if `guard` holds, all in `function`.

    A rescuer that has taken over a lease holds it as a worker does, and settles as one.
    """

    source_state: str
    event: str
    target_state: str
    guard: str
    who: Who
    function: str


_NEW = "source and event id are new"
_QUEUED = "another retry with its handler and ordering key is live"
_UNFIT = "undecodable, or a loop"
_FIRST = "the one before it with its handler and ordering key has ended"
_DUE = "due, its lane open, its handler served"
_HELD = "id and claim token are those of the current claim"
_OWNED = "id, claim token and worker id are those of the current claim"
_AGAIN = "id and claim token are those of the current claim, not spent"
_LAPSED = "lease expired"
_AGED = "older than its policy's age limit"
_ASKED = "it is in this state"
_OLD = "older than retention"

# fmt: off
TRANSITIONS: Final = (
    Transition(NOWHERE, "capture", "pending", _NEW, "producer", "capture_failure"),
    Transition(NOWHERE, "capture", "parked", _QUEUED, "producer", "capture_failure"),
    Transition(NOWHERE, "capture", "dead", _UNFIT, "worker", "capture_dead"),
    Transition("parked", "unpark", "pending", _FIRST, "worker", "unpark_retries"),
    Transition("pending", "claim", "processing", _DUE, "worker", "acquire_retry_batch"),

    Transition("processing", "renew", "processing", _OWNED, "worker", "extend_retry_leases"),
    Transition("processing", "complete", "completed", _HELD, "worker", "complete_retry"),
    Transition("processing", "reschedule", "pending", _AGAIN, "worker", "reschedule_retry"),
    Transition("processing", "release", "pending", _HELD, "worker", "release_retry"),
    Transition("processing", "bury", "dead", _HELD, "worker", "fail_retry"),
    Transition("processing", "cancel", "cancelled", _HELD, "worker", "settle_retries"),
    Transition("processing", "rescue", "processing", _LAPSED, "rescuer", "take_expired_leases"),

    Transition("pending", "expire", "dead", _AGED, "expirer", "expire_retries"),
    Transition("parked", "expire", "dead", _AGED, "expirer", "expire_retries"),

    Transition("pending", "cancel", "cancelled", _ASKED, "operator", "cancel_retry"),
    Transition("parked", "cancel", "cancelled", _ASKED, "operator", "cancel_retry"),
    Transition("processing", "cancel", "cancelled", _ASKED, "operator", "cancel_retry"),
    Transition("pending", "retry_now", "pending", _ASKED, "operator", "retry_now"),
    Transition("dead", "replay", "pending", _ASKED, "operator", "replay_dead_letter"),
    Transition("dead", "replay", "parked", _QUEUED, "operator", "replay_dead_letter"),
    Transition("dead", "resolve", "resolved", _ASKED, "operator", "resolve_dead_letter"),
    Transition("dead", "delete", NOWHERE, _ASKED, "operator", "delete_dead_letter"),
    Transition("resolved", "delete", NOWHERE, _ASKED, "operator", "delete_dead_letter"),

    Transition("completed", "prune", NOWHERE, _OLD, "pruner", "cleanup_old_retries"),
    Transition("cancelled", "prune", NOWHERE, _OLD, "pruner", "cleanup_old_retries"),
    Transition("dead", "prune", NOWHERE, _OLD, "pruner", "cleanup_old_retries"),
    Transition("resolved", "prune", NOWHERE, _OLD, "pruner", "cleanup_old_retries"),
)
# fmt: on


def allowed(event: str) -> frozenset[str]:
    """Give the states in which the event may happen; `NOWHERE` is one of them for `capture`."""
    return frozenset(step.source_state for step in TRANSITIONS if step.event == event)


def mermaid() -> str:
    """Draw the life as a mermaid state diagram: one arrow per pair of states, with its events."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for step in TRANSITIONS:
        events = arrows.setdefault((step.source_state, step.target_state), [])
        if step.event not in events:
            events.append(step.event)
    lines = [
        f"    {_node(source)} --> {_node(target)} : {', '.join(events)}"
        for (source, target), events in arrows.items()
    ]
    return "\n".join(["stateDiagram-v2", *lines, ""])


def _node(state: str) -> str:
    return "[*]" if state == NOWHERE else state
