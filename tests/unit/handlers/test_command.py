"""Kind `command`: what a program is given, how its end reads, and what is refused at the start."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retryd.domain.errors import ConfigurationError
from retryd.domain.limits import ERROR_MESSAGE_BYTES
from retryd.domain.outcome import Failure, Outcome, Reject, Success
from retryd.handlers import open_handler
from retryd.handlers.command import EXITS, REJECTS, CommandHandlerSettings, outcome_of
from retryd.handlers.kept import CUT_MARK
from retryd.handlers.process import Ended
from retryd.ports import Handler
from tests.unit.handlers.attempts import attempt, gone, killed_at_the_end, pids_in

ROOT = Path(__file__).parents[3]


def command(*argv: str, **settings: Any) -> Handler:
    return open_handler(
        "report", CommandHandlerSettings(match=("report.*",), argv=argv, **settings)
    )


def shell(script: str, **settings: Any) -> Handler:
    return command("sh", "-c", script, **settings)


def said(outcome: Outcome) -> str:
    assert isinstance(outcome, Failure)
    return outcome.message


async def test_the_failure_event_comes_as_one_json_object_on_standard_input(tmp_path: Path) -> None:
    path = tmp_path / "event.json"
    assert await attempt(shell(f"cat > {path}")) == Success()
    text = path.read_text()
    assert '"payload": {"net": 1.10, "big": 12345678901234567890.50}' in text
    document = json.loads(text, parse_float=Decimal)
    assert document.pop("payload")["net"] == Decimal("1.10")
    assert document == {
        "id": 42,
        "event_id": "e-1",
        "event_type": "report.daily.failed",
        "operation": "report.daily",
        "handler": "report",
        "source": "shop",
        "correlation_id": "order 7 · Zürich",
        "attributes": {"traceparent": "00-1"},
        "original_error": {"type": "OSError", "message": "no route"},
        "last_error": None,
        "attempt": 2,
        "life": 1,
        "max_retries": 3,
        "created_at": "2026-01-01T12:00:00+00:00",
    }


async def test_its_environment_holds_little_of_the_workers_and_never_its_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABASE_URL", "PGPASSWORD", "RETRYD_DATABASE_URL", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "hunter2hunter2")
    monkeypatch.setenv("TZ", "Europe/Zurich")
    path = tmp_path / "environment"
    handler = shell(f"env > {path}", env={"SHOP_TOKEN": "NEVER_MIND"})
    assert await attempt(handler) == Success()
    found = dict(line.split("=", 1) for line in path.read_text().splitlines())
    assert "hunter2hunter2" not in path.read_text()
    assert not [name for name in found if name.startswith("RETRYD_")]
    assert found["PATH"] == os.environ["PATH"]
    assert found["TZ"] == "Europe/Zurich"
    assert found["SHOP_TOKEN"] == "NEVER_MIND"
    assert {name: value for name, value in found.items() if name.startswith("RETRY_")} == {
        "RETRY_ID": "42",
        "RETRY_EVENT_TYPE": "report.daily.failed",
        "RETRY_OPERATION": "report.daily",
        "RETRY_HANDLER": "report",
        "RETRY_ATTEMPT": "2",
        "RETRY_LIFE": "1",
        "RETRY_MAX_RETRIES": "3",
    }


async def test_a_configured_secret_is_not_read_in_an_error(tmp_path: Path) -> None:
    handler = shell("echo the token is $TOKEN >&2; exit 1", env={"TOKEN": "s3cret-s3cret"})
    assert said(await attempt(handler)) == "the token is ***"


async def test_it_runs_where_it_is_told_to(tmp_path: Path) -> None:
    (tmp_path / "rerun").write_text("#!/bin/sh\npwd >&2; exit 1\n")
    (tmp_path / "rerun").chmod(0o755)
    handler = command("./rerun", cwd=str(tmp_path))
    assert said(await attempt(handler)) == str(tmp_path)


async def test_it_has_three_descriptors_and_the_signals_of_any_program() -> None:
    listing = "import os; print(sorted(map(int, os.listdir('/dev/fd'))))"
    outcome = await attempt(command(sys.executable, "-c", f"{listing}; raise SystemExit(1)"))
    assert said(outcome) == "[0, 1, 2, 3]"  # 3 is the folder that it lists
    for name in ("PIPE", "TERM", "INT", "HUP", "USR1"):
        outcome = await attempt(shell(f"kill -{name} $$"))
        assert isinstance(outcome, Failure)
        assert outcome.error_type == f"Signal{getattr(signal, 'SIG' + name):d}"


async def test_what_it_does_not_read_is_no_failure() -> None:
    assert await attempt(command("true"), payload_text=json.dumps("x" * 1_000_000)) == Success()


async def test_a_large_event_is_read_to_its_end() -> None:
    payload = json.dumps("x" * 1_000_000)
    outcome = await attempt(shell("wc -c >&2; exit 1"), payload_text=payload)
    assert int(said(outcome)) > 1_000_000


async def test_the_error_is_the_end_of_standard_error_else_of_standard_output() -> None:
    both = shell("echo printed; echo complained >&2; exit 3")
    assert await attempt(both) == Failure("ExitStatus3", "complained")
    assert await attempt(shell("echo printed; exit 3")) == Failure("ExitStatus3", "printed")
    silent = await attempt(shell("exit 75"))
    assert silent == Failure("ExitStatus75", "ended with exit status 75 (EX_TEMPFAIL)")
    assert await attempt(shell("exit 65")) == Reject("ended with exit status 65 (EX_DATAERR)")


async def test_output_without_end_fills_no_memory_and_its_end_is_kept() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    script = "head -c 300000000 /dev/zero; head -c 100000000 /dev/zero >&2; echo last >&2; exit 1"
    message = said(await attempt(shell(script)))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 64 * 1024 * (1024 if sys.platform == "darwin" else 1)
    assert len(message.encode()) <= ERROR_MESSAGE_BYTES
    assert message.startswith(CUT_MARK)
    assert message.endswith("\ufffdlast")


async def test_output_that_is_no_text_is_replaced() -> None:
    outcome = await attempt(shell(r"printf 'a\377b\000c' >&2; exit 1"))
    assert said(outcome) == "a\ufffdb\ufffdc"


@given(
    st.integers(-signal.NSIG, 255),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
)
@example(0, "printed")
@example(75, "")
def test_every_exit_code_has_one_outcome(code: int, printed: str) -> None:
    outcome = outcome_of(Ended(code, printed))
    match outcome:
        case Success():
            assert code == 0
        case Reject(why=message):
            assert code in {64, 65, 66, 67, 68, 76, 77, 78}
            assert message == (printed or f"ended with exit status {code} ({EXITS[code]})")
        case Failure(error_type=kind, message=message):
            assert kind == (f"Signal{-code}" if code < 0 else f"ExitStatus{code}")
            assert code not in REJECTS | {0}
            assert message == printed if printed else str(abs(code)) in message
        case _:
            pytest.fail(f"{outcome} for {code}")


def test_the_page_about_handlers_shows_the_table_of_exits() -> None:
    page = (ROOT / "docs" / "handlers.md").read_text()
    for code, name in EXITS.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| {code} `{name}`"))
        assert ("dead letter" in row) == (code in REJECTS)


async def test_the_exit_status_of_a_real_program_is_read_as_it_is() -> None:
    for code in (0, 1, 2, 64, 75, 78, 126, 127, 255):
        assert await attempt(shell(f"echo x >&2; exit {code}")) == outcome_of(Ended(code, "x"))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            {"argv": ("no-such-program",)},
            r"argv: there is no program 'no-such-program' on the PATH",
        ),
        ({"argv": ("./rerun",)}, r"argv: there is no program './rerun' in '"),
        ({"argv": ("/no/such/program",)}, r"argv: there is no program '/no/such/program'"),
        ({"argv": ("true",), "cwd": "/no/such/folder"}, r"cwd: '/no/such/folder' is no directory"),
        ({"argv": ("true",), "env": {"PATH": "/no/such"}}, r"argv: .* on the PATH '/no/such'"),
    ],
)
def test_what_cannot_be_run_is_named_before_anything_is_claimed(
    settings: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"^handlers\.report\.{problem}"):
        open_handler("report", CommandHandlerSettings(match=("report.*",), **settings))


def test_a_file_that_may_not_be_executed_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "rerun").write_text("#!/bin/sh\n")
    with pytest.raises(ConfigurationError, match="there is no program"):
        command("./rerun", cwd=str(tmp_path))


async def test_a_program_that_vanished_is_a_failure_that_may_pass(tmp_path: Path) -> None:
    program = tmp_path / "rerun"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    handler = command(str(program))
    assert await attempt(handler) == Success()
    program.unlink()
    missing = f"{program} cannot be run: No such file or directory"
    assert await attempt(handler) == Failure("ExitStatus127", missing)
    program.mkdir()
    assert await attempt(handler) == Failure(
        "ExitStatus126", f"{program} cannot be run: Permission denied"
    )


async def test_what_a_program_leaves_in_its_group_ends_with_it(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    handler = shell(
        f"sh -c 'trap \"\" TERM HUP; echo $$ >> {pids}; exec sleep 1000' & "
        f"until test -s {pids}; do :; done"
    )
    assert await attempt(handler) == Success()
    await gone(*pids_in(pids, 1))


async def test_who_left_the_group_with_a_pipe_in_hand_holds_up_nobody(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    escape = f"import os, time; os.setsid(); print(os.getpid(), file=open({str(pids)!r}, 'w'))"
    handler = shell(
        f'{sys.executable} -c "{escape}; time.sleep(1000)" & until test -s {pids}; do :; done;'
        " echo parent says >&2; exit 1"
    )
    async with killed_at_the_end(pids):
        assert said(await attempt(handler)) == "parent says"


async def test_a_program_may_signal_its_whole_group() -> None:
    assert await attempt(shell("trap 'exit 7' TERM; kill 0")) == Failure(
        "ExitStatus7", "ended with exit status 7"
    )
    killed = Failure("Signal9", "ended with signal 9 (SIGKILL)")
    assert await attempt(shell("kill -9 0")) == killed
