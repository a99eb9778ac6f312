"""Real `retryd run` processes, what they did and what they said."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.canary import hide_password, sings
from tests.waiting import until

APPLICATION = Path(__file__).with_name("application.py")
TOKEN = "sesame"
QUICK = {
    "RETRYD_RETRY__LEASE_SECONDS": "2",
    "RETRYD_RETRY__POLL_INTERVAL_SECONDS": "0.2",
    "RETRYD_RETRY__SHUTDOWN_TIMEOUT_SECONDS": "5",
    "RETRYD_RETRY__WORKER_COUNT": "4",
    "RETRYD_RETRY__RETRY_POLICIES": '{"default": {"initial_delay_seconds": 0.05, "jitter": 0}}',
    "RETRYD_HTTP__PORT": "0",
    "RETRYD_HTTP__TOKENS": f'["{TOKEN}"]',
    "RETRYD_LOG__FORMAT": "json",
    "RETRYD_LOG__LEVEL": "info",
}
MARK = "FLEET_OF_TESTS"


@dataclass(frozen=True, slots=True)
class Effect:
    """One line of the application: `what` is `start` or `effect`."""

    id: int
    life: int
    attempt: int
    token: int
    pid: int
    at: float
    what: str


class Member:
    """One `retryd run`."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.returncode is None

    def said(self, event: str | None = None, **fields: object) -> list[dict[str, Any]]:
        """Return the lines of its log with this event and these fields, as far as they are JSON."""
        lines = []
        for text in self._log.read_text().splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                lines.append({"event": "not json", "text": text})
        return [
            line
            for line in lines
            if event in {None, line["event"]}
            and all(line.get(name) == value for name, value in fields.items())
        ]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def ready(self) -> None:
        """Wait until it works."""
        await until(lambda: self.said("worker_started") or not self.running, within=30)
        assert self.running, self.said()

    async def stop(self, *, within: float = 30) -> int:
        """Ask it to end with SIGTERM and wait; returns the exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended(within=within)

    async def kill(self) -> None:
        """End it with SIGKILL."""
        self.signal(signal.SIGKILL)
        await self.ended()

    async def ended(self, *, within: float = 30) -> int:
        """Wait until it has ended; returns the exit code."""
        async with asyncio.timeout(within):
            return await self.process.wait()

    def freeze(self) -> None:
        """Stop it where it is, with SIGSTOP."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    async def get(self, path: str) -> httpx.Response:
        """Ask its HTTP server."""
        await until(lambda: self.said("http_listening"))
        address = self.said("http_listening")[-1]["address"]
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            return await client.get(f"{address}{path}")

    async def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        lines = (await self.get("/metrics")).text.splitlines()
        values = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
        return sum(float(value) for key, value in values if key.partition("{")[0] == name)


class Fleet:
    """Workers that share an application in a folder and a database."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.folder = folder
        self.members: list[Member] = []
        self._dsn = dsn
        self._mark = secrets.token_hex(8)
        shutil.copy(APPLICATION, folder / "application.py")

    @classmethod
    @asynccontextmanager
    async def of(cls, dsn: str, folder: Path) -> AsyncIterator[Fleet]:
        """Make a fleet without members; at the end those left are killed, and all logs are read."""
        fleet = cls(dsn, folder)
        try:
            yield fleet
        finally:
            for member in fleet.members:
                if member.running:
                    member.process.kill()
                await member.process.wait()
            said = [line for member in fleet.members for line in member.said()]
            assert [line for line in said if sings(json.dumps(line))] == []

    async def start(self, *options: str, dsn: str | None = None, **variables: str) -> Member:
        """Start one more; `variables` are RETRYD_… settings over the quick ones."""
        hide_password(dsn or self._dsn)
        log = self.folder / f"log-{len(self.members)}"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "retryd", "run", "--app", "application:app", *options),
                cwd=self.folder,
                env={
                    **os.environ,
                    **QUICK,
                    MARK: self._mark,
                    "RETRYD_DATABASE_URL": dsn or self._dsn,
                    **variables,
                },
                stdout=output,
                stderr=output,
            )
        member = Member(process, log)
        self.members.append(member)
        return member

    async def started(self, *options: str, dsn: str | None = None, **variables: str) -> Member:
        """Start one more and wait until it works."""
        member = await self.start(*options, dsn=dsn, **variables)
        await member.ready()
        return member

    def effects(self, what: str = "effect") -> list[Effect]:
        """Return what the handlers did, in that order."""
        path = self.folder / "effects"
        lines = path.read_text().splitlines() if path.exists() else []
        effects = [Effect(**json.loads(line)) for line in lines]
        return [effect for effect in effects if effect.what == what]

    def go_on(self, name: str = "go-on") -> None:
        """Let the handlers that wait for this file go on."""
        (self.folder / name).touch()

    def left(self) -> list[int]:
        """Return the processes of the fleet that live, children of its members too."""
        wanted = f"{MARK}={self._mark}".encode()
        return [
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/environ")
            if wanted in _read(path)
        ]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # somebody else's, or over
        return b""
