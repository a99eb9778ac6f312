"""A worker whose log nobody reads: it works on, and tells later how much is missing."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sys
from pathlib import Path

import retryd
from tests.postgres import Connection, Database
from tests.waiting import until

APP = """
import retryd

app = retryd.App()

@app.handler("job.*")
async def job(retry):
    raise retryd.Reject("as asked")
"""
PIPE_BYTES = 4096
MANY = 100


async def test_a_log_that_nobody_reads_does_not_hold_up_the_worker(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    async def capture(times: int) -> None:
        now = await connection.fetchval("select retryd.now()")
        event = {"event_type": "job.run.failed", "not_before": now}
        await retryd.capture_many(connection, [event] * times)

    async def dead() -> int:
        return int(await connection.fetchval("select count(*) from retryd.dead_letter"))

    async def all_dead() -> bool:
        return await dead() == MANY

    (tmp_path / "billing.py").write_text(APP)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "retryd", "run", "--app", "billing:app"),
        cwd=tmp_path,
        env={
            **os.environ,
            "RETRYD_HTTP__PORT": "0",
            "RETRYD_DATABASE_URL": database.dsn,
            "RETRYD_RETRY__POLL_INTERVAL_SECONDS": "0.2",
        },
        stderr=writer,
    )
    os.close(writer)
    try:
        await capture(MANY)  # each has a line of its own
        await until(all_dead, within=30)
        with os.fdopen(reader, "rb", buffering=0) as log:
            text = await asyncio.to_thread(log.read, PIPE_BYTES)
            await capture(1)
            process.terminate()
            text += await asyncio.to_thread(log.readall)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    lines = [json.loads(line) for line in text.splitlines()]
    missing = sum(line["count"] for line in lines if line["event"] == "lines_left_out")
    told = sum(line["event"] == "retry_dead" for line in lines)
    assert told + missing >= MANY
    assert missing > 0
