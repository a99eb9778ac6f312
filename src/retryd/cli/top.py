"""`retryd top`: what happens now, again and again on a terminal, or once as text or JSON."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Final

import typer

from retryd.cli import frame, output
from retryd.cli.database import Database
from retryd.cli.options import Config, DatabaseUrl, Embedded, Json
from retryd.domain.errors import DatabaseRefused, DatabaseUnavailable

if TYPE_CHECKING:
    from retryd.compose import Store

SLOW_SECONDS: Final = 3.0
REDRAWS_SECONDS: Final = 1.0
ENOUGH: Final = b"qQ\x03\x04"


def top(
    *,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=3600, help="Between two looks.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one frame and end.")] = False,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """Watch depths, attempts, holds and alerts live.

    On a terminal it stays until q or Ctrl-C, through outages of PostgreSQL too; elsewhere, and with
    --once or --json, it looks once.
    """
    database = Database(config, database_url, embedded)
    if json_:
        output.print_json(frame.document_of(database.ask(frame.look)))
    elif once or not (output.on_terminal() and sys.stdin.isatty()):
        frame.print_once(database.ask(frame.look))
    else:
        with keys_at_once():
            database.ask(lambda store: Screen(store, interval).show())


class Screen:
    """The terminal while `top` runs: one task looks, another draws what was seen last."""

    def __init__(self, store: Store, interval: float) -> None:
        self._store = store
        self._interval = interval
        self._seen: frame.Frame | None = None
        self._trouble: str | None = None
        self._asked_at: float | None = None
        self._changed = asyncio.Event()
        self._leaving = False

    async def show(self) -> None:
        """Draw until a key or a signal ends it. Raises what no waiting cures."""
        from rich.console import Console  # noqa: PLC0415 - rich takes long to import
        from rich.live import Live  # noqa: PLC0415

        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin.fileno(), self._key)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._leave)
        loop.add_signal_handler(signal.SIGWINCH, self._changed.set)
        looking = asyncio.create_task(self._look())
        looking.add_done_callback(lambda _: self._leave())
        try:
            console = Console()
            with Live(console=console, screen=True, auto_refresh=False) as live:
                while not self._leaving:
                    drawn = frame.drawn(self._seen, self._notice(), self._interval, console.width)
                    live.update(drawn, refresh=True)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(REDRAWS_SECONDS):
                            await self._changed.wait()
                    self._changed.clear()
        finally:
            loop.remove_reader(sys.stdin.fileno())
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
        if not looking.cancelled():
            looking.result()

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._asked_at = loop.time()
            try:
                self._seen, self._trouble = await frame.look(self._store), None
            except DatabaseRefused:
                raise
            except DatabaseUnavailable as error:
                self._trouble = str(error)
            self._asked_at = None
            self._changed.set()
            await asyncio.sleep(self._interval)

    def _notice(self) -> str | None:
        """Say why what is shown is old, if it is."""
        if self._trouble is not None:
            return f"{self._trouble}; trying again"
        if self._asked_at is not None:
            seconds = asyncio.get_running_loop().time() - self._asked_at
            if seconds > SLOW_SECONDS:
                return f"PostgreSQL has not answered for {seconds:.0f} s"
        return None

    def _key(self) -> None:
        typed = os.read(sys.stdin.fileno(), 100)
        if not typed or any(key in ENOUGH for key in typed):
            self._leave()

    def _leave(self) -> None:
        self._leaving = True
        self._changed.set()


@contextmanager
def keys_at_once() -> Iterator[None]:
    """Take keys as they are pressed, and show none of them."""
    import termios  # noqa: PLC0415 - not every system has it, and only a terminal needs it
    import tty  # noqa: PLC0415

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
