"""A `retryd run` that logs errors only, which stays or is replaced."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.postgres import Connection
from tests.steady.notes import MAX_RETRIES
from tests.steady.plan import FIRST_DELAY_SECONDS
from tests.waiting import until

ROOT = Path(__file__).parents[2]
RETENTION = {"completed_days": 1, "attempts_days": 1, "dead_letter_days": 2}
# Leases outlast a step of the clock of the database, which is half a day.
SETTINGS = {
    "RETRYD_RETRY__LEASE_SECONDS": "86400",
    "RETRYD_RETRY__POLL_INTERVAL_SECONDS": "0.5",
    "RETRYD_RETRY__WORKER_COUNT": "20",
    "RETRYD_RETRY__BATCH_SIZE": "20",
    "RETRYD_RETRY__DEFAULT_MAX_RETRIES": str(MAX_RETRIES),
    "RETRYD_RETRY__RETENTION": json.dumps(RETENTION),
    "RETRYD_RETRY__RETRY_POLICIES": json.dumps(
        {"default": {"initial_delay_seconds": FIRST_DELAY_SECONDS, "jitter": 0}}
    ),
    "RETRYD_HTTP__PORT": "0",
    "RETRYD_LOG__LEVEL": "error",
}
SEEN = "select exists (select from retryd.worker w where w.pid = $1)"


@dataclass(frozen=True, slots=True)
class Worker:
    """One process."""

    process: asyncio.subprocess.Process
    log: Path

    @classmethod
    async def start(cls, dsn: str, notes: Path, log: Path) -> Worker:
        """Start one."""
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "retryd", "run", "--app", "tests.steady.application:app"),
                cwd=ROOT,
                env={
                    **os.environ,
                    **SETTINGS,
                    "RETRYD_DATABASE_URL": dsn,
                    "STEADY_NOTES": str(notes),
                },
                stdout=output,
                stderr=output,
            )
        return cls(process, log)

    async def works(self, connection: Connection) -> None:
        """Wait until it works."""

        async def seen() -> bool:
            assert self.process.returncode is None, self.log.read_text()
            return bool(await connection.fetchval(SEEN, self.process.pid))

        await until(seen, within=60)

    async def stop(self) -> None:
        """Let it drain and end; it must exit with 0."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            status = await self.process.wait()
        assert status == 0, f"exit status {status}: {self.log.read_text()}"

    async def end(self) -> None:
        """Kill it if it still runs."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
