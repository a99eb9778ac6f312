"""The state machine proves itself: it must find each of these mistakes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.postgres import Cluster
from tests.sql.comparison import play_on
from tests.sql.machine import play

FUNCTIONS = Path(__file__).parents[2] / "sql" / "functions"
RULES = settings(
    max_examples=200,
    stateful_step_count=40,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)

SETTLE = "settle_retries"
CLAIM = "claim_retries"
NEW_TOKEN = "claim_token = nextval('retryd.claim_token_seq')"

MUTANTS = {
    "settlements are guarded by the id alone": [
        (
            SETTLE,
            ") l on i.id = l.id and i.token = l.claim_token",
            ") l on i.id = l.id",
        )
    ],
    "a replay makes an old token current again": [
        (CLAIM, NEW_TOKEN, "claim_token = q.attempt + 1")
    ],
    "a rescue leaves the token as it was": [
        ("rescue_retries", NEW_TOKEN, "claim_token = q.claim_token")
    ],
    "an adoption takes what is known, too": [("adopt_claims", " and q.claim_token > after", "")],
    "leases last longer by a step back of the clock": [
        (
            "clamp_leases",
            "set lease_expires_at = latest",
            "set lease_expires_at = q.lease_expires_at",
        )
    ],
    "the move to the dead letters stops before its delete": [
        (
            SETTLE,
            "where m.decision in ('complete', 'cancel', 'bury')))\n    ), back as (",
            "where m.decision in ('complete', 'cancel')))\n    ), back as (",
        )
    ],
    "the move to the dead letters stops before its insert": [
        (SETTLE, "where m.decision = 'bury'\n        order by m.id", "where false")
    ],
    "attempts are counted when they fail, not when they start": [
        (CLAIM, "attempt = q.attempt + 1, ", ""),
        (
            SETTLE,
            "q.attempt - case when m.decision = 'reschedule' or m.rescue then 0 else 1 end",
            "q.attempt + case when m.decision = 'reschedule' then 1 else 0 end",
        ),
    ],
}


def mutated(function: str, old: str, new: str) -> str:
    text = (FUNCTIONS / f"{function}.sql").read_text()
    assert text.count(old) == 1, f"{function}.sql no longer has this text once: {old}"
    return text.replace(old, new)


@pytest.mark.parametrize("changes", MUTANTS.values(), ids=MUTANTS.keys())
def test_the_state_machine_finds_out_when(
    changes: list[tuple[str, str, str]],
    session_runner: asyncio.Runner,
    cluster: Cluster,
    template: str,
) -> None:
    functions = [mutated(*change) for change in changes]
    name = session_runner.run(cluster.create(template))
    connection = session_runner.run(play_on(cluster.dsn_of(name), *functions))
    try:
        with pytest.raises((AssertionError, asyncpg.PostgresError)):
            play(session_runner, connection, RULES)
    finally:
        session_runner.run(connection.close())
        session_runner.run(cluster.drop(name))
