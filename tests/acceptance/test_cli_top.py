"""`retryd top` on a real terminal, and where there is none."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.commands import Shell
from tests.acceptance.terminal import watching
from tests.postgres import Connection, Database


@pytest.fixture
def shell(database: Database, tmp_path: Path) -> Shell:
    """A shell whose commands have the rights of a reader."""
    separator = "&" if "?" in database.dsn else "?"
    return Shell(tmp_path, {"RETRYD_DATABASE_URL": f"{database.dsn}{separator}role=retryd_reader"})


@pytest.fixture(autouse=True)
def as_in_a_shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let children hear SIGINT, which parallel test runners ignore, and ask the terminal's size."""
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
async def busy(connection: Connection) -> None:
    """Two handlers: one works and fails, one is paused; something is unrouted, a worker lives."""
    await connection.execute(
        "select retryd.register_handler('mail', '{mail.*}'),"
        " retryd.register_handler('report', '{report.*}'),"
        " retryd.worker_seen('ann', 'here', 1, '1', '{\"mail\": \"0\"}')"
    )
    for operation in ("mail.a", "mail.b", "mail.c", "mail.d", "report.a", "nobody.knows"):
        await connection.execute(
            "select retryd.capture_failure($1, not_before => retryd.now())", f"{operation}.failed"
        )
    taken = await connection.fetch(
        "select * from retryd.acquire_retry_batch('ann', 3, '1 min', '{mail}')"
    )
    done, dead, _ = taken
    await connection.execute(
        "select retryd.complete_retry($1, $2)", done["id"], done["claim_token"]
    )
    await connection.execute("select retryd.fail_retry($1, $2)", dead["id"], dead["claim_token"])
    await connection.execute("select retryd.pause_handler('report', 'month end', 'bob')")


async def test_a_frame_has_depths_rates_holds_dead_letters_workers_and_alerts(
    shell: Shell, busy: None
) -> None:
    async with watching(shell) as terminal:
        screen = await terminal.shows("mail", "report", "(unrouted)", "dead_letters_growing")
        assert "workers alive 1 · due 3 · running 1 · attempts/s 0.03 · dead letters 1" in screen
        lines = {line.split()[0]: line.split() for line in screen.splitlines() if line.strip()}
        # handler, due, waiting, running, parked, oldest due, per s, ok, failed, other, dead,
        # workers, held
        mail = lines["mail"]
        assert (mail[1:5], mail[-7:]) == (
            ["1", "0", "1", "0"],
            ["0.03", "1", "1", "0", "1", "1", "-"],
        )
        report = lines["report"]
        assert (report[1:5], report[-3:]) == (["1", "0", "0", "0"], ["0", "0", "paused"])
        assert "month end" in screen
        assert await terminal.leave() == 0


async def test_what_changes_is_seen_without_a_key(
    shell: Shell, connection: Connection, busy: None
) -> None:
    async with watching(shell, "--interval", "0.2") as terminal:
        await terminal.shows("report", "paused")
        await connection.execute("select retryd.resume_handler('report')")
        await connection.execute("select retryd.forget_handler('mail')")
        await terminal.shows("due 3", "held 0")
        assert await terminal.leave() == 0


@pytest.mark.parametrize("key", [b"q", b"Q", b"\x03"], ids=["q", "Q", "Ctrl-C"])
async def test_a_key_leaves_at_once_and_the_terminal_is_as_it_was(shell: Shell, key: bytes) -> None:
    async with watching(shell, "--interval", "3600") as terminal:
        await terminal.shows("no handler is registered", "no alerts")
        assert await terminal.leave(key) == 0


async def test_sigterm_leaves_it_and_other_keys_do_not(shell: Shell) -> None:
    async with watching(shell) as terminal:
        await terminal.shows("no alerts")
        terminal.press(b"xyz\n\x1b[A")
        terminal.resize(40, 100)
        await terminal.shows("no alerts")
        terminal.process.terminate()
        assert await terminal.ended() == 0


async def test_a_narrow_terminal_loses_columns_and_never_digits(
    shell: Shell, connection: Connection, busy: None
) -> None:
    await connection.execute(f"select retryd.register_handler('{'h' * 150}', '{{h.*}}')")
    async with watching(shell, columns=80) as terminal:
        screen = await terminal.shows("mail", "h" * 29 + "…")
        table = screen[screen.rindex("handler ") :].splitlines()
        assert table[0].split() == ["handler", "due", "running", "failed", "dead", "held"]
        assert ["mail", "1", "1", "1", "1", "-"] in [line.split() for line in table]
        terminal.resize(40, 160)
        await terminal.shows("oldest due")
        assert await terminal.leave() == 0


async def test_a_database_that_is_not_there_yet_is_waited_for(bare_shell: Shell) -> None:
    nowhere = ("--database-url", "postgresql://127.0.0.1:1/nowhere")
    async with watching(bare_shell, *nowhere) as terminal:
        await terminal.shows("PostgreSQL cannot be reached", "looking")
        assert await terminal.leave() == 0
    line = (await bare_shell("top", "--once", *nowhere)).refused(1)
    assert "PostgreSQL cannot be reached" in line


async def test_a_missing_schema_ends_it_with_one_line(
    plain_database: Database, tmp_path: Path
) -> None:
    shell = Shell(tmp_path, {"RETRYD_DATABASE_URL": plain_database.dsn})
    async with watching(shell) as terminal:
        assert await terminal.ended() == 1
        assert terminal.process.stderr is not None
        err = (await terminal.process.stderr.read()).decode()
        assert err.startswith("retryd: ")
        assert "`retryd migrate`" in err
        assert err.count("\n") == 1


async def test_without_a_terminal_it_is_one_frame_of_text(shell: Shell, busy: None) -> None:
    ended = await shell("top")
    assert (ended.status, ended.err) == (0, "")
    assert "\x1b" not in ended.out
    for words in ("workers alive 1", "handlers", "mail", "(unrouted)", "alerts", "month end"):
        assert words in ended.out


async def test_as_json_it_has_the_rows_of_the_views(shell: Shell, busy: None) -> None:
    found = (await shell("top", "--json")).document
    assert [row["handler"] for row in found["handler_activity"]] == [None, "mail", "report"]
    mail = found["handler_activity"][1]
    assert (mail["attempts_1m"], mail["succeeded_1m"], mail["failed_1m"]) == (2, 1, 1)
    assert mail["oldest_due_seconds"] >= 0
    assert [worker["id"] for worker in found["workers"]] == ["ann"]
    assert {alert["kind"] for alert in found["retry_queue_alerts"]} >= {"lane_held", "unrouted"}
