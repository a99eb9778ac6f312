"""`retryd dlq retry-all`, `delete`, `export` and `import`: many dead letters, and a person."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.commands import Shell
from tests.postgres import Connection, Database
from tests.waiting import until

MANY = 1_200


async def bury(connection: Connection, count: int = 1, **changes: object) -> list[int]:
    """Make dead letters of the handler `mail`; returns their ids."""
    letter = {
        "event_type": "mail.send.failed",
        "handler": "mail",
        "status": "pending",
        "reason": "rejected",
        "error_type": "SmtpError",
        "error_message": "no such box",
        "payload": {"net": 1.5},
        "policy": "default",
        "max_retries": 3,
        "attempt": 1,
        "captured_at": "2026-01-01T00:00:00Z",
        "dead_at": "2026-01-02T00:00:00Z",
        **changes,
    }
    rows = await connection.fetch(
        "select id from retryd.import_dead_letters(("
        " select jsonb_agg($1::jsonb || jsonb_build_object('event_id', gen_random_uuid()))"
        " from generate_series(1, $2))) order by index",
        json.dumps(letter),
        count,
    )
    ids = [row["id"] for row in rows]
    assert None not in ids
    return ids


async def statuses(connection: Connection) -> dict[int, str]:
    """Read the status of each."""
    rows = await connection.fetch("select id, status from retryd.dead_letters order by id")
    return {row["id"]: row["status"] for row in rows}


# --- which are meant --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["retry-all", "--yes"], "--all means every open one"),
        (["delete", "--yes"], "--all means every open one"),
        (["retry-all", "--all", "--handler", "mail", "--yes"], "--all takes no filter"),
        (["delete", "7", "--handler", "mail"], "ids, or filters, not both"),
        (["delete", "7", "--all"], "ids, or filters, not both"),
        (["retry-all", "--all"], "Nobody can be asked here: say --yes"),
        (["delete", "--handler", "mail"], "Nobody can be asked here: say --yes"),
        (["retry-all", "--older-than", "7 days"], "'7 days' is no age"),
        (["retry-all", "--all", "--yes", "--rate", "0"], "--rate"),
        (["retry-all", "--operation", "a?", "--yes"], "pattern 'a?'"),
        (["retry-all", "--status", "resolved", "--yes"], "'resolved'"),
        (["import", "absent.jsonl"], "absent.jsonl cannot be read"),
    ],
)
async def test_what_is_not_said_clearly_is_refused_before_anything_is_asked(
    bare_shell: Shell, arguments: list[str], words: str
) -> None:
    nowhere = ("--database-url", "postgresql://127.0.0.1:1/nowhere")
    line = (await bare_shell("dlq", *arguments, *nowhere)).refused(2)
    assert words in line


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--all"], "NLFP"),
        (["--handler", "mail"], "NFP"),
        (["--operation", "mail.*"], "NLF"),
        (["--reason", "exhausted"], "L"),
        (["--status", "failed"], "F"),
        (["--status", "open", "--older-than", "7d"], "LFP"),
        (["--older-than", "99999w"], ""),
    ],
)
async def test_each_filter_says_which_are_replayed(
    shell: Shell, connection: Connection, filters: list[str], expected: str
) -> None:
    recent = await connection.fetchval("select to_jsonb(retryd.now()) #>> '{}'")
    made = {
        "N": await bury(connection, dead_at=recent),
        "L": await bury(connection, handler="log", reason="exhausted"),
        "R": await bury(connection, status="resolved", resolved_by="person"),
        "F": await bury(connection, status="failed"),
        "P": await bury(connection, event_type="post.send.failed"),
    }
    ended = await shell("dlq", "retry-all", *filters, "--yes", "--json", "--note", "again")
    count = len(expected)
    assert ended.document == {"matched": count, "replayed": count}
    replayed = {id for id, status in (await statuses(connection)).items() if status == "retrying"}
    assert replayed == {made[name][0] for name in expected}
    noted = await connection.fetch(
        "select distinct replay_reason from retryd.dead_letter where status = 'retrying'"
    )
    assert [row[0] for row in noted] == ["again"] * bool(count)


async def test_a_dry_run_counts_in_groups_and_does_nothing(
    shell: Shell, connection: Connection
) -> None:
    await bury(connection, 3)
    await bury(connection, reason="exhausted", handler=None)
    before = await statuses(connection)
    told = await shell("dlq", "delete", "--all", "--dry-run")
    assert (told.status, told.err) == (0, "")
    header, largest, smallest, total = told.out.splitlines()
    assert header.split() == ["count", "operation", "handler", "status", "reason", "oldest"]
    assert largest.split()[:5] == ["3", "mail.send", "mail", "pending", "rejected"]
    assert smallest.split()[:5] == ["1", "mail.send", "-", "pending", "exhausted"]
    assert total == "4 dead letters"
    document = (await shell("dlq", "retry-all", "--all", "--dry-run", "--json")).document
    assert document["matched"] == 4
    assert [group["count"] for group in document["groups"]] == [3, 1]
    assert await statuses(connection) == before


@pytest.mark.forgets
async def test_delete_takes_ids_or_filters(shell: Shell, connection: Connection) -> None:
    first, second, third = await bury(connection, 3)
    await bury(connection, status="resolved", resolved_by="person")
    await connection.execute("select retryd.register_handler('mail', '{mail.*}')")
    await connection.execute("select retryd.replay_dead_letter($1)", second)
    ended = await shell("dlq", "delete", str(first), str(second), "999", "--json")
    assert ended.status == 1
    assert json.loads(ended.out) == {"deleted": [first], "refused": [second, 999]}
    assert f"dead letter {second} is being retried" in ended.err
    every = await shell("dlq", "delete", "--status", "all", "--dry-run", "--json")
    assert every.document["matched"] == 2
    told = await shell("dlq", "delete", "--status", "resolved", "--yes")
    assert (told.status, told.out, told.err) == (0, "deleted 1 of 1 dead letter\n", "")
    assert await statuses(connection) == {second: "retrying", third: "pending"}


# --- at a terminal, and cut short -------------------------------------------------------------


class Terminal:
    """A pseudo-terminal on which a command is run, and what it shows."""

    def __init__(self) -> None:
        self.ours, self.theirs = os.openpty()
        self.shown = ""

    def read(self) -> str:
        """Return all that was shown up to now."""
        os.set_blocking(self.ours, False)
        while True:
            try:
                self.shown += os.read(self.ours, 65_536).decode()
            except BlockingIOError:
                return self.shown

    def type(self, text: str) -> None:
        """Type as a person does."""
        os.write(self.ours, text.encode())


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A terminal for one command."""
    terminal = Terminal()
    yield terminal
    os.close(terminal.ours)
    os.close(terminal.theirs)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let children hear SIGINT: parallel test runners ignore it, which children inherit."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("answer", "ending"),
    [
        ("y\n", (0, "replayed 2 of 2 dead letters", "retrying")),
        ("\n", (1, "nothing was done", "pending")),
    ],
)
async def test_on_a_terminal_a_person_sees_the_count_and_is_asked(
    shell: Shell,
    connection: Connection,
    terminal: Terminal,
    answer: str,
    ending: tuple[int, str, str],
) -> None:
    await bury(connection, 2)
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal.theirs)
    wide = Shell(shell.folder, {**shell.variables, "COLUMNS": "120"})
    process = await wide.start("dlq", "retry-all", "--handler", "mail", **streams)
    await until(lambda: "Replay 2 dead letters?" in terminal.read())
    assert "mail.send" in terminal.read()
    assert set((await statuses(connection)).values()) == {"pending"}
    terminal.type(answer)
    status, words, after = ending
    assert await process.wait() == status
    assert words in terminal.read()
    assert set((await statuses(connection)).values()) == {after}


