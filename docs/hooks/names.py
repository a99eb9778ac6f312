"""The page of all names of `retryd` and `retryd.testing`, each with its signature and docstring."""

from __future__ import annotations

import inspect
from typing import Final

import retryd
from retryd import testing

INTRODUCTION: Final = """# Every name in Python

Made from the code. [Python](../python.md) shows them at work. What is not here is not the API,
and may change at any time.

"""


def page() -> str:
    """Write the page; mkdocstrings fills in what each name says of itself."""
    return (
        f"{INTRODUCTION}## retryd\n\n{sections('retryd', retryd.__all__)}"
        f"## retryd.testing\n\n{sections('retryd.testing', testing.__all__)}"
    )


def sections(module: str, names: list[str]) -> str:
    """Write a heading for each name, and where mkdocstrings finds it."""
    return "".join(f"### `{module}.{name}`\n\n{body(name)}\n\n" for name in names)


def body(name: str) -> str:
    """Say where a name is defined; what is no class and no function is told in words."""
    if name == "__version__":
        return "The version that is installed, as text."
    if name == "testing":
        return "The module for tests of handlers: [below](#retrydtesting_1)."
    found = getattr(retryd, name, None) or getattr(testing, name)
    return f"::: {inspect.getmodule(found).__name__}.{found.__qualname__}"  # type: ignore[union-attr]
