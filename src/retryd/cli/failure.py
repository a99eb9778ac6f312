"""Errors as a person reads them: one line on standard error, and an exit status."""

from __future__ import annotations

import os
import sys
from typing import Final, NoReturn

import typer

from retryd.domain.errors import ConfigurationError, NotFound, Refused, RetrydError

PROBLEM: Final = 1
USAGE: Final = 2


def tell(problem: str) -> None:
    """Print a problem as one line on standard error."""
    typer.echo(f"retryd: {' '.join(problem.split())}", err=True)


def refuse(problem: str) -> NoReturn:
    """Tell a problem, and end with its status."""
    tell(problem)
    raise typer.Exit(PROBLEM)


def status_of(error: Exception) -> int:
    """Tell of an error and return its exit status; raises it again if it is no error of a person.

    Such a fault is retryd's own, and its traceback is needed.
    """
    match error:
        case ExceptionGroup(exceptions=exceptions):
            return max(map(status_of, exceptions))
        case ConfigurationError(problems=problems):
            for problem in problems:
                tell(problem)
            return USAGE
        case NotFound():
            tell(str(error))
            return PROBLEM
        case Refused():
            tell(str(error))
            return USAGE
        case RetrydError():
            tell(str(error))
            return PROBLEM
        case typer.TyperException():
            tell(usage(error))
            return error.exit_code
        case _ if state := getattr(error, "sqlstate", None):
            tell(f"PostgreSQL refused: {error} (SQLSTATE {state}); check the rights of its user")
            return PROBLEM
        case _:
            raise error


def usage(error: typer.TyperException) -> str:
    """Return what is wrong with the words that were typed, and where to look."""
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{message}; see `{context.command_path} --help`" if context else message


def close_output() -> None:
    """Let the interpreter end quietly although nobody reads standard output any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