async def test_many_go_in_batches_and_a_bar_shows_how_far(
    shell: Shell, connection: Connection, terminal: Terminal
) -> None:
    ids = await bury(connection, MANY)
    ended = await shell(
        "dlq",
        "retry-all",
        "--all",
        "--yes",
        stderr=terminal.theirs,
    )
    assert (ended.status, ended.out) == (0, "replayed 1,200 of 1,200 dead letters\n")
    assert "replay dead letters" in terminal.read()
    assert "1200/1200" in terminal.read() or "500/1200" in terminal.read()
    assert set((await statuses(connection)).values()) == {"retrying"}
    batches = await connection.fetch(
        "select count(*), min(id), max(id) from retryd.dead_letter group by xmin::text order by 2"
    )
    assert [tuple(row) for row in batches] == [
        (500, ids[0], ids[499]),
        (500, ids[500], ids[999]),
        (200, ids[1000], ids[-1]),
    ]


async def test_a_rate_spreads_replays_over_time(shell: Shell, connection: Connection) -> None:
    await bury(connection, 6)
    ended = await shell("dlq", "retry-all", "--all", "--yes", "--rate", "3", "--json")
    assert ended.document == {"matched": 6, "replayed": 6}
    spread = await connection.fetchval(
        "select extract(epoch from max(replayed_at) - min(replayed_at))::float8"
        " from retryd.dead_letter"
    )
    assert 0.9 < spread < 5


