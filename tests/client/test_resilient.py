"""`@app.resilient` outside of workers: run now, capture what fails on a connection of its own."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import retryd
from retryd.client.attempt import Attempt
from tests.postgres import Connection, Database
from tests.waiting import until


@pytest.fixture
def app(database: Database, monkeypatch: pytest.MonkeyPatch) -> retryd.App:
    """An application whose database is named by a variable."""
    monkeypatch.setenv("RETRYD_DATABASE_URL", database.dsn)
    return retryd.App()


async def events(connection: Connection) -> list[tuple[str, Any]]:
    """Return type and payload of what was captured."""
    rows = await connection.fetch(
        "select event_type, payload::text from retryd.failure_event order by id"
    )
    return [(row[0], json.loads(row[1])) for row in rows]


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """Keep a function as it is."""
    return function


def asynchronous(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make it a coroutine function."""

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


def disguised(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make it a plain function that returns a coroutine, as some decorators do."""
    inner = asynchronous(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return inner(*args, **kwargs)

    return call


async def called(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function of either sort."""
    said = function(*args, **kwargs)
    return await said if inspect.isawaitable(said) else said


sorts = pytest.mark.parametrize("sort", [plain, asynchronous, disguised])
Sort = Callable[[Callable[..., Any]], Callable[..., Any]]


@sorts
async def test_what_works_returns_and_captures_nothing(
    app: retryd.App, connection: Connection, sort: Sort
) -> None:
    remind = app.resilient("invoice.remind", name="remind")(sort(lambda n, *, by: (n, by)))
    assert await called(remind, 7, by="mail") == (7, "mail")
    assert await events(connection) == []


@sorts
async def test_a_failure_is_captured_with_all_arguments_of_the_call(
    app: retryd.App, connection: Connection, sort: Sort
) -> None:
    def remind(n: int, /, by: str = "mail", *rest: str, urgent: bool = False, **more: Any) -> None:
        raise ConnectionError(f"no {by}")

    call = app.resilient("invoice.remind")(sort(remind))
    assert await called(call, 7) is None
    assert await called(call, 8, "post", "a", "b", urgent=True, n=[1]) is None
    assert await events(connection) == [
        (
            "invoice.remind.failed",
            {"n": 7, "by": "mail", "rest": [], "urgent": False, "more": {}},
        ),
        (
            "invoice.remind.failed",
            {"n": 8, "by": "post", "rest": ["a", "b"], "urgent": True, "more": {"n": [1]}},
        ),
    ]
    row = await connection.fetchrow(
        "select error_type, error_message, error_stack from retryd.failure_event"
    )
    assert row is not None
    assert (row[0], row[1]) == ("ConnectionError", "no mail")
    assert "raise ConnectionError" in row[2]


@sorts
async def test_a_timeout_has_a_type_of_its_own(
    app: retryd.App, connection: Connection, sort: Sort
) -> None:
    def remind() -> None:
        raise TimeoutError

    await called(app.resilient("invoice.remind")(sort(remind)))
    assert await events(connection) == [("invoice.remind.timeout", {})]


@sorts
async def test_the_failure_may_be_raised_as_well(
    app: retryd.App, connection: Connection, sort: Sort
) -> None:
    def remind() -> None:
        raise ConnectionError

    call = app.resilient("invoice.remind", reraise=True)(sort(remind))
    with pytest.raises(ConnectionError) as caught:
        await called(call)
    assert not hasattr(caught.value, "__notes__")
    assert len(await events(connection)) == 1


@sorts
@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, SystemExit])
async def test_what_is_no_failure_passes_through_uncaptured(
    app: retryd.App, connection: Connection, sort: Sort, error: type[BaseException]
) -> None:
    def remind() -> None:
        raise error

    call = app.resilient("invoice.remind")(sort(remind))
    passed: BaseException | None = None
    try:
        await called(call)
    except error as raised:
        passed = raised
    assert isinstance(passed, error)
    assert await events(connection) == []


@sorts
async def test_what_need_not_be_done_any_more_is_not_captured(
    app: retryd.App, connection: Connection, sort: Sort
) -> None:
    def remind() -> None:
        raise retryd.Cancel("paid")

    assert await called(app.resilient("invoice.remind")(sort(remind))) is None
    assert await events(connection) == []


@sorts
async def test_inside_an_attempt_it_raises_and_captures_nothing(
    app: retryd.App, connection: Connection, sort: Sort
) -> None:
    def remind() -> None:
        raise ConnectionError

    call = app.resilient("invoice.remind")(sort(remind))
    with Attempt(), pytest.raises(ConnectionError):
        await called(call)
    assert await events(connection) == []


async def test_what_an_attempt_left_running_is_captured_when_the_attempt_is_over(
    app: retryd.App, connection: Connection
) -> None:
    started, over = asyncio.Event(), asyncio.Event()

    @app.resilient("invoice.remind")
    async def remind() -> None:
        started.set()
        await over.wait()
        raise ConnectionError

    with Attempt():
        left = asyncio.create_task(remind())
        await started.wait()
    over.set()
    await left
    assert len(await events(connection)) == 1


