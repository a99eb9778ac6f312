"""`retryd --help` as a page of a manual: the commands by what they are for, and what holds for all.

Each command's own page ends with the examples of `EXAMPLES`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup
from typing_extensions import override

from retryd.cli.examples import EXAMPLES

GROUPS: Final = {
    "Run it": ("run", "demo", "migrate", "check", "health"),
    "Look": ("list", "show", "explain", "stats", "top"),
    "Act": ("capture", "retry-now", "cancel", "dlq", "spool"),
    "Configure": ("policy", "handler", "token", "completion"),
}
SECTIONS: Final = {
    "Environment": [
        ("RETRYD_DATABASE_URL", "The database: postgresql://you:password@host/name."),
        ("RETRYD_CONFIG", "The configuration, a JSON file."),
        ("RETRYD_…", "Any key of it, such as RETRYD_RETRY__WORKER_COUNT=8."),
        ("DATABASE_URL, PG…", "The database, where nothing of retryd names one."),
    ],
    "Exit status": [
        ("0", "Fine."),
        ("1", "A problem: no database, an unknown id, a state that does not allow it."),
        ("2", "Wrong usage or configuration; nothing was done."),
        ("130", "Interrupted."),
    ],
    "Where to go on": [
        ("retryd demo", "A failure's whole life, on a PostgreSQL of its own."),
        ("retryd COMMAND --help", "Each option of a command, and examples."),
        ("docs/command-line.md", "Signals, rights, and the documents of --json."),
    ],
}


class Manual(TyperGroup):
    """The root of the commands; its help has them in groups."""

    @override
    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands in their groups, then what holds for all of them."""
        width = max(map(len, self.commands))
        sections: dict[str, list[tuple[str, str]]] = {
            heading: [
                (name.ljust(width), self.line_of(self.commands[name]))
                for name in names
                if name in self.commands
            ]
            for heading, names in GROUPS.items()
        }
        options = [param.get_help_record(ctx) for param in self.get_params(ctx)]
        sections["Options"] = [row for row in options if row is not None]
        for heading, rows in (sections | SECTIONS).items():
            with formatter.section(heading):
                formatter.write_dl(rows)

    @staticmethod
    def line_of(command: Any) -> str:
        """Return in one line what a command does, or the commands below it do."""
        first = (command.help or "").partition("\n")[0]
        if isinstance(command, TyperGroup):
            return f"{first.rstrip('.')}: {', '.join(command.commands)}."
        return str(first)


def add_examples(root: TyperGroup) -> None:
    """Let the help of each command end with its examples."""
    for path, command in commands_of(root):
        lines = "\n".join(f"  {line}" for line in EXAMPLES.get(path, ()))
        if lines:
            command.epilog = f"\b\nExamples:\n{lines}"


def commands_of(group: TyperGroup, above: str = "") -> Iterator[tuple[str, TyperCommand]]:
    """Yield each command with its path, such as `dlq list`."""
    for name, command in group.commands.items():
        path = f"{above} {name}".strip()
        if isinstance(command, TyperGroup):
            yield from commands_of(command, path)
        elif isinstance(command, TyperCommand) and not command.hidden:
            yield path, command
