"""`retryd run` under a service manager: what it is told, by whom, and when it hears nothing."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import retryd
from tests.acceptance.commands import Shell
from tests.acceptance.running import Running, running
from tests.deploy.service_manager import ServiceManager, service_manager
from tests.postgres import Connection, Database
from tests.waiting import until

APP = """
import json, os, pathlib, time
import retryd

app = retryd.App()
here = pathlib.Path(__file__).parent
at_import = sorted(name for name in os.environ if name.startswith(("NOTIFY_", "WATCHDOG_")))

@app.handler("job.*")
async def job(retry):
    (here / "found").write_text(json.dumps(at_import))
    while not (here / "go-on").exists():
        time.sleep(0.02)
"""
PROGRAM = """#!/bin/sh
cd "$(dirname "$0")" && env > environment.new && mv environment.new environment
"""
PROCESSES = [(), ("--processes", "2")]


@asynccontextmanager
async def managed(
    folder: Path, dsn: str, manager: ServiceManager, *options: str, **variables: str
) -> AsyncIterator[Running]:
    """Run the application as a service."""
    (folder / "billing.py").write_text(APP)
    (folder / "config.json").write_text('{"retry": {"poll_interval_seconds": 0.2}}')
    config = ("--config", str(folder / "config.json"))
    told = {**manager.variables(), **variables}
    async with running(folder, dsn, *config, *options, **told) as worker:
        yield worker


async def capture(connection: Connection, event_type: str = "job.run.failed") -> None:
    """Capture a failure that is due at once."""
    now = await connection.fetchval("select retryd.now()")
    await retryd.capture(connection, event_type, {}, not_before=now)


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
@pytest.mark.parametrize("options", PROCESSES, ids=["one process", "two processes"])
async def test_systemd_is_told_the_life_of_a_service_by_its_main_process(
    database: Database, tmp_path: Path, options: tuple[str, ...], abstract: bool
) -> None:
    with service_manager(tmp_path, abstract=abstract) as manager:
        async with managed(tmp_path, database.dsn, manager, *options) as worker:
            await until(lambda: manager.course() == ["READY"], within=30)
            at_work = "2 of 2 processes work" if options else "working"
            await until(lambda: manager.statuses()[-1] == f"{at_work}; 0 in flight", within=30)
            before = time.monotonic_ns() // 1000
            worker.process.send_signal(signal.SIGHUP)
            await until(lambda: manager.course() == ["READY", "RELOADING", "READY"])
            assert len(worker.said("reloaded")) == (2 if options else 1)
            [reloading] = manager.told("RELOADING")
            assert before <= int(reloading.facts["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
            worker.process.send_signal(signal.SIGTERM)
            assert await worker.process.wait() == 0
            assert manager.course() == ["READY", "RELOADING", "READY", "STOPPING"]
            [stopping] = manager.told("STOPPING")
            assert int(stopping.facts["EXTEND_TIMEOUT_USEC"]) > 60_000_000
            assert {message.pid for message in manager.messages} == {worker.process.pid}
            assert not manager.told("WATCHDOG")
            assert not worker.said("systemd_not_told")


@pytest.mark.parametrize("options", PROCESSES, ids=["one process", "two processes"])
async def test_a_reload_that_fails_ends_and_its_reason_is_in_the_status(
    database: Database, tmp_path: Path, options: tuple[str, ...]
) -> None:
    with service_manager(tmp_path) as manager:
        async with managed(tmp_path, database.dsn, manager, *options) as worker:
            await until(lambda: manager.course() == ["READY"], within=30)
            at_work = "2 of 2 processes work" if options else "working"
            await until(lambda: manager.statuses()[-1].startswith(at_work), within=30)
            (tmp_path / "config.json").write_text('{"nonsense": 1}')
            worker.process.send_signal(signal.SIGHUP)
            await until(lambda: manager.course() == ["READY", "RELOADING", "READY"])
            await until(lambda: "nonsense" in manager.statuses()[-1])
            assert manager.statuses()[-1].startswith(f"{at_work}; the configuration was not reload")


async def test_the_watchdog_hears_nothing_while_a_handler_blocks_the_loop(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    with service_manager(tmp_path) as manager:
        watched = manager.variables(watchdog_seconds=0.5)
        async with managed(tmp_path, database.dsn, manager, **watched):
            await until(lambda: len(manager.told("WATCHDOG")) >= 6)
            times = [message.at for message in manager.told("WATCHDOG")]
            assert (times[-1] - times[0]) / (len(times) - 1) < 0.5
            await capture(connection)
            await until((tmp_path / "found").exists)
            await until(lambda: time.monotonic() - manager.told("WATCHDOG")[-1].at > 1.5)
            heard = len(manager.told("WATCHDOG"))
            (tmp_path / "go-on").touch()
            await until(lambda: len(manager.told("WATCHDOG")) > heard)


async def test_the_watchdog_hears_the_parent_of_several_processes(
    database: Database, tmp_path: Path
) -> None:
    with service_manager(tmp_path) as manager:
        watched = manager.variables(watchdog_seconds=0.5)
        options = ("--processes", "2")
        async with managed(tmp_path, database.dsn, manager, *options, **watched) as worker:
            await until(lambda: manager.course() == ["READY"], within=30)
            heard = len(manager.told("WATCHDOG"))
            await until(lambda: len(manager.told("WATCHDOG")) > heard + 3)
            worker.process.send_signal(signal.SIGTERM)
            assert await worker.process.wait() == 0
            assert {message.pid for message in manager.messages} == {worker.process.pid}


async def test_a_watchdog_that_means_another_process_hears_nothing(
    database: Database, tmp_path: Path
) -> None:
    with service_manager(tmp_path) as manager:
        watched = {**manager.variables(watchdog_seconds=0.5), "WATCHDOG_PID": str(os.getpid())}
        async with managed(tmp_path, database.dsn, manager, **watched) as worker:
            await until(lambda: manager.course() == ["READY"])
            worker.process.send_signal(signal.SIGTERM)
            assert await worker.process.wait() == 0
            assert not manager.told("WATCHDOG")


@pytest.mark.parametrize("options", PROCESSES, ids=["one process", "two processes"])
async def test_a_service_has_started_although_postgresql_is_away(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    with service_manager(tmp_path) as manager:
        nowhere = "postgresql://someone:sesame@127.0.0.1:1/nowhere"
        async with managed(tmp_path, nowhere, manager, *options) as worker:
            await until(lambda: manager.course() == ["READY"], within=30)
            words = "PostgreSQL" if not options else "0 of 2 processes work"
            await until(lambda: manager.statuses()[-1].startswith(words))
            worker.process.send_signal(signal.SIGTERM)
            assert await worker.process.wait() == 0
            assert manager.course() == ["READY", "STOPPING"]
            assert not any("sesame" in status for status in manager.statuses())


async def test_a_service_that_cannot_work_was_never_ready(
    plain_database: Database, tmp_path: Path
) -> None:
    with service_manager(tmp_path) as manager:
        variables = {**manager.variables(), "RETRYD_HTTP__PORT": "0"}
        ended = await Shell(tmp_path, variables)("run", "--database-url", plain_database.dsn)
        assert (ended.status, "retryd migrate" in ended.err) == (1, True)
        assert manager.statuses()[0].startswith("starting")
        assert manager.course() == ["STOPPING"]


async def test_nothing_that_a_service_starts_can_speak_for_it(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    program = tmp_path / "rerun"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    (tmp_path / "go-on").touch()
    handlers = {"report": {"kind": "command", "match": ["report.*"], "argv": [str(program)]}}
    told = {"RETRYD_HANDLERS": json.dumps(handlers)}
    with service_manager(tmp_path) as manager:
        watched = manager.variables(watchdog_seconds=60)
        async with managed(tmp_path, database.dsn, manager, **watched, **told) as worker:
            await until(lambda: manager.course() == ["READY"])
            await capture(connection)
            await capture(connection, "report.run.failed")
            await until((tmp_path / "environment").exists)
            await until((tmp_path / "found").exists)
            assert json.loads((tmp_path / "found").read_text()) == []
            environment = (tmp_path / "environment").read_text()
            assert "PATH=" in environment
            assert "NOTIFY_SOCKET" not in environment
            assert "WATCHDOG_USEC" not in environment
            assert {message.pid for message in manager.messages} == {worker.process.pid}


@pytest.mark.parametrize("address", ["/nowhere/notify", "vsock:2:1234", "relative"])
async def test_a_socket_where_nobody_listens_is_told_once_and_stops_nothing(
    database: Database, connection: Connection, tmp_path: Path, address: str
) -> None:
    (tmp_path / "go-on").touch()
    with service_manager(tmp_path) as manager:
        deaf = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"}
        async with managed(tmp_path, database.dsn, manager, **deaf) as worker:
            await until(lambda: worker.said("systemd_not_told"))
            await capture(connection)
            await until((tmp_path / "found").exists)
            worker.process.send_signal(signal.SIGTERM)
            assert await worker.process.wait() == 0
        [line] = worker.said("systemd_not_told")
        assert address in line["reason"]
