"""The files of one embedded PostgreSQL: where they lie and who may read them."""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from retryd.embedded.errors import EmbeddedPostgresError

_LOG_TAIL_BYTES = 2_000


def default_directory() -> Path:
    """Return the place in XDG_DATA_HOME, else in the user's data directory.

    For root the latter is one that an unprivileged user can enter.
    """
    shared = Path(os.environ.get("XDG_DATA_HOME", ""))
    if not shared.is_absolute():  # unset, empty, or to be ignored as the XDG specification says
        if os.geteuid() == 0:
            shared = Path("/var/lib")
        elif sys.platform == "darwin":
            shared = Path.home() / "Library" / "Application Support"
        else:
            shared = Path.home() / ".local" / "share"
    return shared / "retryd" / "postgres"


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What a running server says about itself in its data directory."""

    pid: int
    port: int
    ready: bool


@dataclass(frozen=True, slots=True)
class Directory:
    """Where things lie: all belongs to who starts the server, but `data` to who runs it."""

    path: Path

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.path / "data"

    @property
    def log(self) -> Path:
        """What the programs wrote since the last start."""
        return self.path / "postgres.log"

    def make(self) -> None:
        """Make what is missing of the path; what exists keeps its owner and mode."""
        mode = 0o711 if os.geteuid() == 0 else 0o700
        for folder in (*reversed(self.path.parents), self.path):
            if not folder.exists():
                folder.mkdir(exist_ok=True)
                folder.chmod(mode)  # whatever the umask says

    def new_password(self) -> Path:
        """Make the superuser's password for new data, in a file that only we may read."""
        return self._write("password", secrets.token_urlsafe(24))

    def password(self) -> str:
        """Return the superuser's password."""
        file = self.path / "password"
        try:
            return file.read_text().strip()
        except FileNotFoundError:
            message = f"{file} is missing and {self.data} needs it: restore it, or move both away"
            raise EmbeddedPostgresError(message) from None

    def port(self) -> int | None:
        """Return the port of the last start."""
        with suppress(FileNotFoundError, ValueError):
            return int((self.path / "port").read_text())
        return None

    def remember_port(self, port: int) -> None:
        """Keep the port for the next start, so that addresses stay valid."""
        self._write("port", str(port))

    def begin_log(self) -> IO[bytes]:
        """Open an empty log; the last one stays beside it."""
        with suppress(FileNotFoundError):
            self.log.replace(self.log.with_suffix(".log.1"))
        return _create(self.log)

    def log_tail(self) -> str:
        """Return the end of the log."""
        with suppress(FileNotFoundError):
            return self.log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return ""

    def written_by(self) -> str | None:
        """Return the major version that made the data; none if there are no data."""
        if not self.data.exists():
            return None
        try:
            return (self.data / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            message = f"{self.data} exists and is no PostgreSQL data directory: move it away"
            raise EmbeddedPostgresError(message) from None

    def postmaster(self) -> Postmaster | None:
        """Return what the server left in its pid file; it may be of one that was killed."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return Postmaster(
                pid=int(lines[0]), port=int(lines[3]), ready=lines[7].strip() == "ready"
            )
        except (FileNotFoundError, ValueError, IndexError):  # absent, or being written
            return None

    def _write(self, name: str, text: str) -> Path:
        file = self.path / name
        file.unlink(missing_ok=True)
        with _create(file) as opened:
            opened.write(f"{text}\n".encode())
            opened.flush()
            os.fsync(opened.fileno())
        return file


def _create(file: Path) -> IO[bytes]:
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600), "wb")
