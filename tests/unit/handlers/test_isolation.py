"""A python function in a process of its own: a zoo of bad ones, none of which harms its worker."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retryd.domain.errors import ConfigurationError
from retryd.domain.limits import ERROR_MESSAGE_BYTES
from retryd.domain.outcome import Cancel, Failure, Outcome, Reject, Snooze, Success
from retryd.domain.retry import Retry
from retryd.handlers import open_handler
from retryd.handlers.isolation import Assignment, outcome_of, report_of
from retryd.handlers.process import Ended
from retryd.handlers.python import PythonHandlerSettings
from retryd.ports import Handler
from tests.unit.handlers.attempts import a_retry, attempt, gone, killed_at_the_end, pids_in
from tests.waiting import until

ZOO = """
import asyncio, ctypes, json, os, pathlib, signal, sys, threading, time
import retryd

here = pathlib.Path(__file__).parent
pids = here / "pids"
calls = 0


def note(path=pids):
    with path.open("a") as file:
        print(os.getpid(), file=file)


def look(retry):
    fields = {name: getattr(retry, name) for name in type(retry).__dataclass_fields__}
    (here / "seen").write_text(repr((fields, retry.payload, os.environ.get("SHOP"))))


async def look_on_a_loop(retry):
    await asyncio.sleep(0)
    look(retry)


def count(retry):
    global calls
    calls += 1
    raise RuntimeError(f"call {calls}")


def say(retry):
    words = {"reject": retryd.Reject("never"), "cancel": retryd.Cancel("no")}
    said = words.get(retry.payload["say"], retryd.Snooze(60))
    if retry.payload["how"] == "raise":
        raise said
    return said


def base_exception(retry): raise BaseException("all the way down")
def system_exit(retry): sys.exit(3)
def interrupt(retry): raise KeyboardInterrupt
def garbage(retry): return {1: object(), "self": sys.modules}
def exit_at_once(retry): print("last words"); os._exit(0)
def exit_with_3(retry): os._exit(3)
def segfault(retry): ctypes.string_at(0)
def kill_itself(retry): os.kill(os.getpid(), signal.SIGKILL)
def eat_memory(retry): return bytearray(2**31)
def burn_time(retry):
    while True: pass
async def burn_time_on_a_loop(retry): burn_time(retry)
def close_output(retry): os.close(1); os.close(2)
async def close_all(retry): os.closerange(0, 256)


def speak_nonsense(retry):
    os.write(3, b'{"outcome": "success", "and": [')
    os._exit(0)


def print_100_mb(retry):
    for _ in range(100):
        print("x" * 1_000_000)
    os.write(2, b"the last of it")
    os._exit(1)


def leave_a_thread(retry):
    threading.Thread(target=threading.Event().wait, daemon=False).start()


def leave_a_process(retry):
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        note()
        signal.pause()
    while not pids.exists() or not pids.read_text().endswith("\\n"):
        time.sleep(0.01)


def leave_a_stranger(retry):
    if os.fork() == 0:
        os.setsid()
        note()
        signal.pause()
    while not pids.exists() or not pids.read_text().endswith("\\n"):
        time.sleep(0.01)


async def come_back_twice(retry):
    if os.fork() == 0:
        return retryd.Reject("the child")
    os.wait()


async def hear_nothing(retry):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        note()
        signal.pause()
    note()
    while True:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            pass


def print_its_secret(retry):
    print("the token is", os.environ["TOKEN"])
    os._exit(1)
"""


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module that processes can import, and this one never does."""
    (tmp_path / "zoo.py").write_text(ZOO)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def isolated(target: str, **settings: Any) -> Handler:
    return open_handler(
        "zoo",
        PythonHandlerSettings(match=("job.*",), target=target, isolation="process", **settings),
    )


def died(outcome: Outcome) -> str:
    """Return what is told of a process that did not report."""
    assert isinstance(outcome, Failure)
    assert outcome.error_type == "ProcessDied"
    return outcome.message


