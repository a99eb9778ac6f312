"""`retryd run`: a worker until a signal ends it or nothing is left to do."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from retryd.cli.database import Database
from retryd.cli.failure import PROBLEM
from retryd.cli.options import Config, DatabaseUrl, Embedded
from retryd.telemetry.log import set_up_logging

if TYPE_CHECKING:
    from retryd.settings import Configuration

ENDS = (signal.SIGTERM, signal.SIGINT)
# More than a drain takes beyond its time: to settle, to say good-bye, to end children by force.
MARGIN_SECONDS = 30.0
LAST_SECONDS = 5.0
# A batch of retries is some thousand objects that come and go: not worth a look at each thousand.
COLLECTED_AFTER = 10_000

logger = logging.getLogger("retryd.cli")


def run(
    *,
    app: Annotated[
        str | None,
        typer.Option(metavar="MODULE:NAME", help="The retryd.App whose handlers to serve."),
    ] = None,
    processes: Annotated[
        int, typer.Option(metavar="N", min=1, max=256, help="So many processes, under one parent.")
    ] = 1,
    until_empty: Annotated[
        bool,
        typer.Option("--until-empty", help="End when no retry of the handlers is live any more."),
    ] = False,
    child: Annotated[int | None, typer.Option(hidden=True)] = None,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> int:
    """Run a worker.

    SIGTERM and SIGINT let running attempts end and give back the rest; a second one ends at once.
    SIGHUP reads the configuration again, SIGUSR1 writes what is in flight to the log.
    """
    from retryd import compose  # noqa: PLC0415 - it takes longer to import than `--help` may

    systemd = compose.Systemd.from_environment(os.environ)
    sys.path.insert(0, str(Path.cwd()))
    served = compose.load_app(app) if app is not None else None
    configuration, choice = Database(config, database_url, embedded).find(
        served.database_url if served else None
    )
    set_up_logging(configuration.log.format, configuration.log.level)
    if not configuration.handlers and not (served and served.handlers):
        logger.warning("no_handlers", extra={"remedy": "give --app or configure handlers"})

    def load() -> Configuration:
        return compose.load_configuration(config, os.environ, {})

    async def work() -> int:
        async with compose.open_database(choice) as dsn:
            if processes > 1:
                argv = argv_of_child(app, config, until_empty=until_empty)
                fleet = compose.Fleet(
                    argv, processes, configuration, dsn, systemd=systemd, until_empty=until_empty
                )
                heed_signals(fleet)
                return await fleet.run()
            async with compose.open_daemon(
                configuration, load, dsn, served, child, systemd=systemd, until_empty=until_empty
            ) as daemon:
                heed_signals(daemon)
                collect_seldom()
                await daemon.run()
            return 0

    with asyncio.Runner(loop_factory=fastest_loop()) as runner:
        status = runner.run(work())
        for number in ENDS:  # what ends already is not ended by a late signal
            signal.signal(number, signal.SIG_IGN)
        # The runner waits for threads of the application, which may never end.
        leave_within(LAST_SECONDS, status)
        return status


def collect_seldom() -> None:
    """Let the garbage collector pass over what is here to stay, and look at the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECTED_AFTER, *gc.get_threshold()[1:])


def argv_of_child(app: str | None, config: Path | None, *, until_empty: bool) -> list[str]:
    """Return the command of one process of several; the database is in its environment."""
    argv = [sys.executable, "-m", "retryd", "run"]
    if app is not None:
        argv += ["--app", app]
    if config is not None:
        argv += ["--config", str(config)]
    if until_empty:
        argv += ["--until-empty"]
    return argv


class Steered(Protocol):
    """What signals steer: one process, or the parent of several."""

    @property
    def shutdown_seconds(self) -> float:
        """How long running attempts may still take once it is to stop."""

    def stop(self) -> None:
        """Let running attempts end."""

    def hurry(self) -> None:
        """End at once."""

    def reload(self) -> None:
        """Read the configuration again."""

    def dump(self) -> None:
        """Write what is in flight to the log."""


def heed_signals(steered: Steered) -> None:
    """Let signals steer; the second that asks for the end makes it quick.

    Plain handlers of the process: those of an event loop are deaf while a handler blocks it. A
    process that has not ended MARGIN_SECONDS after its attempts had to is ended.
    """
    loop = asyncio.get_running_loop()
    asked = False

    def end(number: int, _: object) -> None:
        nonlocal asked
        if asked:
            steered.hurry()
            return
        asked = True
        tell(lambda: logger.info("stopping", extra={"signal": signal.Signals(number).name}))
        tell(steered.stop)
        leave_within(steered.shutdown_seconds + MARGIN_SECONDS, PROBLEM)

    def tell(call: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop is closed: the process is ending
            loop.call_soon_threadsafe(call)

    for number in ENDS:
        signal.signal(number, end)
    signal.signal(signal.SIGHUP, lambda *_: tell(steered.reload))
    signal.signal(signal.SIGUSR1, lambda *_: tell(steered.dump))


def leave_within(seconds: float, status: int) -> None:
    """End the process with this status if it has not ended by then, whatever holds it up."""
    timer = threading.Timer(seconds, os._exit, (status,))
    timer.daemon = True
    with suppress(RuntimeError):  # no memory for a thread: then it ends when nothing holds it up
        timer.start()


def fastest_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return uvloop's event loop where the extra `speed` is installed, else Python's own."""
    try:
        import uvloop  # noqa: PLC0415 - it may be missing
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
