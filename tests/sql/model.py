"""What the SQL functions promise, in plain Python: a retry is a few fields, a call a few lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

POLICY = {None: (3, None), "alpha": (3, None), "beta": (2, 40)}  # attempts, age limit in seconds
TAKES = {"alpha": {"a", "both"}, "beta": {"b", "both"}}  # handler: kinds of operation
ENDS = {"complete": "completed", "cancel": "cancelled", "bury": "dead"}


@dataclass
class Retry:
    event: int
    kind: str
    key: str | None
    priority: int
    due: int
    handler: str | None = None
    policy: str | None = None  # the handler under whose policy it came
    max_retries: int = 0
    give_up: int | None = None
    state: str = "pending"
    attempt: int = 0
    lost: int = 0
    snoozes: int = 0
    life: int = 1
    token: int | None = None
    worker: str = ""
    lease: int = 0
    case: bool = False  # has a row among the dead letters

    def give_to(self, handler: str | None, now: int) -> None:
        attempts, age = POLICY[handler]
        self.handler = self.policy = handler
        self.max_retries = max(attempts, self.attempt - self.lost + 1)
        self.give_up = self.give_up or (age and now + age)
        self.state = "parked" if handler and self.key else "pending"


@dataclass
class Model:
    now: int = 0
    ended: int = 0  # attempts in the log
    retries: dict[int, Retry] = field(default_factory=dict)
    paused: dict[str, bool] = field(default_factory=dict)

    def matching(self, kind: str) -> list[str]:
        return sorted(name for name in self.paused if kind in TAKES[name])

    def add(self, number: int, handler: str | None, like: Retry) -> None:
        self.retries[number] = Retry(like.event, like.kind, like.key, like.priority, like.due)
        self.retries[number].give_to(handler, self.now)

    def route(self, fresh: Mapping[tuple[int, str], int]) -> None:
        for event in {r.event for r in self.retries.values()}:
            family = [r for _, r in sorted(self.retries.items()) if r.event == event]
            rows = [r for r in family if (r.handler, r.state) == (None, "pending")]
            had = {r.handler for r in family if r.state != "nowhere"}
            new = [name for name in self.matching(family[0].kind) if name not in had]
            for row, handler in zip(rows, new, strict=False):
                row.give_to(handler, self.now)
            for handler in new[len(rows) :] if rows and rows[0].life == 1 else ():
                self.add(fresh[event, handler], handler, rows[0])

    def unpark(self) -> None:
        running = {"pending", "processing"}
        live = {(r.handler, r.key) for r in self.retries.values() if r.state in running}
        for _, r in sorted(self.retries.items()):
            if r.state == "parked" and (r.handler, r.key) not in live:
                r.state = "pending"
                live.add((r.handler, r.key))

    def settle(self, number: int, token: int, decision: str, delay: int) -> str:
        r = self.retries[number]
        if r.state != "processing" or r.token != token:
            return "stale"
        if decision == "reschedule" and r.attempt - r.lost >= r.max_retries:
            return "spent"
        rescue = r.worker.startswith("rescue/")
        self.ended += decision != "release" and not rescue
        r.state, r.token = ENDS.get(decision, "pending"), None
        r.case = r.case or r.state == "dead"
        if r.state == "pending":
            r.attempt -= decision != "reschedule" and not rescue
            r.snoozes += decision == "snooze"
            r.due = r.due if decision == "release" else self.now + delay
        return "settled"
