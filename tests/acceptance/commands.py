"""The command line as a person or a script uses it: a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.canary import hide_password, sings


@dataclass(frozen=True)
class Ended:
    """A command that has ended: its status and what it printed."""

    status: int | None
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output; nothing went wrong."""
        assert (self.status, self.err) == (0, "")
        return json.loads(self.out)

    def refused(self, status: int) -> str:
        """Return the one line on standard error of a command that did nothing."""
        assert self.status == status, self.err
        assert self.out == ""
        [line] = self.err.splitlines()
        assert line.startswith("retryd: ")
        return line


@dataclass(frozen=True)
class Shell:
    """A folder and variables in which commands are run."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    async def start(self, *arguments: str, **streams: Any) -> asyncio.subprocess.Process:
        """Start `retryd` with pipes for its streams, unless others are given."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE)
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "retryd", *arguments),
            cwd=self.folder,
            env={**os.environ, **self.variables},
            **{**pipes, **streams},
        )

    async def __call__(self, *arguments: str, typed: str = "", **streams: Any) -> Ended:
        """Run `retryd` to its end."""
        process = await self.start(*arguments, **streams)
        told = await process.communicate(typed.encode())
        out, err = ((text or b"").decode() for text in told)
        hide_password(self.variables.get("RETRYD_DATABASE_URL", ""))
        assert not sings(out, data=True), out
        assert not sings(err), err
        return Ended(process.returncode, out, err)
