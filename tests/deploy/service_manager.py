"""systemd's end of its notification protocol: a socket that keeps what it was told, and by whom."""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

CREDENTIALS = struct.Struct("iII")  # pid, uid, gid of the sender, from the kernel


@dataclass(frozen=True)
class Message:
    """One datagram."""

    pid: int
    facts: dict[str, str]
    at: float


@dataclass
class ServiceManager:
    """Hears one process."""

    address: str
    socket: socket.socket
    messages: list[Message] = field(default_factory=list)

    def variables(self, watchdog_seconds: float | None = None) -> dict[str, str]:
        """Return what systemd puts into the environment of a service."""
        found = {"NOTIFY_SOCKET": self.address}
        if watchdog_seconds is not None:
            found["WATCHDOG_USEC"] = str(round(watchdog_seconds * 1e6))
        return found

    def hear(self) -> None:
        """Take in one datagram."""
        data, ancillary, _, _ = self.socket.recvmsg(65_536, socket.CMSG_SPACE(CREDENTIALS.size))
        [(_, _, credentials)] = ancillary
        pid, _, _ = CREDENTIALS.unpack(credentials)
        facts = dict(line.split("=", 1) for line in data.decode().splitlines())
        self.messages.append(Message(pid, facts, time.monotonic()))

    def told(self, fact: str) -> list[Message]:
        """Return the messages with this fact."""
        return [message for message in self.messages if fact in message.facts]

    def course(self) -> list[str]:
        """Return how the state of the service went."""
        states = ("READY", "RELOADING", "STOPPING")
        return [name for message in self.messages for name in message.facts if name in states]

    def statuses(self) -> list[str]:
        """Return what a person could read."""
        return [message.facts["STATUS"] for message in self.told("STATUS")]


@contextmanager
def service_manager(folder: Path, *, abstract: bool = False) -> Iterator[ServiceManager]:
    """Listen while the context lasts."""
    name = f"retryd-test-{secrets.token_hex(8)}"
    address = f"@{name}" if abstract else str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        line.setblocking(False)
        line.bind(f"\0{name}" if abstract else address)
        manager = ServiceManager(address, line)
        loop = asyncio.get_running_loop()
        loop.add_reader(line, manager.hear)
        try:
            yield manager
        finally:
            loop.remove_reader(line)
