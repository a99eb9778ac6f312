"""The list of faults has no gap: each is named, and the tests of each exist."""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FAULTS: dict[str, dict[str, Any]] = tomllib.loads((ROOT / "tests" / "faults.toml").read_text())
CHECKED = {"database", "plain_database", "processes"}  # at their end the base check is made
ELSEWHERE = (
    "tests/unit/",  # nothing is accepted, nothing is started
    "tests/faults/",  # `Scene.close` makes it, also where the scene has a database of another kind
    "tests/sql/test_plans.py::",  # counts buffers, and undoes each call
)
KEYS = {"fault", "promise", "tests", "planned"}


@cache
def functions_in(file: str) -> dict[str, frozenset[str]]:
    """Return the functions of a file, each with its arguments."""
    module = ast.parse((ROOT / file).read_text())
    return {
        node.name: frozenset(argument.arg for argument in node.args.args)
        for node in module.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def asks_for(test: str) -> set[str]:
    """Return the fixtures that a test asks for, itself and by those that it asks for."""
    file, _, name = test.partition("::")
    folder = Path(file).parent
    known: dict[str, frozenset[str]] = {}
    for place in ("tests/conftest.py", f"{folder}/conftest.py", file):
        if (ROOT / place).exists():
            known |= functions_in(place)
    asked: set[str] = set()
    fresh = known[name]
    while fresh:
        asked |= fresh
        fresh = frozenset().union(*(known.get(word, ()) for word in fresh)) - asked
    return asked


def test_every_fault_is_on_the_list_in_order() -> None:
    assert list(FAULTS) == [str(number) for number in (*range(1, 76), 82, 83)]


@pytest.mark.parametrize("number", FAULTS)
def test_a_fault_says_what_happens_and_what_is_promised(number: str) -> None:
    fault = FAULTS[number]
    assert fault.keys() <= KEYS
    assert fault["fault"].strip()
    assert fault["promise"].strip()
    assert fault.get("tests") or fault.get("planned")


@pytest.mark.parametrize("number", FAULTS)
def test_the_tests_of_a_fault_exist(number: str) -> None:
    named = FAULTS[number].get("tests", [])
    assert len(set(named)) == len(named)
    for test in named:
        file, _, name = test.partition("::")
        assert name.startswith("test_"), test
        assert name in functions_in(file), test


@pytest.mark.parametrize("number", FAULTS)
def test_the_base_check_follows_a_fault(number: str) -> None:
    for test in FAULTS[number].get("tests", []):
        assert test.startswith(ELSEWHERE) or asks_for(test) & CHECKED, f"{test} uses no database"


@pytest.mark.parametrize("number", FAULTS)
def test_what_is_planned_for_a_fault_is_not_built_yet(number: str) -> None:
    planned = FAULTS[number].get("planned")
    if planned is None:
        return
    assert planned.startswith("src/retryd/")
    assert planned.endswith(".py")
    assert not (ROOT / planned).exists(), f"{planned} is there: name its tests in faults.toml"