@sorts
async def test_arguments_that_are_no_json_are_refused_when_they_must_be_captured(
    app: retryd.App, connection: Connection, sort: Sort
) -> None:
    def remind(path: Path, *, fails: bool) -> str:
        if fails:
            raise ConnectionError
        return path.name

    call = app.resilient("invoice.remind")(sort(remind))
    assert await called(call, Path("a"), fails=False) == "a"
    wrong = r"^the failed call of invoice\.remind cannot be captured: payload at /path is of type"
    with pytest.raises(retryd.Refused, match=wrong) as caught:
        await called(call, Path("a"), fails=True)
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert await events(connection) == []


@sorts
async def test_a_call_that_does_not_fit_is_the_callers_mistake(
    app: retryd.App, connection: Connection, sort: Sort
) -> None:
    call = app.resilient("invoice.remind", name="remind")(sort(lambda n: n))
    with pytest.raises(TypeError, match="'n'"):
        await called(call)
    assert await events(connection) == []


@sorts
async def test_with_the_database_away_the_failure_is_raised_with_a_note(
    app: retryd.App, monkeypatch: pytest.MonkeyPatch, sort: Sort
) -> None:
    def remind() -> None:
        raise ConnectionError("no mail")

    call = app.resilient("invoice.remind")(sort(remind))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        monkeypatch.setenv("RETRYD_DATABASE_URL", f"postgresql://u:hidden@127.0.0.1:{port}/d")
        with pytest.raises(ConnectionError, match="no mail") as caught:
            await called(call)
    [note] = caught.value.__notes__
    assert note.startswith("retryd: this failure of invoice.remind was not captured: ")
    assert "hidden" not in note


async def test_without_a_database_the_note_names_the_ways(
    app: retryd.App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RETRYD_DATABASE_URL")

    @app.resilient("invoice.remind")
    async def remind() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError) as caught:
        await remind()
    assert "set RETRYD_DATABASE_URL" in caught.value.__notes__[0]


async def test_a_database_without_the_schema_is_a_capture_that_failed(
    app: retryd.App, plain_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRYD_DATABASE_URL", plain_database.dsn)

    @app.resilient("invoice.remind")
    async def remind() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError) as caught:
        await remind()
    assert '"retryd" does not exist' in caught.value.__notes__[0]


@pytest.mark.parametrize("way", ["app", "file", "DATABASE_URL", "RETRYD_DATABASE__URL"])
async def test_the_database_is_found_as_a_worker_finds_it(
    database: Database,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    way: str,
) -> None:
    app = retryd.App(database.dsn if way == "app" else None)
    if way == "file":
        (tmp_path / "config.json").write_text(
            json.dumps(
                {
                    "database": {"url": "env:SHOP_DATABASE"},
                    "handlers": {"x": {"kind": "of another version", "y": 1}},
                }
            )
        )
        monkeypatch.setenv("RETRYD_CONFIG", str(tmp_path / "config.json"))
        monkeypatch.setenv("SHOP_DATABASE", database.dsn)
    elif way != "app":
        monkeypatch.setenv(way, database.dsn)

    @app.resilient("invoice.remind")
    def remind() -> None:
        raise ConnectionError

    remind()
    assert len(await events(connection)) == 1


async def test_a_configuration_that_is_missing_stops_a_capture_only_if_it_might_name_the_database(
    database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RETRYD_CONFIG", str(tmp_path / "missing.json"))
    monkeypatch.setenv("DATABASE_URL", database.dsn)

    @retryd.App().resilient("invoice.remind")
    async def remind() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError) as caught:
        await remind()
    assert "missing.json (from RETRYD_CONFIG) cannot be read" in caught.value.__notes__[0]
    monkeypatch.setenv("RETRYD_DATABASE_URL", database.dsn)
    await remind()
    assert len(await events(connection)) == 1


@pytest.mark.parametrize("block", [{"url": "mysql://u:hidden@h/d"}, {"embedded": True}, 7])
async def test_a_database_that_cannot_be_used_is_a_note_without_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, block: object
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"database": block}))
    monkeypatch.setenv("RETRYD_CONFIG", str(tmp_path / "config.json"))

    @retryd.App().resilient("invoice.remind")
    async def remind() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError) as caught:
        await remind()
    [note] = caught.value.__notes__
    assert "database" in note or "PostgreSQL" in note
    assert "hidden" not in note


async def test_no_connection_is_left(app: retryd.App, connection: Connection) -> None:
    @app.resilient("invoice.remind")
    async def remind() -> None:
        raise ConnectionError

    await asyncio.gather(*(remind() for _ in range(5)))
    assert len(await events(connection)) == 5
    left = "select count(*) from pg_stat_activity where application_name = 'retryd/resilient'"

    async def gone() -> bool:
        return not await connection.fetchval(left + " and datname = current_database()")

    await until(gone)


LATE = """
import threading
import retryd

app = retryd.App()

@app.resilient("invoice.remind")
def remind(invoice):
    raise ConnectionError("down")

def work():
    threading.main_thread().join()
    remind(7)

threading.Thread(target=work).start()
"""


async def test_a_thread_that_outlives_the_main_thread_captures_as_well(
    database: Database, connection: Connection
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LATE),
        env={**os.environ, "RETRYD_DATABASE_URL": database.dsn},
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()
    assert (process.returncode, told) == (0, b"")
    assert await events(connection) == [("invoice.remind.failed", {"invoice": 7})]
