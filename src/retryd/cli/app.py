"""The commands in one tree, and `main`, which turns every error into one line and a status."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated

import typer
from typer.core import TyperGroup
from typer.main import get_group

import retryd
from retryd.cli import (
    by_id,
    capture,
    check,
    completion,
    dead_letters,
    explain,
    handlers,
    health,
    migrate,
    policies,
    retries,
    run,
    spool,
    stats,
    tokens,
    top,
)
from retryd.cli.demo import command as demo
from retryd.cli.failure import PROBLEM, close_output, status_of
from retryd.cli.manual import Manual, add_examples

app = typer.Typer(
    name="retryd",
    cls=Manual,
    help="The retry daemon for PostgreSQL: what failed is tried again until it works.",
    add_completion=False,
    rich_markup_mode=None,  # a quarter of a second for frames around the help
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("demo")(demo.demo)
app.command("migrate")(migrate.migrate)
app.command("check")(check.check)
app.command("capture")(capture.capture)
app.command("list")(retries.list_retries)
app.command("show")(retries.show)
app.command("explain")(explain.explain)
app.command("retry-now")(by_id.retry_now)
app.command("cancel")(by_id.cancel)
app.add_typer(dead_letters.app, name="dlq")
app.command("stats")(stats.stats)
app.command("top")(top.top)
app.command("health")(health.health)
app.add_typer(policies.app, name="policy")
app.add_typer(handlers.app, name="handler")
app.add_typer(spool.app, name="spool")
app.add_typer(tokens.app, name="token")
app.command("completion")(completion.completion)


def print_version(wanted: bool) -> None:  # noqa: FBT001 - how a callback is called
    """Print the version and end."""
    if wanted:
        typer.echo(f"retryd {retryd.__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Take what stands before a command."""


def tree() -> TyperGroup:
    """Return all commands, each with its examples."""
    root = get_group(app)
    add_examples(root)
    return root


def check_arguments(arguments: list[str]) -> None:
    """Refuse text that is not UTF-8, which PostgreSQL could not take."""
    for argument in arguments:
        if any("\ud800" <= character <= "\udfff" for character in argument):
            message = f"the argument {argument!r} is not UTF-8 text"
            raise typer.BadParameter(message)


def main() -> int:
    """Run the command that was typed; returns its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        check_arguments(sys.argv[1:])
        if completion.QUESTION in os.environ:
            completion.answer_shells()
        status = tree().main(prog_name="retryd", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        close_output()
        return PROBLEM
    except Exception as error:  # noqa: BLE001 - becomes one line, or is raised again
        return status_of(error)
    return status if isinstance(status, int) else 0
