"""`ResilientPublisher`: the caller goes on, whatever the bus, PostgreSQL and the disk do."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typing_extensions import override

import retryd
from retryd import testing
from retryd.spool.segments import segments
from tests.faults.proxy import Proxy
from tests.postgres import Connection, Database
from tests.waiting import until

PAYLOAD = {"user": 7, "level": 3}


class Bus:
    """Where events go; broken as long as `error` is something."""

    def __init__(self) -> None:
        self.error: BaseException | None = ConnectionError("the bus is down")
        self.published: list[tuple[str, Any]] = []

    def publish(self, event_type: str, payload: Any) -> None:
        if self.error is not None:
            raise self.error
        self.published.append((event_type, payload))

    async def publish_async(self, event_type: str, payload: Any) -> None:
        self.publish(event_type, payload)

    def publish_soon(self, event_type: str, payload: Any) -> Any:
        """Look like a plain function, as a lambda around the async one does."""
        return self.publish_async(event_type, payload)


class CallableBus:
    """A bus that is called itself."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def __call__(self, event_type: str, payload: Any) -> None:
        self._bus.publish(event_type, payload)


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
async def proxy(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """A way to PostgreSQL that can be closed, and the one that applications here take."""
    async with Proxy.before(urlsplit(database.dsn).port or 5432) as proxy:
        monkeypatch.setenv("RETRYD_DATABASE_URL", proxy.dsn(database.dsn))
        yield proxy


@pytest.fixture
async def publisher(
    bus: Bus, proxy: Proxy, directory: Path
) -> AsyncIterator[retryd.ResilientPublisher]:
    async with retryd.ResilientPublisher(
        bus.publish_async, retryd.App(), spool=directory
    ) as publisher:
        yield publisher


async def captured(connection: Connection) -> list[tuple[str, Any]]:
    """Return type and payload of what was captured."""
    rows = await connection.fetch(
        "select event_type, payload::text from retryd.failure_event order by id"
    )
    return [(row[0], json.loads(row[1])) for row in rows]


def spooled(directory: Path) -> list[int]:
    """Return the numbers in the payloads of what waits in the spool."""
    lines = b"".join(each.path.read_bytes() for each in segments(directory)).splitlines()
    return [json.loads(line[18:])["payload"]["number"] for line in lines]


async def test_what_is_published_leaves_nothing_behind(
    publisher: retryd.ResilientPublisher, bus: Bus, connection: Connection, directory: Path
) -> None:
    bus.error = None
    assert await publisher.publish("user.level_up", PAYLOAD)
    assert await publisher.close()
    assert bus.published == [("user.level_up", PAYLOAD)]
    assert await captured(connection) == []
    assert not segments(directory)


async def test_what_fails_is_captured_under_the_preset_for_events(
    publisher: retryd.ResilientPublisher, connection: Connection
) -> None:
    assert not await publisher.publish("user.level_up", PAYLOAD, correlation_id="order-1")
    await until(functools.partial(captured, connection))
    row = await connection.fetchrow(
        """select event_type, operation, policy, max_retries, correlation_id, error_type,
                error_message, payload from retryd.retries"""
    )
    assert row is not None
    assert tuple(row)[:-1] == (
        *("event.user.level_up.failed", "event.user.level_up", "event_publish", 5, "order-1"),
        *("ConnectionError", "the bus is down"),
    )
    assert json.loads(row["payload"]) == PAYLOAD


@pytest.mark.parametrize("sort", ["plain", "async", "callable", "disguised"])
async def test_an_attempt_publishes_what_was_to_be_published(
    bus: Bus, directory: Path, sort: str
) -> None:
    bus.error = None
    app = retryd.App()
    sorts: dict[str, Callable[[str, Any], Any]] = {
        "plain": bus.publish,
        "async": bus.publish_async,
        "callable": CallableBus(bus),
        "disguised": bus.publish_soon,
    }
    publish = sorts[sort]
    async with retryd.ResilientPublisher(publish, app, spool=directory) as publisher:
        assert await publisher.publish("user.level_up", PAYLOAD)
    attempt = await testing.run_handler(
        app, "event-publish", PAYLOAD, event_type="event.user.level_up.failed"
    )
    assert attempt.succeeded
    assert bus.published == [("user.level_up", PAYLOAD)] * 2


async def test_what_a_plain_function_returns_to_be_awaited_fails_as_well(
    bus: Bus, proxy: Proxy, connection: Connection, directory: Path
) -> None:
    async with retryd.ResilientPublisher(
        bus.publish_soon,
        retryd.App(),
        spool=directory,
    ) as publisher:
        assert not await publisher.publish("user.level_up", PAYLOAD)
        with pytest.raises(TypeError, match="await publisher"):
            publisher.publish_sync("user.level_up", PAYLOAD)
    assert await captured(connection) == [("event.user.level_up.failed", PAYLOAD)]


async def test_what_is_captured_is_on_the_disk_however_the_role_is_set(
    publisher: retryd.ResilientPublisher, connection: Connection
) -> None:
    assert await connection.fetchval("show synchronous_commit") == "off"
    await connection.execute(
        """create table public.seen (setting text);
        create function public.see() returns trigger language plpgsql security definer as $$ begin
            insert into public.seen values (current_setting('synchronous_commit')); return null;
        end $$;
        create trigger see after insert on retryd.failure_event execute function public.see()"""
    )
    try:
        assert not await publisher.publish("user.level_up", PAYLOAD)
        assert await publisher.close()
        assert await connection.fetchval("select setting from public.seen") == "on"
    finally:
        await connection.execute("drop function public.see cascade; drop table public.seen")


async def test_a_bus_that_hangs_is_given_up_in_time(
    proxy: Proxy, connection: Connection, directory: Path
) -> None:
    async def publish(_event_type: str, _payload: Any) -> None:
        await asyncio.Event().wait()

    async with retryd.ResilientPublisher(
        publish, retryd.App(), spool=directory, timeout_seconds=0.05
    ) as publisher:
        assert not await publisher.publish("user.level_up")
    assert await captured(connection) == [("event.user.level_up.timeout", {})]


async def test_a_caller_who_is_cancelled_leaves_a_retry_behind(
    proxy: Proxy, connection: Connection, directory: Path
) -> None:
    begun = asyncio.Event()

    async def publish(_event_type: str, _payload: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with retryd.ResilientPublisher(publish, retryd.App(), spool=directory) as publisher:
        calling = asyncio.create_task(publisher.publish("user.level_up", PAYLOAD))
        await begun.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
    assert await captured(connection) == [("event.user.level_up.failed", PAYLOAD)]


def test_code_that_is_not_async_publishes_and_closes_too(
    bus: Bus, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRYD_DATABASE_URL", "postgresql://127.0.0.1:1/nowhere")
    publisher = retryd.ResilientPublisher(bus.publish, retryd.App(), spool=directory)
    assert not publisher.publish_sync("user.level_up", PAYLOAD)
    assert publisher.close_sync()
    assert [each.sealed for each in segments(directory)] == [True]


def test_a_function_that_must_be_awaited_is_refused_where_nobody_awaits(
    bus: Bus, directory: Path
) -> None:
    publisher = retryd.ResilientPublisher(bus.publish_async, retryd.App(), spool=directory)
    with pytest.raises(TypeError, match="await publisher"):
        publisher.publish_sync("user.level_up")


async def test_with_postgresql_away_failures_wait_in_the_spool_and_arrive_once(
    publisher: retryd.ResilientPublisher, connection: Connection, proxy: Proxy, directory: Path
) -> None:
    proxy.reset(closed=True)
    for number in range(30):
        assert not await publisher.publish("user.level_up", {"number": number})
    await until(lambda: sum(each.size for each in segments(directory)))
    assert await captured(connection) == []
    proxy.resume()
    await until(lambda: not segments(directory))
    found = await captured(connection)
    assert sorted(payload["number"] for _, payload in found) == list(range(30))


async def test_an_answer_that_is_lost_makes_no_second_event(
    publisher: retryd.ResilientPublisher, connection: Connection, proxy: Proxy, directory: Path
) -> None:
    proxy.lose_answers("COMMIT")
    assert not await publisher.publish("user.level_up", PAYLOAD)
    await until(lambda: proxy.answers_lost)
    await publisher.close(30)
    assert await captured(connection) == [("event.user.level_up.failed", PAYLOAD)]


async def test_what_does_not_fit_into_the_buffer_goes_to_the_spool_at_once(
    bus: Bus, proxy: Proxy, directory: Path, connection: Connection
) -> None:
    proxy.drop(new_too=True)
    publisher = retryd.ResilientPublisher(
        bus.publish_async, retryd.App(), spool=directory, buffer_size=2
    )
    for number in range(10):
        assert not await publisher.publish("user.level_up", {"number": number})
    assert await publisher.close(0.1)
    assert sorted(spooled(directory)) == list(range(10))
    assert await captured(connection) == []


async def test_the_next_process_takes_up_what_the_last_one_left(
    bus: Bus, proxy: Proxy, directory: Path, connection: Connection
) -> None:
    proxy.reset(closed=True)
    async with retryd.ResilientPublisher(
        bus.publish_async, retryd.App(), spool=directory
    ) as publisher:
        assert not await publisher.publish("user.level_up", PAYLOAD)
    proxy.resume()
    bus.error = None
    async with retryd.ResilientPublisher(
        bus.publish_async, retryd.App(), spool=directory
    ) as publisher:
        assert await publisher.publish("user.level_up", {"number": 2})
        await until(lambda: not segments(directory))
    assert await captured(connection) == [("event.user.level_up.failed", PAYLOAD)]


async def test_with_postgresql_and_the_disk_away_failures_wait_in_memory(
    publisher: retryd.ResilientPublisher,
    connection: Connection,
    proxy: Proxy,
    directory: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    directory.write_text("in the way")
    proxy.reset(closed=True)
    assert not await publisher.publish("user.level_up", PAYLOAD)
    await until(lambda: "spool_failed" in caplog.messages)
    proxy.resume()
    await until(functools.partial(captured, connection))
    assert "event_lost" not in caplog.messages


async def test_what_nothing_can_keep_is_told_and_not_raised(
    bus: Bus, proxy: Proxy, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory.write_text("in the way")
    proxy.reset(closed=True)
    publisher = retryd.ResilientPublisher(bus.publish_async, retryd.App(), spool=directory)
    assert not await publisher.publish("user.level_up", PAYLOAD, event_id="7")
    assert not await publisher.close(0.1)
    (lost,) = [each for each in caplog.records if each.message == "event_lost"]
    assert (lost.__dict__["event_id"], lost.levelno) == ("7", logging.ERROR)


async def test_a_payload_that_is_no_json_is_told_and_not_raised(
    publisher: retryd.ResilientPublisher, caplog: pytest.LogCaptureFixture
) -> None:
    assert not await publisher.publish("user.level_up", {"user": object()})
    (lost,) = [each for each in caplog.records if each.message == "event_lost"]
    assert "/user" in lost.__dict__["reason"]


class Strange(dict[str, int]):
    """A payload that another thread changes, as it were, while it is read."""

    @override
    def items(self) -> Any:
        """Fail as such a dict does."""
        message = "dictionary changed size during iteration"
        raise RuntimeError(message)


async def test_a_payload_that_cannot_be_read_is_told_and_not_raised(
    publisher: retryd.ResilientPublisher, caplog: pytest.LogCaptureFixture
) -> None:
    assert not await publisher.publish("user.level_up", {"user": Strange(a=1)})
    (lost,) = [each for each in caplog.records if each.message == "event_lost"]
    assert lost.__dict__["reason"] == "dictionary changed size during iteration"


class Mute(Exception):
    """An error that cannot say what it is."""

    @override
    def __str__(self) -> str:
        raise ValueError


async def test_an_error_that_cannot_say_what_it_is_is_captured_all_the_same(
    publisher: retryd.ResilientPublisher, bus: Bus, connection: Connection
) -> None:
    bus.error = Mute()
    assert not await publisher.publish("user.level_up", PAYLOAD)
    await until(functools.partial(captured, connection))


async def test_where_no_thread_can_start_failures_go_to_the_spool_and_the_next_call_tries_again(
    bus: Bus,
    proxy: Proxy,
    connection: Connection,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    publisher = retryd.ResilientPublisher(bus.publish_async, retryd.App(), spool=directory)
    with monkeypatch.context() as exhausted:
        exhausted.setattr(threading.Thread, "start", start)
        assert not await publisher.publish("user.level_up", {"number": 1})
        assert [each.sealed for each in segments(directory)] == [True]
    assert not await publisher.publish("user.level_up", {"number": 2})
    await until(lambda: not segments(directory))
    assert await publisher.close()
    found = await captured(connection)
    assert sorted(payload["number"] for _, payload in found) == [1, 2]


async def test_a_name_that_nobody_resolves_holds_up_no_close(
    bus: Bus, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answered = threading.Event(), threading.Event()

    def resolve(*_: object, **__: object) -> None:
        asked.set()
        answered.wait(60)
        raise socket.gaierror

    monkeypatch.setenv("RETRYD_DATABASE_URL", "postgresql://nobody.example/app")
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    publisher = retryd.ResilientPublisher(bus.publish_async, retryd.App(), spool=directory)
    try:
        assert not await publisher.publish("user.level_up", PAYLOAD)
        await until(asked.is_set)
        async with asyncio.timeout(8):
            assert await publisher.close(0.1)
        assert [each.sealed for each in segments(directory)] == [True]
    finally:
        answered.set()


async def test_one_that_postgresql_refuses_takes_no_other_along(
    publisher: retryd.ResilientPublisher, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """A limit that only the database has: here one of its owner."""
    await connection.execute(
        """create function public.refuse() returns trigger language plpgsql as $$
            begin raise exception using errcode = 'RT400', message = 'not today'; end $$;
        create trigger refuse before insert on retryd.failure_event for each row
            when (new.payload = '{"number": 3}') execute function public.refuse()"""
    )
    try:
        for number in range(6):
            await publisher.publish("user.level_up", {"number": number})
        await publisher.close()
    finally:
        await connection.execute("drop function public.refuse cascade")
    assert [payload["number"] for _, payload in await captured(connection)] == [0, 1, 2, 4, 5]
    (lost,) = [each for each in caplog.records if each.message == "event_lost"]
    assert lost.__dict__["reason"] == "not today"


PROGRAM = """
import asyncio, sys, retryd

def publish(event_type, payload):
    raise ConnectionError

publisher = retryd.ResilientPublisher(publish, retryd.App(), spool=sys.argv[1])
for number in range(20):
    publisher.publish_sync("user.level_up", {"number": number})
"""


EXHAUSTED = """
import asyncio, os, resource, sys, retryd

async def publish(event_type, payload):
    raise ConnectionError

async def main():
    publisher = retryd.ResilientPublisher(publish, retryd.App(), spool=sys.argv[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    taken = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        pass
    assert not await publisher.publish("user.level_up", {"number": 1})
    for descriptor in taken:
        os.close(descriptor)
    assert not await publisher.publish("user.level_up", {"number": 2})
    assert await publisher.close()

asyncio.run(main())
"""

FORKING = """
import os, sys, retryd

def publish(event_type, payload):
    raise ConnectionError

publisher = retryd.ResilientPublisher(publish, retryd.App(), spool=sys.argv[1])
publisher.publish_sync("user.level_up", {"number": 1})
child = os.fork()
publisher.publish_sync("user.level_up", {"number": 2 if child else 3})
assert publisher.close_sync(10)
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize(
    ("program", "numbers"), [(EXHAUSTED, [1, 2]), (FORKING, [1, 2, 3])], ids=["no file", "fork"]
)
async def test_neither_a_want_of_descriptors_nor_a_fork_loses_or_doubles_anything(
    database: Database, connection: Connection, directory: Path, program: str, numbers: list[int]
) -> None:
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(directory)),
        env={**os.environ, "RETRYD_DATABASE_URL": database.dsn},
    )
    async with asyncio.timeout(20):
        assert await running.wait() == 0
    kept = [payload["number"] for _, payload in await captured(connection)]
    assert sorted(kept + spooled(directory)) == numbers


def test_an_interpreter_that_ends_closes_what_nobody_closed(directory: Path) -> None:
    environment = {**os.environ, "RETRYD_DATABASE_URL": "postgresql://127.0.0.1:1/nowhere"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(directory)], env=environment, check=False, timeout=60
    )
    assert done.returncode == 0
    assert sorted(spooled(directory)) == list(range(20))
