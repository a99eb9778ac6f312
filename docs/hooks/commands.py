"""The page of all commands and options, from the tree that the command line runs."""

from __future__ import annotations

from typing import Any, Final

from docs.hooks.table import table
from retryd.cli.app import tree
from retryd.cli.examples import EXAMPLES
from retryd.cli.manual import GROUPS, SECTIONS, commands_of

INTRODUCTION: Final = """# Every command

Made from the code: what `retryd COMMAND --help` says. Options stand after the command. [The
command line](../command-line.md) tells what holds for all of them, and the documents that
`--json` prints.

"""


def page() -> str:
    """Write the page."""
    commands = dict(commands_of(tree()))
    ordered = [
        path
        for names in GROUPS.values()
        for name in names
        for path in commands
        if path.split()[0] == name
    ]
    held = "".join(
        f"## {heading}\n\n" + table(("", ""), [(f"`{word}`", said) for word, said in rows])
        for heading, rows in SECTIONS.items()
        if heading != "Where to go on"
    )
    return INTRODUCTION + "".join(section(path, commands[path]) for path in ordered) + held


def section(path: str, command: Any) -> str:
    """Write one command."""
    context = command.make_context(path, [], resilient_parsing=True)
    usage = " ".join(command.collect_usage_pieces(context))
    records = [
        parameter.get_help_record(context)
        for parameter in command.get_params(context)
        if not getattr(parameter, "hidden", False)
    ]
    options = table(("", ""), [(f"`{name}`", said) for name, said in filter(None, records)])
    examples = "\n".join(EXAMPLES[path])
    return (
        f"## retryd {path}\n\n{command.help}\n\n```text\nretryd {path} {usage}\n```\n\n{options}"
        f"```text\n{examples}\n```\n\n"
    )
