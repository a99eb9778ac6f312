"""The page about the logs names every event that the code logs, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from retryd.telemetry.attempts import LINES

ROOT = Path(__file__).parents[3]
LEVELS = ("debug", "info", "warning", "error", "exception")
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \|", re.MULTILINE)


def calls() -> Iterator[tuple[Path, ast.Call]]:
    """Find the calls of loggers in the source."""
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="logger"), attr=level)):
                    if level in {*LEVELS, "log", "critical"}:
                        yield path, node


def names(event: ast.expr) -> set[str]:
    """Return the events that an expression may be."""
    match event:
        case ast.Constant(value=str(name)):
            return {name}
        case ast.IfExp(body=one, orelse=other):
            return names(one) | names(other)
        case _:
            return set()


def logged() -> set[tuple[str, str]]:
    """Return the events that are logged, with their levels."""
    found = set()
    for path, call in calls():
        assert isinstance(call.func, ast.Attribute)
        level = call.func.attr
        if path.name == "attempts.py" and level == "log":
            continue  # one of LINES
        events = names(call.args[0])
        assert events, f"{path}:{call.lineno} logs no event by its name"
        found |= {(event, "error" if level == "exception" else level) for event in events}
    for line in LINES:
        level = {10: "debug", 20: "info", 30: "warning"}[line.level]
        found |= {(line.event, level), (line.counted, level)}
    return found


def test_the_page_about_logs_names_every_event_with_its_level_and_no_other() -> None:
    told = ROW.findall((ROOT / "docs" / "logs.md").read_text())
    assert len(told) == len(set(told))
    assert set(told) == logged()


def test_an_event_is_one_word_and_its_facts_are_fields() -> None:
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)+|[a-z]+", event) for event, _ in logged())
