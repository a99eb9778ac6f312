"""What the SQL functions promise, in plain Python. A handler: kinds, attempts, age limit."""

from __future__ import annotations

from dataclasses import astuple, dataclass, field

HANDLERS = {"": ("", 3, None), "alpha": ("a both", 3, None), "beta": ("b both", 2, 40)}


@dataclass
class Retry:
    event: int
    kind: str
    key: str | None
    priority: int
    due: int
    handler: str = ""
    policy: str = ""  # the handler under whose policy it came
    max_retries: int = 0
    give_up: int | None = None
    state: str = "pending"
    attempt: int = 0
    lost: int = 0
    snoozes: int = 0
    life: int = 1
    token: int | None = None
    lease: tuple[str, int] = ("", 0)  # worker, end
    case: bool = False  # has a row among the dead letters

    def give_to(self, handler: str, now: int) -> None:
        _, attempts, age = HANDLERS[handler]
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
    lengths: set[int] = field(default_factory=set)  # of the leases that were asked for

    def matching(self, kind: str) -> list[str]:
        return sorted(name for name in self.paused if kind in HANDLERS[name][0].split())

    def route(self, fresh: dict[tuple[int, str], int]) -> None:
        for event in {r.event for r in self.retries.values()}:
            family = [r for _, r in sorted(self.retries.items()) if r.event == event]
            rows = [r for r in family if (r.handler, r.state) == ("", "pending")]
            had = {r.handler for r in family if r.state != "nowhere"}
            new = sorted({*self.matching(family[0].kind)} - had)
            for row, handler in zip(rows, new, strict=False):
                row.give_to(handler, self.now)
            for handler in new[len(rows) :] if rows and rows[0].life == 1 else ():
                self.retries[fresh[event, handler]] = one = Retry(*astuple(rows[0])[:5])
                one.give_to(handler, self.now)

    def unpark(self) -> None:
        for r in [r for _, r in sorted(self.retries.items()) if r.state == "parked"]:
            mates = [o for o in self.retries.values() if (o.handler, o.key) == (r.handler, r.key)]
            if not any(o.token or o.state == "pending" for o in mates):
                r.state = "pending"

    def hold(self, r: Retry, worker: str, lease: int) -> None:
        r.lease = (worker, self.now + lease)

    def settle(self, number: int, token: int, decision: str, delay: int) -> str:
        r = self.retries[number]
        if r.token != token:
            return "stale"
        if decision == "reschedule" and r.attempt - r.lost >= r.max_retries:
            return "spent"
        rescue = r.lease[0].startswith("rescue/")
        self.ended += decision != "release" and not rescue
        ends = {"complete": "completed", "cancel": "cancelled", "bury": "dead"}
        r.state, r.token, r.case = ends.get(decision, "pending"), None, r.case or decision == "bury"
        if r.state == "pending":
            r.attempt -= decision != "reschedule" and not rescue
            r.snoozes += decision == "snooze"
            r.due = r.due if decision == "release" else self.now + delay
        return "settled"
