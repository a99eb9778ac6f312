from __future__ import annotations

import logging
import traceback
from pathlib import Path

import pytest

from retryd.domain.errors import ConfigurationError
from tests.unit.settings.loading import (
    TWO_KINDS,
    load_document,
    load_variables,
    nested,
    problem_of,
    problems_of,
)

SECRET = "hunter2"


def token(reference: str, environ: dict[str, str]) -> str:
    (found,) = load_document(nested("http.tokens", [reference]), environ).http.tokens
    return found.get_secret_value()


def test_a_secret_is_text_or_a_variable_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{SECRET}\n")
    assert token(SECRET, {}) == SECRET
    assert token("env:TOKEN", {"TOKEN": SECRET}) == SECRET
    assert token(f"file:{file}", {}) == SECRET


def test_a_reference_is_followed_once() -> None:
    problem = problem_of(nested("http.tokens", ["env:A"]), {"A": "env:B C", "B C": SECRET})
    assert problem.startswith("http.tokens.0 has other characters than a bearer token may have")


def test_a_variable_may_hold_references() -> None:
    environ = {"RETRYD_HTTP__TOKENS": '["env:TOKEN"]', "TOKEN": SECRET}
    assert load_variables(environ).http.tokens[0].get_secret_value() == SECRET
    environ = {"RETRYD_DATABASE__URL": "env:DB", "DB": "postgresql://db/app"}
    url = load_variables(environ).database.url
    assert url is not None
    assert url.get_secret_value() == "postgresql://db/app"


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("env:TOKEN", "refers to 'env:TOKEN', which is not set or empty: put the secret there"),
        ("env:", "refers to 'env:', which is not set or empty: put the secret there"),
        ("env:EMPTY", "refers to 'env:EMPTY', which is not set or empty: put the secret there"),
        ("file:/no/such", "refers to 'file:/no/such', which cannot be read: No such file or direc"),
        ("file:/", "refers to 'file:/', which cannot be read: Is a directory"),
        ("file:\0", "refers to 'file:\\x00', which cannot be read: embedded null byte"),
        ("file:/dev/null", "refers to 'file:/dev/null', an empty file: put the secret there"),
        ("file:/dev/zero", "refers to 'file:/dev/zero', which cannot be read: it is larger than"),
    ],
)
def test_a_reference_that_leads_nowhere_is_named(reference: str, told: str) -> None:
    problem = problem_of(nested("database.url", reference), {"EMPTY": ""})
    assert problem.startswith(f"database.url {told}")


@pytest.mark.parametrize(
    "document",
    [
        {"database": f"postgresql://u:{SECRET}@h/d"},
        {"database": {"url": f"mysql://u:{SECRET}@h/d"}},
        {"database": {"url": f"postgresql://u:{SECRET}/@h/d"}},
        {"database": {"url": [SECRET]}},
        {"database": {"url": {SECRET: 1}}},
        {"database": {"urll": SECRET}},
        {"http": {"tokens": SECRET}},
        {"http": {"tokens": [f"{SECRET} x", [SECRET]]}},
        {"http": {"token": [SECRET]}},
        {"http": {"tokens": {"ops": SECRET}}},
        {"password": SECRET},
        {"handlers": {"h": {"kind": "hook", "match": ["a"], "url": [SECRET]}}},
        {"handlers": {"h": {"kind": "hook", "match": ["a"], "url": "x", "key": SECRET}}},
        {"handlers": {"h": SECRET}},
    ],
)
def test_no_refusal_shows_a_secret(document: object) -> None:
    assert SECRET not in " ".join(problems_of(document, model=TWO_KINDS))
    with pytest.raises(ConfigurationError) as caught:
        load_document(document, model=TWO_KINDS)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_secret_that_a_reference_leads_to_is_not_shown() -> None:
    problem = problem_of(nested("database.url", "env:DB"), {"DB": f"mysql://u:{SECRET}@h"})
    assert problem.startswith("database.url is no PostgreSQL URL")
    assert SECRET not in problem


def test_a_configuration_shows_no_secret_when_it_is_printed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    document = nested("database.url", f"postgresql://u:{SECRET}@h/d")
    loaded = load_document(document)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger(__name__).info("loaded %s", loaded)
    assert SECRET not in caplog.text + repr(loaded) + loaded.model_dump_json()
