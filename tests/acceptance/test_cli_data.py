"""`retryd capture`, `list`, `show`, `dlq` and `stats`, as scripts and people use them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from tests.acceptance.commands import Shell
from tests.postgres import Connection


async def bury(connection: Connection, handler: str = "mail", reason: str = "rejected") -> int:
    """Let the next due retry of the handler die."""
    await connection.execute("update retryd.retry_queue set next_attempt_at = retryd.now()")
    row = await connection.fetchrow(
        "select * from retryd.acquire_retry_batch('ann', 1, '60 s', array[$1])", handler
    )
    assert row is not None
    assert await connection.fetchval(
        "select retryd.fail_retry($1, $2, $3, 'SmtpError', 'no such box \x1b[31m')",
        *(row["id"], row["claim_token"], reason),
    )
    number: int = row["id"]
    return number


async def test_capture_stores_the_event_and_prints_the_ids_of_its_retries(
    shell: Shell, connection: Connection
) -> None:
    await connection.execute(
        "select retryd.register_handler('mail', '{invoice.*}'), "
        "retryd.register_handler('log', '{*}')"
    )
    ended = await shell(
        "capture",
        "invoice.email.failed",
        "-",
        *("--event-id", "e-1", "--source", "shop", "--correlation-id", "c-1"),
        *("--error-type", "SmtpError", "--error-message", "box full", "--priority", "2"),
        *("--ordering-key", "k", "--not-before", "2030-01-31T08:00:00Z"),
        *("--attributes", '{"trace": "t"}'),
        typed='{"invoice": 17, "to": "Zoë"}',
    )
    assert (ended.status, ended.err) == (0, "")
    ids = [int(line) for line in ended.out.splitlines()]
    assert len(ids) == 2
    rows = await connection.fetch("select * from retryd.retries order by id")
    assert [row["id"] for row in rows] == ids
    for row in rows:
        assert json.loads(row["payload"]) == {"invoice": 17, "to": "Zoë"}
        assert json.loads(row["attributes"]) == {"trace": "t"}
        assert (row["event_id"], row["source"], row["correlation_id"]) == ("e-1", "shop", "c-1")
        assert (row["error_type"], row["error_message"]) == ("SmtpError", "box full")
        assert (row["priority"], row["ordering_key"]) == (2, "k")
        assert row["next_attempt_at"].year == 2030
    again = await shell(
        "capture", "invoice.email.failed", "--event-id", "e-1", "--source", "shop", "--json"
    )
    assert again.document == {"ids": ids}


async def test_list_gives_the_columns_of_the_view_newest_first_page_by_page(
    shell: Shell, connection: Connection
) -> None:
    for number in range(3):
        await connection.execute(
            "select retryd.capture_failure('a.failed', jsonb_build_object('n', $1::int))", number
        )
    view = [
        row["attname"]
        for row in await connection.fetch(
            "select attname from pg_attribute where attrelid = 'retryd.retries'::regclass"
            " and attnum > 0 order by attnum"
        )
    ]
    page = (await shell("list", "--json", "--limit", "2")).document
    assert [row["payload"] for row in page] == [{"n": 2}, {"n": 1}]
    assert list(page[0]) == view
    assert datetime.fromisoformat(page[0]["captured_at"]).tzinfo is not None
    rest = (await shell("list", "--json", "--before", str(page[-1]["id"]))).document
    assert [row["payload"] for row in rest] == [{"n": 0}]


async def test_list_filters_by_place_state_handler_and_operation(
    shell: Shell, connection: Connection
) -> None:
    await connection.execute("select retryd.register_handler('mail', '{mail.*}')")
    mail = await connection.fetchval("select retryd.capture_failure('mail.send.failed')")
    other = await connection.fetchval("select retryd.capture_failure('other.failed')")
    gone = await connection.fetchval("select retryd.capture_failure('mail.gone.failed')")
    await connection.execute("select retryd.cancel_retry($1)", gone)

    async def found(*filters: str) -> list[int]:
        return [row["id"] for row in (await shell("list", "--json", *filters)).document]

    assert await found() == [gone, other, mail]
    assert await found("--place", "live", "--operation", "mail.*") == [mail]
    assert await found("--place", "done") == [gone]
    assert await found("--state", "cancelled", "--handler", "mail") == [gone]


async def test_show_tells_the_whole_history_of_a_dead_letter_that_came_back(
    shell: Shell, connection: Connection
) -> None:
    await connection.execute("select retryd.register_handler('mail', '{mail.*}')")
    number = await connection.fetchval(
        "select retryd.capture_failure('mail.send.failed', '{\"to\": \"ann\"}')"
    )
    assert await bury(connection) == number
    dead = (await shell("show", str(number), "--json")).document
    assert (dead["id"], dead["place"], dead["payload"]) == (number, "dead", {"to": "ann"})
    assert (dead["dead_letter"]["status"], dead["dead_letter"]["reason"]) == ("pending", "rejected")
    replayed = await shell("dlq", "retry", str(number), "--reason", "box is back")
    assert (replayed.status, replayed.out, replayed.err) == (0, f"replayed {number}\n", "")

    live = (await shell("show", str(number), "--json")).document
    assert (live["place"], live["life"], live["attempt"]) == ("live", 2, 0)
    assert live["dead_letter"]["status"] == "retrying"
    steps = [(step["step"], step["life"], step["reason"]) for step in live["timeline"]]
    assert steps == [
        ("captured", 1, None),
        ("attempt", 1, None),
        ("buried", 1, "rejected"),
        ("replayed", 2, "box is back"),
    ]
    told = await shell("show", str(number))
    assert (told.status, told.err) == (0, "")
    for words in ("live", "mail.send.failed", '"to": "ann"', "box is back", "SmtpError"):
        assert words in told.out
    assert "no such box \\x1b[31m" in told.out


async def test_what_a_state_does_not_allow_is_one_line_and_status_1(
    shell: Shell, connection: Connection
) -> None:
    await connection.execute("select retryd.register_handler('mail', '{mail.*}')")
    numbers = [
        str(await connection.fetchval("select retryd.capture_failure('mail.send.failed')"))
        for _ in range(2)
    ]
    await bury(connection)
    await bury(connection)
    ended = await shell("dlq", "resolve", numbers[0], "999", "--json")
    assert ended.status == 1
    assert json.loads(ended.out) == {"resolved": [int(numbers[0])], "refused": [999]}
    assert ended.err.startswith("retryd: there is no dead letter 999; ")
    ended = await shell("dlq", "retry", *numbers)
    assert (ended.status, ended.out) == (1, f"replayed {numbers[1]}\n")
    assert f"dead letter {numbers[0]} is resolved already (person)" in ended.err
    line = (await shell("dlq", "resolve", numbers[1])).refused(1)
    assert f"dead letter {numbers[1]} is being retried" in line


async def test_dlq_lists_what_is_open_and_shows_why(shell: Shell, connection: Connection) -> None:
    await connection.execute("select retryd.register_handler('mail', '{mail.*}')")
    for _ in range(2):
        await connection.execute("select retryd.capture_failure('mail.send.failed')")
    closed = await bury(connection)
    number = await bury(connection, reason="exhausted")
    await connection.execute("select retryd.resolve_dead_letter($1)", closed)

    async def found(*filters: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (await shell("dlq", "list", "--json", *filters)).document
        return rows

    [row] = await found()
    assert (row["id"], row["status"], row["reason"]) == (number, "pending", "exhausted")
    assert [row["id"] for row in await found("--status", "all")] == [number, closed]
    assert await found("--reason", "expired", "--operation", "mail.*", "--handler", "mail") == []
    table = await shell("dlq", "list")
    assert f"{number}" in table.out
    assert "exhausted" in table.out
    shown = (await shell("dlq", "show", str(number), "--json")).document
    assert (shown["id"], shown["error_type"], shown["status"]) == (number, "SmtpError", "pending")
    assert shown["timeline"][-1]["step"] == "buried"
    told = await shell("dlq", "show", str(number))
    assert "exhausted" in told.out


async def test_stats_has_the_rows_of_the_four_views(shell: Shell, connection: Connection) -> None:
    await connection.execute("select retryd.register_handler('mail', '{mail.*}')")
    for _ in range(2):
        await connection.execute("select retryd.capture_failure('mail.send.failed')")
    await bury(connection)
    found = (await shell("stats", "--json")).document
    [live], [dead] = found["retry_queue_stats"], found["dead_letter_stats"]
    assert (live["operation"], live["state"], live["count"]) == ("mail.send", "pending", 1)
    assert (dead["reason"], dead["count"], dead["replays"]) == ("rejected", 1, 0)
    [handler] = found["handler_stats"]
    assert (handler["handler"], handler["match"], handler["dead"]) == ("mail", ["mail.*"], 1)
    assert {alert["kind"] for alert in found["retry_queue_alerts"]} == {"dead_letters_growing"}
    told = await shell("stats")
    assert told.status == 0
    for words in ("alerts", "live", "dead", "handlers", "dead_letters_growing", "mail.send"):
        assert words in told.out
