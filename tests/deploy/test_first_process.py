"""`retryd run` as the first process of a container, whom its own SIGTERM does not end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import retryd
from tests.acceptance.running import Running
from tests.postgres import Connection, Database
from tests.waiting import until

APP = """
import asyncio, pathlib
import retryd

app = retryd.App()

@app.handler("job.*")
async def job(retry):
    pathlib.Path("begun").touch()
    await asyncio.sleep(3600)
"""
# The kernel drops a SIGTERM for which the first process of a namespace has no handler. A mask does
# that to any process.
UNTOUCHED = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
os.execv(sys.executable, [sys.executable, "-m", "retryd", "run", "--app", "billing:app"])
"""


async def test_a_second_signal_ends_a_process_that_its_own_sigterm_does_not_end(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    (tmp_path / "billing.py").write_text(APP)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", UNTOUCHED),
        cwd=tmp_path,
        env={**os.environ, "RETRYD_HTTP__PORT": "0", "RETRYD_DATABASE_URL": database.dsn},
        stderr=asyncio.subprocess.PIPE,
    )
    worker = Running(process)
    reading = asyncio.create_task(worker.read())
    try:
        now = await connection.fetchval("select retryd.now()")
        await retryd.capture(connection, "job.run.failed", {}, not_before=now)
        await until((tmp_path / "begun").exists, within=30)
        process.send_signal(signal.SIGINT)
        await until(lambda: worker.said("stopping"))
        assert process.returncode is None
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 10) == 128 + signal.SIGTERM
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading
