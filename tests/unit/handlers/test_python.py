"""Targets of kind `python`: what imports, what does not, and how a refusal reads."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from retryd.domain.errors import ConfigurationError
from retryd.handlers import open_handler
from retryd.handlers.python import PythonHandlerSettings, import_target


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose modules can be imported in this test."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("retryd_test_target", None)


def settings(target: str) -> PythonHandlerSettings:
    return PythonHandlerSettings(match=("job.*",), target=target, policy="quick")


def test_a_function_is_found_by_its_module_and_name() -> None:
    handler = open_handler("lengths", settings("builtins:str.upper"))
    assert handler.name == "lengths"
    assert handler.definition == {
        "name": "lengths",
        "match": ["job.*"],
        "policy": "quick",
        "dependency": None,
        "kind": "python",
    }


@pytest.mark.parametrize("target", ["", "module", "module:", ":name", "a:b:c", "a-b:c", "a b:c"])
def test_a_target_of_another_form_is_refused(target: str) -> None:
    with pytest.raises(ValidationError):
        settings(target)


@pytest.mark.parametrize("target", ["module", "module:"])
def test_an_app_of_another_form_is_refused(target: str) -> None:
    with pytest.raises(ConfigurationError, match="not of the form module:name"):
        import_target(target)


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        ("retryd_no_such_module:run", "ModuleNotFoundError"),
        ("builtins:no_such_name", "AttributeError"),
        ("builtins:str.no_such_name", "AttributeError"),
        ("builtins:str.", "AttributeError"),
        ("..relative:name", "TypeError"),
    ],
)
def test_what_does_not_import_names_handler_target_and_cause(target: str, cause: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_handler("mail", settings(target))
    [problem] = caught.value.problems
    assert problem.startswith("handlers.mail.target: ")
    assert repr(target) in problem
    assert cause in problem


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("raise RuntimeError('not today')", "RuntimeError: not today"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_module_that_fails_while_it_is_imported_is_a_problem_of_the_configuration(
    modules: Path, source: str, cause: str
) -> None:
    (modules / "retryd_test_target.py").write_text(source)
    with pytest.raises(ConfigurationError, match=cause):
        open_handler("mail", settings("retryd_test_target:run"))


@pytest.mark.parametrize("source", ["run = 7", "import retryd; run = retryd.App()"])
def test_what_cannot_be_called_is_no_handler(modules: Path, source: str) -> None:
    (modules / "retryd_test_target.py").write_text(source)
    with pytest.raises(ConfigurationError, match=r"handlers\.mail\.target: .* is no function"):
        open_handler("mail", settings("retryd_test_target:run"))
