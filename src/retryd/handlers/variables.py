"""The environment of a handler's program: little of the worker's, and what is configured."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, SecretStr

from retryd.client.trace import current_trace
from retryd.settings.block import told
from retryd.settings.secret import Secret

INHERITED: Final = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "PYTHONPATH"}
)
HIDDEN_LENGTH: Final = 8
"""Shorter values are no secrets, and would be found everywhere in what a program prints."""


def for_a_program(text: str) -> str:
    """Refuse what no program can be given."""
    if "\0" in text:
        raise told(" contains a NUL character, which no program can be given")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise told(" contains half of a surrogate pair, which no program can be given")
    return text


def _name(name: str) -> str:
    if not name or "=" in name:
        raise told(": the name of a variable is not empty and has no =")
    return for_a_program(name)


def _value(value: SecretStr) -> SecretStr:
    for_a_program(value.get_secret_value())
    return value


Variables: TypeAlias = Mapping[
    Annotated[str, AfterValidator(_name)], Annotated[Secret, AfterValidator(_value)]
]


def environment(variables: Mapping[str, SecretStr]) -> dict[str, str]:
    """Return what a program finds; nothing that leads to retryd's database is among it."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name in INHERITED or name.startswith("LC_")
    }
    return inherited | {name: value.get_secret_value() for name, value in variables.items()}


def trace_variables() -> dict[str, str]:
    """Return the variables by which a program goes on with the trace of its attempt."""
    return {name.upper(): value for name, value in current_trace().items()}


def secrets(variables: Mapping[str, SecretStr]) -> tuple[str, ...]:
    """Return what must not be read in an error message."""
    values = (value.get_secret_value() for value in variables.values())
    return tuple(value for value in values if len(value) >= HIDDEN_LENGTH)
