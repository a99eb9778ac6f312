"""The commands in one tree, and `main`, which turns every error into one line and a status."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer
from typer.main import get_command

import retryd
from retryd.cli import capture, dead_letters, migrate, retries, run, stats
from retryd.cli.demo import command as demo
from retryd.cli.failure import PROBLEM, close_output, status_of

app = typer.Typer(
    name="retryd",
    help="The retry daemon for PostgreSQL: what failed is tried again until it works.",
    epilog="Exit status: 0 fine, 1 a problem, 2 wrong usage or configuration.",
    add_completion=False,
    rich_markup_mode=None,  # a quarter of a second for frames around the help
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("demo")(demo.demo)
app.command("migrate")(migrate.migrate)
app.command("capture")(capture.capture)
app.command("list")(retries.list_retries)
app.command("show")(retries.show)
app.add_typer(dead_letters.app, name="dlq")
app.command("stats")(stats.stats)


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
        status = get_command(app).main(prog_name="retryd", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        close_output()
        return PROBLEM
    except Exception as error:  # noqa: BLE001 - becomes one line, or is raised again
        return status_of(error)
    return status if isinstance(status, int) else 0
