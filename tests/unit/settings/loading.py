"""Two kinds of handlers, and loading from a document instead of a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pytest

from retryd import handlers
from retryd.domain.errors import ConfigurationError
from retryd.settings import Configuration, HandlerSettings, Secret, configuration_model, load


class PythonSettings(HandlerSettings):
    kind: Literal["python"] = "python"
    target: str


class HookSettings(HandlerSettings):
    kind: Literal["hook"] = "hook"
    url: Secret
    codes: tuple[int, ...] = ()


MODEL = configuration_model(PythonSettings)
TWO_KINDS = configuration_model(PythonSettings | HookSettings)
REAL = configuration_model(handlers.HandlerSettings)
"""The model that retryd runs with."""
NOTHING: Mapping[str, Any] = {}


def load_text(
    text: str, environ: Mapping[str, str] = NOTHING, model: type[Configuration] = MODEL
) -> Configuration:
    with TemporaryDirectory() as directory:
        path = Path(directory, "config.json")
        path.write_text(text, errors="surrogatepass")
        return load(model, path=path, environ=environ)


def load_document(
    document: object, environ: Mapping[str, str] = NOTHING, model: type[Configuration] = MODEL
) -> Configuration:
    return load_text(json.dumps(document), environ, model)


def load_variables(environ: Mapping[str, str], model: type[Configuration] = MODEL) -> Configuration:
    return load(model, path=None, environ=environ)


def problems_of(
    document: object, environ: Mapping[str, str] = NOTHING, model: type[Configuration] = MODEL
) -> list[str]:
    """Load what must be refused, and return the problems without the name of the file."""
    with pytest.raises(ConfigurationError) as caught:
        load_document(document, environ, model)
    return [problem.partition(" (file /")[0] for problem in caught.value.problems]


def problem_of(document: object, environ: Mapping[str, str] = NOTHING) -> str:
    (problem,) = problems_of(document, environ)
    return problem


def nested(path: str, value: object) -> dict[str, Any]:
    """Make the document that has this value at the dotted path."""
    for step in reversed(path.split(".")):
        value = {step: value}
    assert isinstance(value, dict)
    return value
