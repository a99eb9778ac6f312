"""Drives the SQL functions on a real PostgreSQL: the rules by which examples are made."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import astuple
from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from retryd.domain.life import STATES, allowed
from tests.postgres import Connection
from tests.sql.comparison import EPOCH, Comparison
from tests.sql.doors import refused
from tests.sql.model import HANDLERS, Retry

PICK = st.integers(0, 59)
DELAY = st.sampled_from([0, 0, 5, 30])
LEASE = st.sampled_from([1, 10, 60])
PASSES = st.sampled_from([0, 3, 15, 70])
DECISION = st.sampled_from(
    ["reschedule", "reschedule", "complete", "cancel", "bury", "release", "snooze"]
)
OPERATORS = {
    "replay": "replay_dead_letter",
    "resolve": "resolve_dead_letter",
    "delete": "delete_dead_letter",
    "cancel": "cancel_retry",
    "retry_now": "retry_now",
}
NAME = st.sampled_from(["alpha", "beta"])
WORKER = st.sampled_from(["ann", "bob"])


class Machine(Comparison):
    """One example: a few dozen calls from an empty schema on."""

    def __init__(self, runner: asyncio.Runner, connection: Connection) -> None:
        super().__init__(runner, connection)
        self.claims: list[tuple[int, int]] = []  # every id and token that was ever given out
        self.kinds: dict[str, str] = {}  # of the operations, by event id

    def held(self) -> list[tuple[int, int]]:
        return [(number, r.token) for number, r in self.model.retries.items() if r.token]

    def claim(self, pick: int) -> tuple[int, int]:
        """Pick an id and a token: a current one, a former one of what is held, or any."""
        if not self.held():
            self.acquire("ann", 3, 10, None, 15)
        held = self.held()
        former = [claim for claim in self.claims if claim not in held and self.is_held(claim)]
        pool = (self.claims, held, former)[pick % 3] or held or self.claims
        return pool[pick // 3 % len(pool)]

    def is_held(self, claim: tuple[int, int]) -> bool:
        return self.model.retries[claim[0]].token is not None

    def retry(self, pick: int, states: Collection[str]) -> tuple[int, Retry]:
        """Pick a retry: two times of three in one of the states, else any."""
        fit = [number for number, r in self.model.retries.items() if r.state in states]
        pool = fit if fit and pick % 3 else list(self.model.retries)
        number = pool[pick // 3 % len(pool)]
        return number, self.model.retries[number]

    def instant(self, delay: int) -> str:
        return (EPOCH + timedelta(seconds=self.model.now + delay)).isoformat()

    # --- capture ------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        self.start()
        self.register("alpha")
        self.register("beta")
        self.acquire("ann", 2, 60, None, 0)

    @rule(
        kinds=st.lists(st.sampled_from(["a", "b", "both", "none"]), min_size=1, max_size=3),
        key=st.sampled_from([None, None, "k"]),
        priority=st.sampled_from([None, 0, 9]),
        delay=st.sampled_from([0, 0, None, 20]),
    )
    def capture(
        self, kinds: list[str], key: str | None, priority: int | None, delay: int | None
    ) -> None:
        events = [
            {
                "event_type": f"{kind}.failed",
                "event_id": f"e{len(self.kinds) + n}",
                "ordering_key": key,
                "priority": priority,
                "not_before": None if delay is None else self.instant(delay),
            }
            for n, kind in enumerate(kinds)
        ]
        ids = [number for (number,) in self.rows("capture_failures", events=json.dumps(events))]
        due = self.model.now + (2 if delay is None else delay)
        for event, kind in zip(events, kinds, strict=True):
            self.kinds[str(event["event_id"])] = kind
            like = Retry(ids[0], kind, key, 5 if priority is None else priority, due)
            for handler in self.model.matching(kind) or [""]:
                one = self.model.retries[ids.pop(0)] = Retry(*astuple(like)[:5])
                one.give_to(handler, self.model.now)
        assert not ids
        self.model.unpark()

    @rule(pick=PICK, bulk=st.booleans())
    def capture_again(self, pick: int, bulk: bool) -> None:
        event_id, kind = sorted(self.kinds.items())[pick % len(self.kinds)]
        event = {"event_type": f"{kind}.failed", "event_id": event_id}
        ids = (
            self.rows("capture_failures", events=json.dumps([event]))
            if bulk
            else self.rows("capture_failure", **event)
        )
        query = "select id from retryd.failure_event where event_id = $1"
        number = self.run(self.connection.fetchval(query, event_id))
        family = {n for n, r in self.model.retries.items() if r.event == number}
        assert [n for (n,) in ids] == sorted(
            n for n in family if self.model.retries[n].state != "nowhere"
        )

    # --- workers ------------------------------------------------------------------------------

    def remember(self, number: int, token: int) -> None:
        assert all(token > given for _, given in self.claims), "tokens only grow"
        self.claims.append((number, token))

    @rule(
        worker=WORKER,
        count=st.integers(1, 4),
        lease=LEASE,
        served=st.sampled_from([None, None, ["alpha"], ["beta", "ghost"]]),
        after=PASSES,
    )
    def acquire(
        self, worker: str, count: int, lease: int, served: list[str] | None, after: int
    ) -> None:
        self.advance(after)
        self.model.lengths.add(lease)
        if not any(r.state == "pending" for r in self.model.retries.values()):
            self.capture(["a", "both"], "k", None, 0)
        now = self.model.now
        lanes: dict[tuple[int, str], list[int]] = {}
        for number, r in sorted(
            self.model.retries.items(), key=lambda item: (item[1].due, item[0])
        ):
            fit = r.state == "pending" and r.due <= now and (r.give_up is None or r.give_up > now)
            if (
                fit
                and r.handler in (served or HANDLERS)
                and self.model.paused.get(r.handler) is False
            ):
                lanes.setdefault((r.priority, r.handler), []).append(number)
        ids = []
        for row in self.rows(
            "acquire_retry_batch",
            worker=worker,
            batch_size=count,
            lease=timedelta(seconds=lease),
            handlers=served,
        ):
            number, token = row[:2]
            r = self.model.retries[number]
            assert lanes[r.priority, r.handler].pop(0) == number, "a lane is first in, first out"
            r.state, r.token = "processing", token
            r.attempt += 1
            self.model.hold(r, worker, lease)
            ids.append((token, number))
        left = [priority for (priority, _), lane in lanes.items() if lane]
        assert not left or len(ids) == count, "a claim takes what it can have"
        assert not left or all(self.model.retries[n].priority <= min(left) for _, n in ids)
        for token, number in sorted(ids):
            self.remember(number, token)

    @rule(picks=st.lists(st.tuples(PICK, DECISION, DELAY), min_size=1, max_size=5))
    def settle(self, picks: list[tuple[int, str, int]]) -> None:
        items = [(*self.claim(pick), word, delay) for pick, word, delay in picks]
        ids, tokens, decisions, delays = map(list, zip(*items, strict=True))
        seen: set[tuple[int, int]] = set()
        expected = []
        for number, token, word, delay in items:
            twice = (number, token) in seen
            seen.add((number, token))
            answer = "stale" if twice else self.model.settle(number, token, word, delay)
            expected.append((number, answer))
        answers = self.rows(
            "settle_retries",
            ids=ids,
            tokens=tokens,
            decisions=decisions,
            delays=delays,
            reasons=["exhausted"] * len(ids),
        )
        assert answers == expected

    @rule(
        pick=PICK,
        word=st.sampled_from(["reschedule", "reschedule", "complete", "bury", "release"]),
        delay=DELAY,
    )
    def settle_one(self, pick: int, word: str, delay: int) -> None:
        number, token = self.claim(pick)
        expected = self.model.settle(number, token, word, delay)
        function = {"bury": "fail_retry"}.get(word, f"{word}_retry")
        extra = {"delay": timedelta(seconds=delay)} if word == "reschedule" else {}
        with refused("RT412") if expected == "spent" else nullcontext():
            answer = self.one(function, id=number, claim_token=token, **extra)
            assert answer is (expected == "settled")

    @rule(
        worker=WORKER,
        picks=st.lists(PICK, min_size=1, max_size=3),
        lease=LEASE,
        never_waits=st.booleans(),
    )
    def extend(self, worker: str, picks: list[int], lease: int, never_waits: bool) -> None:
        items = [self.claim(pick) for pick in picks]
        self.model.lengths.add(lease)
        held = {
            (number, token)
            for number, token in items
            if self.model.retries[number].token == token
            and self.model.retries[number].lease[0] == worker
        }
        answers = self.rows(
            "renew_leases" if never_waits else "extend_retry_leases",
            worker=worker,
            ids=[number for number, _ in items],
            tokens=[token for _, token in items],
            lease=timedelta(seconds=lease),
        )
        renewed = (True,) if never_waits else ()
        assert sorted(answers) == sorted((number, *renewed) for number, _ in held)
        for number, _ in held:
            self.model.hold(self.model.retries[number], worker, lease)

    @rule(worker=WORKER, pick=PICK, lease=LEASE)
    def adopt(self, worker: str, pick: int, lease: int) -> None:
        _, after = self.claim(pick)
        self.model.lengths.add(lease)
        unheard = {
            number: r
            for number, r in sorted(self.model.retries.items())
            if r.token and r.token > after and r.lease[0] == worker
        }
        rows = self.rows("adopt_claims", worker=worker, after=after, lease=timedelta(seconds=lease))
        assert [row[:2] for row in rows] == [(number, r.token) for number, r in unheard.items()]
        for r in unheard.values():
            self.model.hold(r, worker, lease)

    @rule(back=st.sampled_from([0, 5, 30, 100]))
    def clamp(self, back: int) -> None:
        self.advance(-back)
        latest = self.model.now + max(self.model.lengths)
        late = [r for r in self.model.retries.values() if r.token and r.lease[1] > latest]
        assert self.one("clamp_leases", batch_size=100) == len(late)
        for r in late:
            r.lease = (r.lease[0], latest)

    @rule(worker=WORKER, lease=LEASE, after=PASSES)
    def rescue(self, worker: str, lease: int, after: int) -> None:
        self.advance(after)
        self.model.lengths.add(lease)
        lapsed = {
            number: r
            for number, r in self.model.retries.items()
            if r.state == "processing" and r.lease[1] <= self.model.now
        }
        answers = self.rows(
            "take_expired_leases", worker=worker, batch_size=100, lease=timedelta(seconds=lease)
        )
        assert {row[0] for row in answers} == set(lapsed)
        for token, number in sorted((row[1], row[0]) for row in answers):
            self.remember(number, token)
            r = lapsed[number]
            first = not r.lease[0].startswith("rescue/")
            r.lost += first
            self.model.ended += first
            r.token = token
            self.model.hold(r, f"rescue/{worker}", lease)

    @rule(after=PASSES)
    def expire(self, after: int) -> None:
        self.advance(after)
        old = [
            r
            for r in self.model.retries.values()
            if r.state in allowed("expire")
            and r.give_up is not None
            and r.give_up <= self.model.now
        ]
        assert self.one("expire_retries", batch_size=100) == len(old)
        for r in old:
            r.state, r.case = "dead", True

    # --- operators ----------------------------------------------------------------------------

    @rule(pick=PICK, verb=st.sampled_from(sorted(OPERATORS)))
    def operate(self, pick: int, verb: str) -> None:
        number, r = self.retry(pick, allowed(verb))
        case_closed = verb == "delete" and r.case and STATES.get(r.state) == "done"
        may = r.state in allowed(verb)
        assert self.one(OPERATORS[verb], id=number) is (may or case_closed)
        match verb:
            case _ if not may:
                r.case = r.case and not case_closed
            case "replay":
                self.revive(r)
            case "resolve":
                r.state = "resolved"
            case "delete":
                r.state, r.case = "nowhere", False
            case "cancel":
                r.state, r.token = "cancelled", None
            case "retry_now":
                r.due = self.model.now

    def revive(self, r: Retry) -> None:
        _, _, age = HANDLERS[r.policy]
        r.attempt = r.lost = r.snoozes = 0
        r.handler = r.handler if r.handler in self.model.paused else ""
        r.life, r.due, r.give_up = r.life + 1, self.model.now, age and self.model.now + age
        r.state = "parked" if r.key and r.handler else "pending"
        if not r.handler:
            self.route()

    @rule(name=NAME, verb=st.sampled_from(["pause", "resume", "resume", "forget"]))
    def tend(self, name: str, verb: str) -> None:
        paused = self.model.paused.get(name)
        may = {"pause": paused is False, "resume": bool(paused)}.get(verb, paused is not None)
        match verb:
            case "pause" | "resume":
                assert self.one(f"{verb}_handler", name=name) is may
                self.model.paused |= {name: verb == "pause"} if may else {}
            case "forget":
                assert self.one("forget_handler", name=name) is may
                self.model.paused.pop(name, None)
                for r in self.model.retries.values() if may else ():
                    if r.handler == name and STATES.get(r.state) == "live":
                        r.handler = ""
                        r.state = "pending" if r.state == "parked" else r.state
        if verb == "resume":
            self.register(name)

    def register(self, name: str) -> None:
        new = name not in self.model.paused
        match = [f"{kind}*" for kind in HANDLERS[name][0].split()]
        policy = "brief" if name == "beta" else None
        assert self.one("register_handler", name=name, match=match, policy=policy) is new
        if new:
            self.model.paused[name] = False
            self.route()


def play(runner: asyncio.Runner, connection: Connection, rules: settings) -> None:
    """Play examples; raises what the first failing one raised."""
    machine: Any = lambda: Machine(runner, connection)  # noqa: E731  (hypothesis calls it)
    run_state_machine_as_test(machine, settings=rules)
