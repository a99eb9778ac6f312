"""A worker with secrets in every place that may hold one, and nowhere to be read."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

import retryd
from tests.acceptance.commands import Shell
from tests.acceptance.running import running
from tests.canary import CANARY, sings
from tests.postgres import Connection, Database
from tests.waiting import until

APP = """
import asyncio, pathlib
import retryd

app = retryd.App()

@app.handler("job.*")
async def job(retry):
    match retry.operation:
        case "job.fail":
            raise LookupError(retry.payload)
        case "job.late":
            await asyncio.sleep(3600)
        case "job.reject":
            raise retryd.Reject(str(retry.payload))
        case "job.cancel":
            raise retryd.Cancel(str(retry.payload))
        case "job.exit":
            raise SystemExit(str(retry))
        case "job.hold":
            while not (pathlib.Path(__file__).parent / "go").exists():
                await asyncio.sleep(0.02)

def alone(retry):
    import os
    print(retry.payload, os.environ["SECRET"])
    raise LookupError(retry.payload, os.environ["SECRET"])
"""
ENDS = ("done", "fail", "late", "reject", "cancel", "exit", "alone", "program")


def configuration(**more: Any) -> dict[str, Any]:
    """Return a configuration that holds the canary wherever a secret may be."""
    secret = {"SECRET": CANARY}
    echo = "import os, sys; sys.exit(sys.stdin.read() + os.environ['SECRET'])"
    return {
        "retry": {
            "poll_interval_seconds": 0.2,
            "worker_count": 20,
            "default_max_retries": 2,
            "default_timeout_seconds": 2,
            "retry_policies": {"default": {"initial_delay_seconds": 0.01}},
        },
        "handlers": {
            "alone": {
                "match": ["alone.*"],
                "kind": "python",
                "target": "billing:alone",
                "isolation": "process",
                "env": secret,
            },
            "program": {
                "match": ["program.*"],
                "kind": "command",
                "argv": [sys.executable, "-c", echo],
                "env": secret,
            },
        },
        "http": {"port": 0, "tokens": [CANARY * 2]},
        **more,
    }


async def capture(connection: Connection, name: str) -> int:
    """Capture a failure that is full of the canary, and due at once."""
    event_type = f"{name}.run.failed" if name in {"alone", "program"} else f"job.{name}.failed"
    [retry_id] = await retryd.capture(
        connection,
        event_type,
        {"card": CANARY},
        error_type="LookupError",
        error_message=CANARY,
        error_stack=CANARY,
        attributes={"note": CANARY},
        not_before=await connection.fetchval("select retryd.now()"),
    )
    return retry_id


async def ended(connection: Connection, ids: list[int]) -> None:
    """Wait until these are not live any more."""

    async def none_lives() -> bool:
        query = "select count(*) from retryd.retry_queue where id = any($1)"
        return bool(await connection.fetchval(query, ids) == 0)

    await until(none_lives, within=30)


async def test_no_secret_and_no_payload_is_told_whatever_happens(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    (tmp_path / "billing.py").write_text(APP)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(configuration(log={"level": "debug"})))
    async with running(tmp_path, database.dsn, "--config", str(path)) as worker:
        [listening] = await until(lambda: worker.said("http_listening"))
        await until(lambda: worker.said("worker_started"))
        held = await capture(connection, "hold")
        ids = [await capture(connection, name) for name in ENDS]
        await ended(connection, ids)
        worker.process.send_signal(signal.SIGUSR1)
        await until(lambda: worker.said("in_flight"))
        path.write_text(json.dumps(configuration(log={"level": "debug"}, colour={"a": CANARY})))
        worker.process.send_signal(signal.SIGHUP)
        await until(lambda: worker.said("reload_failed"))
        async with httpx.AsyncClient(base_url=listening["address"], trust_env=False) as client:
            for route in ("/metrics", "/health", "/readyz", "/openapi.json"):
                assert not sings((await client.get(route)).text)
        (tmp_path / "go").touch()
        await ended(connection, [held])
        worker.process.terminate()
        assert await worker.process.wait() == 0
    told = {line["event"] for line in worker.log}
    assert {"attempt_succeeded", "attempt_failed", "retry_dead", "attempt_cancelled"} <= told


@pytest.mark.parametrize("form", ["console", "json"])
async def test_children_tell_no_secret_either_and_bear_their_number(
    database: Database, connection: Connection, tmp_path: Path, form: str
) -> None:
    (tmp_path / "billing.py").write_text(APP)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(configuration(log={"format": form, "level": "debug"})))
    shell = Shell(tmp_path, {"RETRYD_DATABASE_URL": database.dsn})
    arguments = ("--app", "billing:app", "--config", str(path), "--processes", "2")
    process = await shell.start("run", *arguments)
    try:
        await until_registered(connection)
        await ended(connection, [await capture(connection, name) for name in ENDS])
    finally:
        process.terminate()
        _, err = await process.communicate()
    assert process.returncode == 0
    text = err.decode()
    assert not sings(text)
    started = [line for line in text.splitlines() if "worker_started" in line]
    if form == "json":
        assert {json.loads(line)["child"] for line in started} == {0, 1}
    else:
        assert {line.rpartition(" ")[2] for line in started} == {"child=0", "child=1"}


async def until_registered(connection: Connection) -> None:
    """Wait until both children work."""

    async def both() -> bool:
        return bool(await connection.fetchval("select count(*) from retryd.worker") == 2)

    await until(both, within=20)


@pytest.mark.parametrize(
    "wrong",
    [
        {"http": {"tokens": [CANARY, {"a": CANARY}]}},
        {"database": {"url": f"mysql://someone:{CANARY}@localhost/shop"}},
        {
            "handlers": {
                "x": {"kind": "command", "match": ["x"], "argv": ["true"], "env": {"A": [CANARY]}}
            }
        },
    ],
)
async def test_a_configuration_that_is_refused_is_not_quoted(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(wrong))
    refused = await Shell(tmp_path)("run", "--config", str(path))
    assert refused.refused(2)
    assert not sings(refused.out)


@pytest.mark.parametrize("options", [(), ("--json",), ("--print-config",)])
async def test_a_check_tells_no_secret(
    database: Database, tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "billing.py").write_text(APP)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(configuration()))
    shell = Shell(tmp_path, {"RETRYD_DATABASE_URL": database.dsn})
    checked = await shell("check", "--app", "billing:app", "--config", str(path), *options)
    assert checked.status == 0, checked.err
    assert checked.out
    assert not sings(checked.out)
