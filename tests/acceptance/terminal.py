"""A real terminal on which `retryd top` runs, and what it shows there."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import signal
import struct
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from tests.acceptance.commands import Shell
from tests.waiting import until

CLEAR = "\x1b[?1049h"  # to the alternate screen
BACK = "\x1b[?1049l"
STYLE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass
class Terminal:
    """A terminal on which `retryd top` runs: what it has written so far, and its keys."""

    process: asyncio.subprocess.Process
    ours: int
    written: str = ""

    def read(self) -> None:
        """Take in what was written."""
        with suppress(OSError):  # nothing is there, or the other end is closed
            self.written += os.read(self.ours, 65_536).decode(errors="replace")

    def screen(self) -> str:
        """Return what the last frame shows."""
        return STYLE.sub("", self.written.rpartition("\x1b[H")[2])

    async def shows(self, *words: str) -> str:
        """Wait until a frame shows all these words."""

        def there() -> str:
            screen = self.screen()
            return screen if all(each in screen for each in words) else ""

        try:
            return await until(there, within=30)
        except AssertionError as error:
            message = f"{words} are not all shown:\n{self.screen()}"
            raise AssertionError(message) from error

    def press(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.ours, keys)

    async def ended(self) -> int | None:
        """Wait for the end; returns the exit status."""
        return await asyncio.wait_for(self.process.wait(), 30)

    async def leave(self, key: bytes = b"q") -> int | None:
        """Press a key and wait for the end; returns the exit status."""
        self.press(key)
        return await self.ended()

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the window."""
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)


@asynccontextmanager
async def watching(shell: Shell, *options: str, columns: int = 160) -> AsyncIterator[Terminal]:
    """Run `retryd top` on a terminal; fails unless it leaves the terminal as it was."""
    ours, theirs = os.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    os.set_blocking(ours, False)
    before = termios.tcgetattr(theirs)
    plain = Shell(shell.folder, {**shell.variables, "TERM": "xterm-256color"})
    process = await plain.start(
        *("top", *options),
        stdin=theirs,
        stdout=theirs,
        start_new_session=True,
        # The terminal is the process's own, as in a shell: Ctrl-C becomes SIGINT.
        preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),
    )
    terminal = Terminal(process, ours)
    loop = asyncio.get_running_loop()
    loop.add_reader(ours, terminal.read)
    try:
        yield terminal
        assert termios.tcgetattr(theirs) == before
        assert terminal.written.count(CLEAR) == terminal.written.count(BACK) == 1
    finally:
        loop.remove_reader(ours)
        if process.returncode is None:
            process.kill()
        await process.wait()
        os.close(ours)
        os.close(theirs)
