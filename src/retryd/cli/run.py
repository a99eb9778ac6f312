"""`retryd run`: a worker until a signal ends it or nothing is left to do."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retryd.cli.database import Database
from retryd.cli.options import Config, DatabaseUrl, Embedded
from retryd.telemetry.log import set_up_logging

if TYPE_CHECKING:
    from retryd.compose import Daemon
    from retryd.settings import Configuration

ENDS = (signal.SIGTERM, signal.SIGINT)

logger = logging.getLogger("retryd.cli")


def run(
    *,
    app: Annotated[
        str | None,
        typer.Option(metavar="MODULE:NAME", help="The retryd.App whose handlers to serve."),
    ] = None,
    until_empty: Annotated[
        bool,
        typer.Option("--until-empty", help="End when no retry of the handlers is live any more."),
    ] = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """Run a worker.

    SIGTERM and SIGINT let running attempts end and give back the rest; a second one ends at once.
    SIGHUP reads the configuration again, SIGUSR1 writes what is in flight to the log.
    """
    from retryd import compose  # noqa: PLC0415 - it takes longer to import than `--help` may

    sys.path.insert(0, str(Path.cwd()))
    served = compose.load_app(app) if app is not None else None
    database = Database(config, database_url, embedded)
    configuration, choice = database.find(served.database_url if served else None)
    set_up_logging(configuration.log.format, configuration.log.level)
    if not configuration.handlers and not (served and served.handlers):
        logger.warning("no_handlers", extra={"remedy": "give --app or configure handlers"})

    def load() -> Configuration:
        again = compose.load_configuration(config, os.environ, {})
        set_up_logging(again.log.format, again.log.level)
        return again

    async def work() -> None:
        async with compose.open_database(choice) as dsn:
            daemon = compose.Daemon(configuration, load, dsn, served, until_empty=until_empty)
            heed_signals(daemon)
            await daemon.run()

    with asyncio.Runner(loop_factory=fastest_loop()) as runner:
        runner.run(work())


def heed_signals(daemon: Daemon) -> None:
    """Let signals steer; the second that asks for the end has the effect it has on any process."""
    loop = asyncio.get_running_loop()

    def end(number: signal.Signals) -> None:
        logger.info("stopping", extra={"signal": number.name})
        daemon.stop()
        for each in ENDS:
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)

    for number in ENDS:
        loop.add_signal_handler(number, end, number)
    loop.add_signal_handler(signal.SIGHUP, daemon.reload)
    loop.add_signal_handler(signal.SIGUSR1, daemon.dump)


def fastest_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return uvloop's event loop where the extra `speed` is installed, else Python's own."""
    try:
        import uvloop  # noqa: PLC0415 - it may be missing
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
