"""The keys of each kind as a configuration gives them, and how a refusal reads."""

from __future__ import annotations

from typing import Any

import pytest

from retryd.handlers import HandlerSettings
from retryd.handlers.command import CommandHandlerSettings
from retryd.settings import configuration_model
from tests.unit.settings.loading import load_document, problems_of

MODEL = configuration_model(HandlerSettings)
COMMAND = {"kind": "command", "match": ["report.*"], "argv": ["./rerun"]}
PYTHON = {"kind": "python", "match": ["report.*"], "target": "billing:rerun"}


def test_a_secret_of_a_programs_environment_may_be_a_reference() -> None:
    handler = COMMAND | {"env": {"TOKEN": "env:SHOP_TOKEN", "MODE": "daily"}}
    document = {"handlers": {"report": handler}}
    loaded = load_document(document, {"SHOP_TOKEN": "hunter2"}, MODEL).handlers["report"]
    assert isinstance(loaded, CommandHandlerSettings)
    values = {name: value.get_secret_value() for name, value in loaded.env.items()}
    assert values == {"TOKEN": "hunter2", "MODE": "daily"}
    assert "hunter2" not in repr(loaded)
    assert (loaded.argv, loaded.cwd, loaded.kill_after_seconds) == (("./rerun",), None, 5)


@pytest.mark.parametrize(
    ("handler", "problem"),
    [
        (COMMAND | {"argv": []}, ".argv names no program, give one and its arguments"),
        (COMMAND | {"argv": [""]}, ".argv names no program, give one and its arguments"),
        (COMMAND | {"argv": "./rerun"}, ".argv is text, allowed is a list, each text"),
        (COMMAND | {"argv": ["a", "b\0"]}, ".argv.1 contains a NUL character"),
        (COMMAND | {"argv": ["a", 1]}, ".argv.1 is 1, allowed is text"),
        (COMMAND | {"cwd": "a\0"}, ".cwd contains a NUL character"),
        (COMMAND | {"env": {"A=B": "x"}}, ".env.A=B: the name of a variable is not empty"),
        (COMMAND | {"env": {"A": "b\0"}}, ".env.A contains a NUL character"),
        (COMMAND | {"env": {"A": "env:NO_SUCH"}}, ".env.A refers to 'env:NO_SUCH', which is not"),
        (COMMAND | {"env": {"A": 1}}, ".env.A is a number, allowed is text, env:NAME"),
        (COMMAND | {"kill_after_seconds": 21}, ".kill_after_seconds is 21, allowed is a number, 0"),
        (COMMAND | {"target": "a:b"}, ".target is unknown"),
        (PYTHON | {"argv": ["a"]}, ".argv is unknown"),
        (PYTHON | {"isolation": "thread"}, ".isolation is 'thread', allowed is none, process"),
        (PYTHON | {"memory_mb": 512}, '.memory_mb needs a process: give isolation "process"'),
        (PYTHON | {"cpu_seconds": 5}, '.cpu_seconds needs a process: give isolation "process"'),
        (PYTHON | {"env": {"A": "b"}}, '.env needs a process: give isolation "process"'),
        (
            PYTHON | {"isolation": "process", "memory_mb": 63},
            ".memory_mb is 63, allowed is a whole",
        ),
        (PYTHON | {"isolation": "process", "cpu_seconds": 0}, ".cpu_seconds is 0, allowed is a"),
        (PYTHON | {"kind": "shell"}, ".kind is 'shell', allowed is python, command"),
    ],
)
def test_what_cannot_be_used_is_named(handler: dict[str, Any], problem: str) -> None:
    [told] = problems_of({"handlers": {"report": handler}}, model=MODEL)
    assert told.startswith(f"handlers.report{problem}")
