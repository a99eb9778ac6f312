"""The help of every command: it says what the command does, and nothing that is not so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.core import TyperGroup

from retryd.cli.app import tree
from retryd.cli.examples import EXAMPLES
from retryd.cli.manual import GROUPS, commands_of
from tests.acceptance.commands import Shell

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
COMMANDS = dict(commands_of(tree()))
PRINT_NO_DATA = {"run", "demo", "migrate", "completion", "dlq export"}
LINE = 80
TYPED = re.compile(r"\bretryd (?P<words>[^>)]*?)(?: [<>] .*|\).*)?$")


def test_every_command_stands_in_one_group_of_the_manual() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert len(grouped) == len(set(grouped))
    assert set(tree().commands) == set(grouped)


async def test_the_manual_has_each_command_on_one_line_and_what_holds_for_all(
    bare_shell: Shell,
) -> None:
    ended = await bare_shell("--help")
    assert (ended.status, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert max(map(len, lines)) <= LINE
    for name in tree().commands:
        [line] = [line for line in lines if re.match(rf"  {name}  ", line)]
        assert line.endswith(".") or isinstance(tree().commands[name], TyperGroup)
    for words in (*GROUPS, "Environment", "RETRYD_DATABASE_URL", "Exit status", "130"):
        assert words in ended.out


@pytest.mark.parametrize("path", COMMANDS)
async def test_the_help_of_a_command_says_what_it_does_and_ends_with_its_examples(
    bare_shell: Shell, path: str
) -> None:
    ended = await bare_shell(*path.split(), "--help")
    assert (ended.status, ended.err) == (0, "")
    usage, empty, promise, *_ = ended.out.splitlines()
    assert usage.startswith(f"Usage: retryd {path}")
    assert empty == ""
    assert re.fullmatch(r"  [A-Z].*\.", promise)
    shown = ended.out.partition("  Examples:\n")[2].splitlines()
    assert [line.strip() for line in shown] == list(EXAMPLES[path])
    for parameter in COMMANDS[path].params:
        assert getattr(parameter, "hidden", False) or getattr(parameter, "help", None), parameter


@pytest.mark.parametrize(
    ("path", "example"), [(path, each) for path in COMMANDS for each in EXAMPLES[path]]
)
def test_an_example_can_be_typed_as_it_stands(path: str, example: str) -> None:
    found = TYPED.search(example)
    assert found
    names, words = path.split(), shlex.split(found["words"])
    assert words[: len(names)] == names
    command = COMMANDS[path]
    context = command.make_context(path, [], resilient_parsing=True)
    given, left, _ = command.make_parser(context).parse_args(words[len(names) :])
    assert left == []
    known = {parameter.name for parameter in command.params}
    assert given.keys() <= known


def test_examples_are_of_commands_that_exist() -> None:
    assert EXAMPLES.keys() == COMMANDS.keys()


@pytest.mark.parametrize("path", sorted(COMMANDS.keys() - PRINT_NO_DATA))
def test_a_command_that_prints_data_prints_it_as_json_too(path: str) -> None:
    options = {option for parameter in COMMANDS[path].params for option in parameter.opts}
    assert "--json" in options
    assert re.search(
        rf"^\| (`[\w -]+`, )*`{path}`(, `[\w -]+`)* \|", PAGE.split("## JSON")[1], re.MULTILINE
    )


@pytest.mark.parametrize("path", COMMANDS)
def test_the_page_has_every_command_with_its_arguments(path: str) -> None:
    assert re.search(rf"^\| `{path}( [^`]*)?` \|", PAGE, re.MULTILINE), path


def test_the_page_has_no_command_that_is_not_there() -> None:
    table = PAGE.split("## JSON")[0]
    for row in re.findall(r"^\| `([a-z -]+)", table, re.MULTILINE):
        assert row.strip() in COMMANDS, row