@pytest.mark.parametrize("function", ["look", "look_on_a_loop"])
async def test_the_function_gets_the_whole_retry_in_another_process(
    zoo: Path, function: str
) -> None:
    handler = isolated(f"zoo:{function}", env={"SHOP": "env-of-shop"})
    assert await attempt(handler) == Success()
    retry = a_retry()
    seen = (zoo / "seen").read_text()
    for name in Retry.__dataclass_fields__:
        if name not in {"created_at", "lease_expires_at"}:
            assert f"{name!r}: {getattr(retry, name)!r}" in seen
    assert "datetime.datetime(2026, 1, 1, 12, 0, tzinfo=" in seen
    assert repr(retry.payload) in seen
    assert "'env-of-shop'" in seen


async def test_each_attempt_begins_anew(zoo: Path) -> None:
    handler = isolated("zoo:count")
    for _ in range(2):
        outcome = await attempt(handler)
        assert isinstance(outcome, Failure)
        assert (outcome.error_type, outcome.message) == ("RuntimeError", "call 1")
        assert outcome.stack is not None
        assert "in count" in outcome.stack


@pytest.mark.parametrize("how", ["raise", "return"])
async def test_reject_snooze_and_cancel_are_heard(zoo: Path, how: str) -> None:
    handler = isolated("zoo:say")
    outcomes = {"reject": Reject("never"), "snooze": Snooze(60), "cancel": Cancel("no")}
    for say, outcome in outcomes.items():
        said = f'{{"say": "{say}", "how": "{how}"}}'
        assert await attempt(handler, payload_text=said) == outcome


@pytest.mark.parametrize(
    ("function", "error_type"),
    [
        ("base_exception", "BaseException"),
        ("system_exit", "SystemExit"),
        ("interrupt", "KeyboardInterrupt"),
    ],
)
async def test_whatever_is_raised_is_a_failure(zoo: Path, function: str, error_type: str) -> None:
    outcome = await attempt(isolated(f"zoo:{function}"))
    assert isinstance(outcome, Failure)
    assert outcome.error_type == error_type


@pytest.mark.parametrize(
    "function", ["garbage", "close_output", "leave_a_thread", "come_back_twice"]
)
async def test_who_comes_back_has_succeeded_whatever_it_leaves(zoo: Path, function: str) -> None:
    assert await attempt(isolated(f"zoo:{function}")) == Success()


@pytest.mark.parametrize(
    ("function", "how"),
    [
        ("exit_at_once", "exit status 0 and no report: last words"),
        ("exit_with_3", "exit status 3 and no report"),
        ("segfault", "signal 11 (SIGSEGV) and no report: Fatal Python error"),
        ("kill_itself", "signal 9 (SIGKILL) and no report"),
        ("close_all", "exit status 1 and no report"),
        ("speak_nonsense", "exit status 0 and no report"),
    ],
)
async def test_a_process_that_dies_without_a_report_has_failed(
    zoo: Path, function: str, how: str
) -> None:
    assert died(await attempt(isolated(f"zoo:{function}"))).startswith(
        f"the process ended with {how}"
    )


async def test_memory_beyond_the_limit_is_not_given(zoo: Path) -> None:
    outcome = await attempt(isolated("zoo:eat_memory", memory_mb=256))
    assert isinstance(outcome, Failure)
    assert outcome.error_type == "MemoryError"


@pytest.mark.parametrize("function", ["burn_time", "burn_time_on_a_loop"])
async def test_processor_time_beyond_the_limit_is_not_given(zoo: Path, function: str) -> None:
    told = died(await attempt(isolated(f"zoo:{function}", cpu_seconds=1)))
    assert f"signal {signal.SIGXCPU:d} (SIGXCPU)" in told


async def test_a_hundred_megabytes_of_output_are_read_and_their_end_is_kept(zoo: Path) -> None:
    told = died(await attempt(isolated("zoo:print_100_mb")))
    assert told.endswith("the last of it")
    assert len(told.encode()) <= ERROR_MESSAGE_BYTES


async def test_a_process_that_it_leaves_ends_with_it(zoo: Path) -> None:
    assert await attempt(isolated("zoo:leave_a_process")) == Success()
    await gone(*pids_in(zoo / "pids", 1))