async def test_an_interrupt_says_how_far_it_went_and_what_is_done_stays_done(
    shell: Shell, database: Database, connection: Connection, interruptible: None
) -> None:
    watch = await database.connect()
    await bury(connection, 1)
    [held] = await bury(connection, 1)
    async with connection.transaction():
        await connection.execute("select from retryd.dead_letter where id = $1 for update", held)
        process = await shell.start("dlq", "retry-all", "--all", "--yes", "--rate", "1")

        async def second_waits() -> bool:
            query = (
                "select count(*) from pg_stat_activity"
                " where wait_event_type = 'Lock' and datname = current_database()"
            )
            return bool(await watch.fetchval(query))

        await until(second_waits)
        process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert (process.returncode, out) == (130, b"")
    [line] = err.decode().splitlines()
    assert line == ("retryd: cut short: replayed 2 of 2 dead letters; run it again for the rest")


async def test_a_database_that_goes_away_says_how_far_it_went(
    shell: Shell, database: Database, connection: Connection
) -> None:
    watch = await database.connect()
    await bury(connection, 2)
    async with connection.transaction():
        await connection.execute("lock table retryd.dead_letter in exclusive mode")
        process = await shell.start("dlq", "delete", "--all", "--yes")

        async def cut() -> bool:
            return bool(
                await watch.fetchval(
                    "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                    " where wait_event_type = 'Lock' and datname = current_database()"
                )
            )

        await until(cut)
        out, err = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    told, cause = err.decode().splitlines()
    assert told.startswith("retryd: cut short: deleted 0 of 2 dead letters; ")
    assert "PostgreSQL cannot be reached" in cause
    assert len(await statuses(connection)) == 2


# --- there and back ---------------------------------------------------------------------------


@pytest.mark.forgets
async def test_a_file_brings_back_what_was_exported_and_deleted(
    shell: Shell, connection: Connection
) -> None:
    await connection.execute("select retryd.register_handler('mail', '{mail.*}')")
    await bury(connection, 3, payload={"to": "Zoë \U0001f600"}, ordering_key="k", raw="AP8=")
    await bury(connection, status="resolved", resolved_by="person", resolved_actor="eve")
    kept = "select to_jsonb(d) - 'id' from retryd.dead_letters d order by id"
    before = await connection.fetch(kept)

    file = shell.folder / "dead.jsonl"
    with file.open("wb") as lines:
        ended = await shell("dlq", "export", "--status", "all", stdout=lines)
    assert (ended.status, ended.err) == (0, "exported 4 dead letters\n")
    assert (await shell("dlq", "delete", "--status", "all", "--yes")).status == 0
    await connection.execute("delete from retryd.failure_event")
    assert (await shell("dlq", "import", "dead.jsonl", "--json")).document == {
        "imported": 4,
        "existing": 0,
        "refused": 0,
    }
    assert await connection.fetch(kept) == before
    again = await shell("dlq", "import", "-", typed=file.read_text())
    assert (again.status, again.err) == (0, "")
    assert again.out == "imported 0 dead letters; 4 there already, 0 refused\n"

    first = min(await statuses(connection))
    assert (await shell("dlq", "retry", str(first))).status == 0
    row = await connection.fetchrow("select * from retryd.acquire_retry_batch('ann', 10)")
    assert row is not None
    assert (row["id"], json.loads(row["payload"])) == (first, {"to": "Zoë \U0001f600"})


async def test_numbers_keep_every_digit_on_their_way_out(
    shell: Shell, connection: Connection
) -> None:
    digits = '{"net":1.10,"n":12345678901234567890.123}'
    captured = await shell("capture", "mail.send.failed", digits, "--attributes", '{"x":0.10}')
    number = captured.out.strip()
    shown = await shell("show", number, "--json")
    assert '"n": 12345678901234567890.123,' in shown.out
    assert re.search(r'"net": 1\.10\n', shown.out)
    assert re.search(r'"x": 0\.10\n', shown.out)
    assert '"n": 12345678901234567890.123,' in (await shell("show", number)).out
    await connection.execute("select retryd.cancel_retry($1)", int(number))
    [row] = (await shell("list", "--json")).document
    assert row["payload"]["n"] == 12345678901234567890.123


