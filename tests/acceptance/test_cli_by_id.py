"""`retryd explain`, `retry-now` and `cancel`: one retry looked into, and moved by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

from retryd.cli.explain import REMEDIES
from tests.acceptance.commands import Shell
from tests.postgres import Connection

SQL = Path(__file__).parents[2] / "sql" / "functions"


async def capture(connection: Connection, **details: object) -> int:
    """Capture a failure for the handler `mail`."""
    await connection.execute("select retryd.register_handler('mail', '{mail.*}')")
    named = ", ".join(f"{name} => ${n}" for n, name in enumerate(details, 1))
    query = f"select retryd.capture_failure('mail.send.failed'{', ' if named else ''}{named})"
    number: int = await connection.fetchval(query, *details.values())
    return number


async def test_explain_tells_each_reason_its_time_and_what_to_do(
    shell: Shell, connection: Connection
) -> None:
    number = await capture(connection)
    await connection.execute(
        "select retryd.pause_handler('mail', E'server\\n is down', 'eve');"
        "update retryd.retry_queue set next_attempt_at = '2030-01-31T08:00:00Z'"
    )
    told = await shell("explain", str(number))
    assert (told.status, told.err) == (0, "")
    first, second = re.split(r"\n(?=\S)", told.out.strip())
    assert first.splitlines() == [
        "not due, until 2030-01-31 08:00:00Z",
        "  attempt 1 of 3 is due then",
        f"  → `retryd retry-now {number}` makes it due at once",
    ]
    assert second.startswith("lane held, since 20")
    assert "handler mail at priority 5 is paused by eve: server is down" in second
    document = (await shell("explain", str(number), "--json")).document
    assert document["id"] == number
    assert [reason["reason"] for reason in document["reasons"]] == ["not_due", "lane_held"]
    assert list(document["reasons"][0]) == ["reason", "detail", "since", "until"]
    assert document["reasons"][0]["until"] == "2030-01-31T08:00:00+00:00"


def test_every_reason_has_its_remedy_or_says_that_it_needs_none() -> None:
    named = set(
        re.findall(
            r"^        select \d+, '(\w+)'", (SQL / "explain_retry.sql").read_text(), re.MULTILINE
        )
    )
    assert {"not_due", "lane_held", "no_worker", "due"} <= named
    ended = (SQL / "explain_end.sql").read_text()
    named |= {"running", "superseded", *re.findall(r"(?:then|else) '(\w+)'$", ended, re.MULTILINE)}
    assert named == REMEDIES.keys()


async def test_explain_of_an_unknown_id_is_status_1(shell: Shell) -> None:
    assert "there is no retry 17" in (await shell("explain", "17")).refused(1)


async def test_retry_now_makes_due_what_waits_and_tells_what_does_not(
    shell: Shell, connection: Connection
) -> None:
    waiting = await capture(connection)
    running = await capture(connection, priority=0)
    first = await capture(connection, ordering_key="k")
    parked = await capture(connection, ordering_key="k")
    await connection.execute("update retryd.retry_queue set next_attempt_at = retryd.now()")
    await connection.execute("select retryd.acquire_retry_batch('ann', 1)")
    await connection.execute(
        "update retryd.retry_queue set next_attempt_at = '2100-01-01' where state <> 'processing'"
    )
    ids = [str(id) for id in (waiting, running, parked, 999)]
    ended = await shell("retry-now", *ids, "--reason", "now", "--json")
    assert ended.status == 1
    assert json.loads(ended.out) == {"due": [waiting], "refused": [running, parked, 999]}
    lines = ended.err.splitlines()
    assert lines[0].startswith(f"retryd: retry {running} is running; ")
    assert lines[1].startswith(f"retryd: retry {parked} waits for another; ")
    assert lines[2].startswith("retryd: there is no retry 999; ")
    due = "select array_agg(id) from retryd.retries where next_attempt_at <= retryd.now()"
    assert waiting in await connection.fetchval(due + " and state = 'pending'")
    told = await shell("retry-now", str(first))
    assert (told.status, told.out) == (0, f"due {first}\n")


async def test_cancel_stops_what_is_live_and_tells_what_is_not(
    shell: Shell, connection: Connection
) -> None:
    live, dead = await capture(connection), await capture(connection, priority=0)
    await connection.execute(
        "update retryd.retry_queue set next_attempt_at = retryd.now() where id = $1", dead
    )
    await connection.execute(
        "select retryd.fail_retry(id, claim_token) from retryd.acquire_retry_batch('ann', 1)"
    )
    ended = await shell("cancel", str(live), str(dead), str(live), "--reason", "paid by hand")
    assert (ended.status, ended.out) == (1, f"cancelled {live}\n")
    assert f"retry {dead} is dead; `retryd dlq retry {dead}`" in ended.err
    reason = "select cancel_reason from retryd.retry_archive where id = $1"
    assert await connection.fetchval(reason, live) == "paid by hand"
    line = (await shell("cancel", str(live))).refused(1)
    assert f"retry {live} is cancelled already" in line
    again = await shell("retry-now", str(live), "--json")
    assert json.loads(again.out) == {"due": [], "refused": [live]}
