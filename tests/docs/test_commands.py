"""Reads every page: a command that it tells a reader to type is one that there is."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from retryd.cli.app import tree
from retryd.cli.manual import commands_of

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / "examples").rglob("README.md"),
]
COMMANDS = dict(commands_of(tree()))
SHELL = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TYPED = re.compile(r"(?:^|\s|\()retryd (?P<words>(?:'[^']*'|\"[^\"]*\"|[^|<>#)])+)")


def typed() -> Iterator[tuple[str, str]]:
    """Yield each command of each page."""
    for page in PAGES:
        for block in SHELL.findall(page.read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                for found in TYPED.finditer(line):
                    yield str(page.relative_to(ROOT)), found["words"].strip()


@pytest.mark.parametrize(("page", "words"), sorted(set(typed())))
def test_a_command_of_a_page_can_be_typed(page: str, words: str) -> None:
    given = shlex.split(words)
    path = next(
        (name for count in (2, 1) if (name := " ".join(given[:count])) in COMMANDS), "no command"
    )
    assert path in COMMANDS, f"{page}: retryd {words}"
    command = COMMANDS[path]
    context = command.make_context(path, [], resilient_parsing=True)
    _, left, _ = command.make_parser(context).parse_args(given[len(path.split()) :])
    assert left == []
