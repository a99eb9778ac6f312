"""Each verb in each state, as the table of the life has it; all else changes nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from retryd.domain.life import NOWHERE, STATES, TRANSITIONS
from tests.sql.doors import Doors

VERBS = {
    "complete": ("complete_retry", {}),
    "reschedule": ("reschedule_retry", {"delay": timedelta(0)}),
    "release": ("release_retry", {}),
    "bury": ("fail_retry", {}),
    "cancel": ("cancel_retry", {}),
    "retry_now": ("retry_now", {}),
    "replay": ("replay_dead_letter", {}),
    "resolve": ("resolve_dead_letter", {}),
    "delete": ("delete_dead_letter", {}),
}
KEEP_OPEN = {"renew", "rescue", "expire", "prune", "capture", "unpark", "claim"}


async def bring(sql: Doors, state: str) -> dict[str, int]:
    """Make a retry in this state; returns its id and the last token that it had."""
    if state == NOWHERE:
        number = await sql.dead()
        assert await sql.one("delete_dead_letter", id=number)
        return {"id": number, "claim_token": 1}
    if state == "parked":
        await sql.capture(ordering_key="k")
        return {"id": await sql.capture(ordering_key="k"), "claim_token": 1}
    claim = await sql.held()
    match state:
        case "pending":
            assert await sql.one("release_retry", **claim)
        case "completed":
            assert await sql.one("complete_retry", **claim)
        case "cancelled":
            assert await sql.one("cancel_retry", id=claim["id"])
        case "dead" | "resolved":
            assert await sql.one("fail_retry", **claim)
    if state == "resolved":
        assert await sql.one("resolve_dead_letter", id=claim["id"])
    return claim


async def state_of(sql: Doors, number: int) -> str:
    if row := await sql.row("retries", number):
        return str(row["state"])
    if row := await sql.row("dead_letters", number):
        return "resolved" if row["status"] == "resolved" else "dead"
    return NOWHERE


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("state", [*STATES, NOWHERE])
async def test_a_verb_moves_a_retry_as_the_table_says_or_answers_false(
    state: str, verb: str, sql: Doors, request: pytest.FixtureRequest
) -> None:
    claim = await bring(sql, state)
    assert await state_of(sql, claim["id"]) == state
    targets = {
        step.target_state
        for step in TRANSITIONS
        if (step.source_state, step.event) == (state, verb)
    }
    if NOWHERE in {state, *targets}:
        request.applymarker(pytest.mark.forgets)
    function, arguments = VERBS[verb]
    needs_token = function in {step.function for step in TRANSITIONS if step.who == "worker"}
    given = claim if needs_token else {"id": claim["id"]}
    assert await sql.one(function, **given, **arguments) is bool(targets)
    assert await state_of(sql, claim["id"]) in (targets or {state})


def test_every_verb_of_the_table_is_tried_here_or_runs_by_itself() -> None:
    assert {step.event for step in TRANSITIONS} == {*VERBS, *KEEP_OPEN}


async def test_every_function_of_the_table_exists(sql: Doors) -> None:
    rows = await sql.connection.fetch(
        "select proname from pg_proc where pronamespace = 'retryd'::regnamespace"
    )
    assert {step.function for step in TRANSITIONS} <= {row[0] for row in rows}


async def test_the_states_of_the_table_are_those_of_the_schema(sql: Doors) -> None:
    check = await sql.connection.fetchval(
        "select pg_get_constraintdef(oid) from pg_constraint"
        " where conname = 'retry_queue_state_check'"
    )
    live = {state for state, place in STATES.items() if place == "live"}
    assert {word for word in check.split("'") if word.isalpha()} - {"text"} == live