async def test_one_that_left_the_group_with_the_pipes_in_hand_holds_up_nobody(zoo: Path) -> None:
    async with killed_at_the_end(zoo / "pids"):
        assert await attempt(isolated("zoo:leave_a_stranger")) == Success()


async def test_who_is_deaf_to_its_end_is_killed_with_its_children(zoo: Path) -> None:
    running = asyncio.create_task(attempt(isolated("zoo:hear_nothing")))
    pids = await until(lambda: pids_in(zoo / "pids", 2))
    running.cancel()
    await asyncio.wait([running], timeout=0)
    running.cancel()  # the second one does not wait for SIGTERM to work
    with pytest.raises(asyncio.CancelledError):
        await running
    await gone(*pids)


async def test_a_configured_secret_is_not_read_in_an_error(zoo: Path) -> None:
    handler = isolated("zoo:print_its_secret", env={"TOKEN": "s3cret-s3cret"})
    assert died(await attempt(handler)).endswith(": the token is ***")


async def test_the_environment_of_the_worker_is_not_that_of_the_process(
    zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRYD_DATABASE_URL", "postgresql://hunter2")
    monkeypatch.setenv("TOKEN", "hunter2")
    outcome = await attempt(isolated("zoo:print_its_secret"))
    assert isinstance(outcome, Failure)
    assert (outcome.error_type, outcome.message) == ("KeyError", "'TOKEN'")


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("", "AttributeError"),
        ("run = 7", "is no function"),
        ("import no_such_module_here", "ModuleNotFoundError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import os; os._exit(3)", "the process ended with exit status 3 and no report"),
        ("import ctypes; ctypes.string_at(0)", "signal 11 .SIGSEGV. and no report"),
    ],
)
def test_what_cannot_be_imported_is_named_at_the_start_and_harms_nobody(
    zoo: Path, source: str, cause: str
) -> None:
    (zoo / "broken.py").write_text(source)
    expected = rf"(?s)^handlers\.zoo\.target: 'broken:run' .*{cause}"
    with pytest.raises(ConfigurationError, match=expected):
        isolated("broken:run")


def test_the_current_directory_comes_first_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "zoo.py").write_text("def run(retry): ...")
    monkeypatch.chdir(tmp_path)
    assert isolated("zoo:run").definition == {
        "name": "zoo",
        "match": ["job.*"],
        "policy": None,
        "dependency": None,
        "kind": "python",
    }


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50)
OUTCOMES = st.one_of(
    st.builds(Success),
    st.builds(Failure, TEXTS, TEXTS, TEXTS | st.none()),
    st.builds(Snooze, st.floats(allow_nan=False)),
    st.builds(Reject, TEXTS),
    st.builds(Cancel, TEXTS),
)


@given(OUTCOMES, st.integers(-64, 255))
def test_a_report_says_the_outcome_whatever_the_exit_code(outcome: Outcome, code: int) -> None:
    assert outcome_of(Ended(code, "", report_of(outcome)), ()) == outcome


@given(st.binary(max_size=60) | OUTCOMES.map(lambda outcome: report_of(outcome)[:-1]))
def test_what_is_no_report_is_a_death(report: bytes) -> None:
    died(outcome_of(Ended(0, "", report), ()))


@pytest.mark.parametrize(
    "report",
    [b"null", b"[]", b'{"outcome": "lost"}', b'{"outcome": "snooze", "delay": "1"}', b"[" * 99_999],
)
def test_a_report_of_another_shape_is_a_death(report: bytes) -> None:
    died(outcome_of(Ended(0, "", report), ()))


def test_an_assignment_keeps_the_retry_out_of_logs() -> None:
    shown = repr(Assignment("zoo:run", (), None, None, retry=a_retry(payload_text='"hunter2"')))
    assert "hunter2" not in shown


def test_what_is_to_be_hidden_is_hidden_in_every_text_of_a_report() -> None:
    token = "s3cret-s3cret"
    failure = Failure("OSError", f"no {token}", f"line 1: {token}")
    shown = outcome_of(Ended(0, "", report_of(failure)), (token,))
    assert shown == Failure("OSError", "no ***", "line 1: ***")
    assert outcome_of(Ended(0, "", report_of(Reject(token))), (token,)) == Reject("***")
