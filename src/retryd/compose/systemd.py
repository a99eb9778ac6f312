"""What systemd is told of a process: that it has started, reloads, drains, and is alive."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, MutableMapping

LOOK_SECONDS = 0.2
STATUS_SECONDS = 5.0
SEND_SECONDS = 1.0
STATUS_LENGTH = 1_000  # systemd ignores a message of more than 4,096 bytes
# More than a process takes to end beyond the time that its attempts have, all its margins counted.
END_SECONDS = 45.0

logger = logging.getLogger("retryd.systemd")


class Systemd:
    """Where it listens, and within which time it wants to hear of the process; or neither."""

    def __init__(self, address: str | None, watchdog_seconds: float | None) -> None:
        self.address = address
        self.watchdog_seconds = watchdog_seconds
        self._deaf = False

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> Systemd:
        """Take its variables away: nothing that this process starts may speak for it."""
        address = environ.pop("NOTIFY_SOCKET", None)
        microseconds = environ.pop("WATCHDOG_USEC", "")
        meant = environ.pop("WATCHDOG_PID", None) in (None, str(os.getpid()))
        watched = meant and microseconds.isdecimal() and int(microseconds) > 0
        return cls(address or None, int(microseconds) / 1e6 if watched else None)

    def tell(self, **facts: object) -> None:
        """Send one message; takes SEND_SECONDS at most, and a deaf one is told to the log once."""
        if self.address is None:
            return
        text = "\n".join(f"{name}={value}" for name, value in facts.items())
        # A name that begins with @ is abstract: it is in no directory, and begins with a zero byte.
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                line.settimeout(SEND_SECONDS)
                line.sendto(text.encode(errors="replace"), address)
        except OSError as error:
            if not self._deaf:
                reason = f"NOTIFY_SOCKET={self.address}: {error}"
                logger.warning("systemd_not_told", extra={"reason": reason})
            self._deaf = True


class Announced(Protocol):
    """A process that is announced: one worker, or the parent of several."""

    @property
    def shutdown_seconds(self) -> float:
        """How long running attempts may still take once it is to stop."""

    def state(self) -> Mapping[str, Any]:
        """Tell how it is, in the keys of `/health`."""


class Announcer:
    """Looks at a process from its own event loop, and tells what has changed."""

    def __init__(self, systemd: Systemd, process: Announced) -> None:
        self._systemd = systemd
        self._process = process
        self._pause = (systemd.watchdog_seconds or float("inf")) / 2
        self._ping_at = 0.0
        self._started = False
        self._reloads = 0
        self._reloading = False
        self._stopping = False
        self._status = ("", 0)
        self._status_at = 0.0

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(min(LOOK_SECONDS, self._pause / 2))

    def look(self) -> None:
        """Tell what is new since the last look."""
        state = self._process.state()
        self._tell_status(state)
        if not self._started and has_started(state):
            self._started = True
            self._systemd.tell(READY=1)
        if state["stopping"]:
            self.stopping()
        elif self._started:
            self._tell_reload(state)
        if time.monotonic() >= self._ping_at:
            self._ping_at = time.monotonic() + self._pause
            if self._systemd.watchdog_seconds is not None:
                self._systemd.tell(WATCHDOG=1)

    def stopping(self) -> None:
        """Tell that the process is ending, and until when it has to have ended; once."""
        if not self._stopping:
            self._stopping = True
            patience = self._process.shutdown_seconds + END_SECONDS
            self._systemd.tell(STOPPING=1, EXTEND_TIMEOUT_USEC=round(patience * 1e6))

    def _tell_reload(self, state: Mapping[str, Any]) -> None:
        if state["reloads"] != self._reloads:
            self._reloads = state["reloads"]
            self._reloading = True
            now = time.monotonic_ns() // 1000
            self._systemd.tell(RELOADING=1, MONOTONIC_USEC=now)
        if self._reloading and not state["reloading"]:
            self._reloading = False
            self._systemd.tell(READY=1)

    def _tell_status(self, state: Mapping[str, Any]) -> None:
        """Tell it in words: a change at once, another number in flight now and then."""
        status = (summary(state), len(in_flight(state)))
        now = time.monotonic()
        if status[0] != self._status[0] or (
            status != self._status and now - self._status_at >= STATUS_SECONDS
        ):
            self._status, self._status_at = status, now
            self._systemd.tell(STATUS=f"{status[0]}; {status[1]} in flight")


@asynccontextmanager
async def announcing(systemd: Systemd, process: Announced) -> AsyncIterator[None]:
    """Announce the process while the context lasts, and its end."""
    if systemd.address is None:
        yield
        return
    announcer = Announcer(systemd, process)
    task = asyncio.create_task(announcer.run(), name="systemd")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        announcer.stopping()


def workers(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the states of the workers: one, or a parent's children."""
    return list(state.get("children", [state]))


def has_started(state: Mapping[str, Any]) -> bool:
    """Whether a worker works, or only waits for PostgreSQL to come up."""
    return any(each.get("worker") or each.get("database") == "away" for each in workers(state))


def in_flight(state: Mapping[str, Any]) -> list[object]:
    """Return what all workers have in flight."""
    return [held for each in workers(state) for held in each.get("in_flight", [])]


def summary(state: Mapping[str, Any]) -> str:
    """Say in one line how the process is."""
    if state["stopping"]:
        return "draining"
    if "children" in state:
        problems = [(each["child"], each["problems"]) for each in state["children"]]
        well = sum(1 for _, found in problems if not found)
        words = f"{well} of {len(problems)} processes work"
        if ill := [f"child {number}: {found[0]}" for number, found in problems if found]:
            words = f"{words}; {ill[0]}"
    elif state["database"] == "away":
        words = f"PostgreSQL is away: {state['database_reason']}"
    else:
        words = "working" if state["worker"] else "starting"
    if alert := next((each["alert"] for each in workers(state) if each.get("alert")), None):
        words = f"{words}; {alert}"
    return " ".join(words.split())[:STATUS_LENGTH]
