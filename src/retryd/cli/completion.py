"""`retryd completion`: the script by which a shell asks retryd what may follow."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import typer

Shell: TypeAlias = Literal["bash", "zsh", "fish"]

QUESTION: Final = "_RETRYD_COMPLETE"
"""The variable in which a shell asks, as typer's scripts do it."""


def completion(
    context: typer.Context,
    shell: Annotated[Shell, typer.Argument(metavar="bash|zsh|fish", help="Whose script.")],
) -> None:
    """Print the script that completes commands and options in a shell."""
    from typer.completion import shell_complete  # noqa: PLC0415 - only this needs it

    answer_shells()
    shell_complete(context.find_root().command, {}, "retryd", QUESTION, f"source_{shell}")


def answer_shells() -> None:
    """Let the question of a shell be answered by the next run of a command."""
    from typer.completion import get_completion_inspect_parameters  # noqa: PLC0415 - the same

    get_completion_inspect_parameters()  # registers the shells
