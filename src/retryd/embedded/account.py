"""Decides which operating-system user runs PostgreSQL, which refuses to run as root."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retryd.embedded.errors import EmbeddedPostgresError, OutOfReach

# Nothing of ours is inherited: a PGDATA or PGPORT would change what the programs do, and LC_ALL
# keeps their messages in the language that the launcher reads.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs the server: we ourselves, or for root (`ids` given) an unprivileged user."""

    name: str
    ids: tuple[int, int] | None = None

    @classmethod
    def owning(cls, data: Path) -> Account:
        """Return ourselves; for root, the owner of existing `data` and else `nobody`."""
        if os.geteuid() != 0:
            return cls(_name(os.geteuid()))
        if data.exists() and (owner := data.stat()).st_uid != 0:
            return cls(_name(owner.st_uid), (owner.st_uid, owner.st_gid))
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError:
            message = "PostgreSQL refuses root, and there is no user nobody: run as another user"
            raise EmbeddedPostgresError(message) from None
        return cls(nobody.pw_name, (nobody.pw_uid, nobody.pw_gid))

    def options(self) -> dict[str, Any]:
        """Arguments of `Popen` for a program of this user: nothing inherited, no terminal."""
        options: dict[str, Any] = {
            "cwd": "/",
            "env": ENVIRONMENT,
            "stdin": subprocess.DEVNULL,
            # Control-C reaches the whole foreground group: the server stops when its owner says so.
            "start_new_session": True,
        }
        if self.ids is not None:
            uid, gid = self.ids
            options |= {"user": uid, "group": gid, "extra_groups": []}
        return options

    def take(self, path: Path) -> None:
        """Become the owner of `path`."""
        if self.ids is not None:
            os.chown(path, *self.ids, follow_symlinks=False)

    def can(self, *command: str | Path) -> bool:
        """Run a short command as this user; true when it works."""
        try:
            ran = subprocess.run(  # noqa: S603  (our own commands)
                command, check=False, capture_output=True, **self.options()
            )
        except OSError:
            return False
        return ran.returncode == 0

    def must_reach(self, directory: Path) -> None:
        """Refuse a directory that this user cannot enter, naming the folder that bars the way."""
        if self.ids is None or self._enters(directory):
            return
        if not self._enters(Path("/")):
            message = f"root cannot become {self.name}, to run PostgreSQL: run as another user"
            raise EmbeddedPostgresError(message)
        ways = (*reversed(directory.parents), directory)
        closed = next((folder for folder in ways if not self._enters(folder)), directory)
        raise OutOfReach(closed, self.name, f"choose a directory elsewhere than {directory}")

    def interrupt(self, pid: int) -> None:
        """Send SIGINT as this user: a pid from a file must not make root signal any process."""
        if self.ids is not None:
            self.can("/bin/sh", "-c", 'kill -s INT "$1"', "sh", str(pid))
            return
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGINT)

    def _enters(self, folder: Path) -> bool:
        return self.can("/bin/sh", "-c", 'cd -- "$1"', "sh", folder)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