async def test_a_bad_line_is_named_and_harms_no_other(shell: Shell, connection: Connection) -> None:
    await bury(connection)
    good = (await shell("dlq", "export")).out
    letter = json.loads(good) | {"event_id": "e-1"}
    lines: list[Any] = [
        good.strip(),
        "{",
        "",
        json.dumps(letter | {"reason": "bored"}),
        json.dumps(letter | {"payload": "\x00"}),
        "[NaN]",
        '{"a": 1e999}',
        json.dumps(letter),
        json.dumps(letter | {"handler": "log", "payload": 7}),
        "[" * 100_000,
    ]
    ended = await shell("dlq", "import", "--json", typed="\n".join(lines))
    assert ended.status == 1
    assert json.loads(ended.out) == {"imported": 1, "existing": 1, "refused": 7}
    told = [line.removeprefix("retryd: ") for line in ended.err.splitlines()]
    expected = {
        2: "not readable as JSON",
        4: "reason 'bored'",
        5: "NUL character",
        6: "NaN is no number",
        7: "308 digits",
        9: "another event with its source and event_id",
        10: "nested too deep",
    }
    assert len(told) == len(expected)
    for line, (number, words) in zip(told, expected.items(), strict=True):
        assert line.startswith(f"line {number}: ")
        assert words in line


async def test_of_many_bad_lines_the_first_are_told_and_the_others_counted(shell: Shell) -> None:
    ended = await shell("dlq", "import", typed="{}\n" * 1_025)
    assert (ended.status, ended.out) == (
        1,
        "imported 0 dead letters; 0 there already, 1,025 refused\n",
    )
    *told, last = ended.err.splitlines()
    assert told[0] == "retryd: line 1: event_type is missing"
    assert len(told) == 20
    assert last == "retryd: 1,005 more lines were refused"


async def test_bytes_that_are_no_text_are_a_bad_line(shell: Shell) -> None:
    (shell.folder / "dead.jsonl").write_bytes(b'"\xff"\n')
    ended = await shell("dlq", "import", "dead.jsonl")
    assert ended.status == 1
    assert "line 1: not readable as JSON" in ended.err


async def test_a_line_without_end_is_not_kept_in_memory(shell: Shell) -> None:
    with (shell.folder / "dead.jsonl").open("wb") as file:
        file.truncate(40 * 1024 * 1024)
        file.seek(0, os.SEEK_END)
        file.write(b"\n{}\n")
    ended = await shell("dlq", "import", "dead.jsonl")
    assert ended.status == 1
    assert ended.err.splitlines() == [
        "retryd: line 1: it has more than 16,777,216 bytes",
        "retryd: line 2: event_type is missing",
    ]


async def test_an_interrupt_of_an_import_says_behind_which_line(
    shell: Shell, connection: Connection, interruptible: None
) -> None:
    await bury(connection, 1)
    good = (await shell("dlq", "export")).out
    lines = "".join(
        json.dumps(json.loads(good) | {"event_id": str(number)}) + "\n" for number in range(501)
    )
    process = await shell.start("dlq", "import", "-")
    assert process.stdin is not None
    process.stdin.write(lines.encode())
    await process.stdin.drain()

    async def first_batch() -> bool:
        return len(await statuses(connection)) == 501

    await until(first_batch)
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert (process.returncode, out) == (130, b"")
    [line] = err.decode().splitlines()
    assert line == (
        "retryd: cut short after line 500: imported 500 dead letters; 0 there already, 0 refused;"
        " import it again for the rest"
    )


async def test_an_export_whose_reader_is_gone_ends_quietly(
    shell: Shell, connection: Connection
) -> None:
    await bury(connection, 3)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = await shell("dlq", "export", stdout=writing)
    finally:
        os.close(writing)
    assert (ended.status, ended.err) == (1, "")


async def test_an_export_to_a_file_shows_a_bar_and_one_to_a_pipe_does_not(
    shell: Shell, connection: Connection, terminal: Terminal, tmp_path: Path
) -> None:
    await bury(connection, 3)
    with (tmp_path / "dead.jsonl").open("wb") as file:
        assert (await shell("dlq", "export", stdout=file, stderr=terminal.theirs)).status == 0
    assert "3/3" in terminal.read()
    before = len(terminal.read())
    ended = await shell("dlq", "export", stderr=terminal.theirs)
    assert len(ended.out.splitlines()) == 3
    assert terminal.read()[before:].strip() == "exported 3 dead letters"


async def test_a_long_error_does_not_hide_the_other_rows_on_a_terminal(
    shell: Shell, connection: Connection, terminal: Terminal
) -> None:
    await bury(connection, 2, error_message="w" * 5_000)
    wide = Shell(shell.folder, {**shell.variables, "TERM": "xterm", "COLUMNS": "120"})
    assert (await wide("dlq", "list", stdout=terminal.theirs)).status == 0
    assert 300 < terminal.read().count("w") < 400
    assert "…" in terminal.read()
    assert (await shell("dlq", "list")).out.count("w") == 10_000
