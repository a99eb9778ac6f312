"""What a running worker does when it is told something: by signals, and by PostgreSQL's absence."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import retryd
from tests.acceptance.running import Running, running
from tests.postgres import Connection, Database
from tests.waiting import until

APP = """
import asyncio, pathlib
import retryd

app = retryd.App()
here = pathlib.Path(__file__).parent

@app.handler("job.*")
async def job(retry):
    (here / f"{retry.payload['name']}.started").touch()
    while not (here / f"{retry.payload['name']}.go").exists():
        await asyncio.sleep(0.02)
"""


def configure(folder: Path, **retry: object) -> None:
    """Write the configuration."""
    quick = {"poll_interval_seconds": 0.2, "shutdown_timeout_seconds": 5}
    (folder / "config.json").write_text(json.dumps({"retry": {**quick, **retry}}))


@asynccontextmanager
async def configured(folder: Path, dsn: str) -> AsyncIterator[Running]:
    """Run the application with a configuration file."""
    (folder / "billing.py").write_text(APP)
    configure(folder)
    async with running(folder, dsn, "--config", str(folder / "config.json")) as worker:
        yield worker


async def capture(connection: Connection, name: str) -> int:
    """Capture a failure that is due at once."""
    now = await connection.fetchval("select retryd.now()")
    [retry_id] = await retryd.capture(connection, "job.run.failed", {"name": name}, not_before=now)
    return retry_id


async def test_sighup_puts_a_new_configuration_to_work_while_old_attempts_end(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    async with configured(tmp_path, database.dsn) as worker:
        await capture(connection, "long")
        await until((tmp_path / "long.started").exists)
        configure(tmp_path, worker_count=1)
        worker.process.send_signal(signal.SIGHUP)
        await until(lambda: worker.said("reloaded"))
        for name in ("first", "second"):
            await capture(connection, name)
        await until((tmp_path / "first.started").exists)
        assert not (tmp_path / "second.started").exists()
        assert not worker.said("worker_drained")
        for name in ("long", "first", "second"):
            (tmp_path / f"{name}.go").touch()
        await until(lambda: worker.said("worker_drained"))

        async def all_done() -> bool:
            query = "select count(*) from retryd.place where place = 'done'"
            return bool(await connection.fetchval(query) == 3)

        await until(all_done)
        worker.process.send_signal(signal.SIGTERM)
        assert await worker.process.wait() == 0
    assert await connection.fetchval("select count(*) from retryd.retry_attempt") == 3


@pytest.mark.parametrize("text", ["{", '{"retry": {"batch_size": 0}}', '{"colour": "red"}'])
async def test_a_bad_file_leaves_the_old_configuration_and_alerts(
    database: Database, connection: Connection, tmp_path: Path, text: str
) -> None:
    async def alerts() -> list[str]:
        query = "select detail from retryd.retry_queue_alerts where kind = 'worker_alert'"
        return [row[0] for row in await connection.fetch(query)]

    async with configured(tmp_path, database.dsn) as worker:
        await until(lambda: worker.said("worker_started"))
        (tmp_path / "config.json").write_text(text)
        worker.process.send_signal(signal.SIGHUP)
        await until(lambda: worker.said("reload_failed"))
        [told] = await until(alerts)
        assert "the configuration was not reloaded" in told
        (tmp_path / "on.go").touch()
        retry_id = await capture(connection, "on")

        async def done() -> bool:
            query = "select place from retryd.place where id = $1"
            return bool(await connection.fetchval(query, retry_id) == "done")

        await until(done)
        configure(tmp_path)
        worker.process.send_signal(signal.SIGHUP)
        await until(lambda: worker.said("reloaded"))

        async def calm() -> bool:
            return not await alerts()

        await until(calm)


async def test_a_reload_that_fails_leaves_the_log_as_it_is(
    database: Database, tmp_path: Path
) -> None:
    async with configured(tmp_path, database.dsn) as worker:
        await until(lambda: worker.said("worker_started"))
        broken = {"match": ["a"], "kind": "python", "target": "nowhere:run"}
        document = {"log": {"level": "error"}, "handlers": {"broken": broken}}
        (tmp_path / "config.json").write_text(json.dumps(document))
        worker.process.send_signal(signal.SIGHUP)
        await until(lambda: worker.said("reload_failed"))
        worker.process.terminate()
        await worker.process.wait()
        await until(lambda: worker.said("worker_stopped"))


async def test_sigusr1_writes_what_is_in_flight_to_the_log(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    async with configured(tmp_path, database.dsn) as worker:
        retry_id = await capture(connection, "long")
        await until((tmp_path / "long.started").exists)
        worker.process.send_signal(signal.SIGUSR1)
        [line] = await until(lambda: worker.said("in_flight"))
        [held] = line["in_flight"]
        assert (held["retry"], held["handler"], held["attempt"]) == (retry_id, "job", 1)
        assert held["state"] == "running"
        assert held["seconds"] >= 0
        assert worker.process.returncode is None


async def test_a_worker_waits_for_postgresql_and_can_be_stopped_meanwhile(tmp_path: Path) -> None:
    async with configured(tmp_path, "postgresql://someone:sesame@127.0.0.1:1/nowhere") as worker:
        [line] = await until(lambda: worker.said("database_away"))
        assert "sesame" not in json.dumps(line)
        assert worker.process.returncode is None
        worker.process.send_signal(signal.SIGTERM)
        assert await worker.process.wait() == 0


async def test_a_database_that_is_not_there_is_refused_at_once(
    database: Database, tmp_path: Path
) -> None:
    dsn = database.dsn.replace("/retryd_test_", "/not_there_")
    shell = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "retryd", "run", "--database-url", dsn),
        cwd=tmp_path,
        env={**os.environ, "RETRYD_HTTP__PORT": "0", "RETRYD_LOG__LEVEL": "error"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await shell.communicate()
    assert shell.returncode == 1
    assert b"check the database URL" in told
    assert b"Traceback" not in told
