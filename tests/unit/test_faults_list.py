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
KEYS = {"fault", "promise", "tests", "planned"}


@cache
def names_in(file: str) -> frozenset[str]:
    """Return the names of the functions of a file."""
    module = ast.parse((ROOT / file).read_text())
    return frozenset(
        node.name
        for node in module.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def test_every_fault_from_1_to_56_is_on_the_list_in_order() -> None:
    assert list(FAULTS) == [str(number) for number in range(1, 57)]


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
        assert name in names_in(file), test


@pytest.mark.parametrize("number", FAULTS)
def test_what_is_planned_for_a_fault_is_not_built_yet(number: str) -> None:
    planned = FAULTS[number].get("planned")
    if planned is None:
        return
    assert planned.startswith("src/retryd/")
    assert planned.endswith(".py")
    assert not (ROOT / planned).exists(), f"{planned} is there: name its tests in faults.toml"
