from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retryd.domain.errors import ConfigurationError
from retryd.settings import Configuration, load
from tests.unit.settings.loading import (
    MODEL,
    TWO_KINDS,
    load_document,
    load_text,
    load_variables,
    nested,
)

KEYS = st.sampled_from(
    [
        *("database", "url", "retry", "batch_size", "retry_policies", "p", "max_retries", "match"),
        *("handlers", "h", "kind", "target", "policy", "http", "tokens", "port", "log", "level"),
    ]
)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["python", "hook", "auto", "env:NAME", "file:/", "a.*", "postgresql://h"])
)
DOCUMENTS = st.dictionaries(
    KEYS | st.text(),
    st.recursive(
        VALUES,
        lambda some: st.lists(some, max_size=3) | st.dictionaries(KEYS, some, max_size=3),
        max_leaves=10,
    ),
    max_size=4,
)


def refused(environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_variables(environ)
    return list(caught.value.problems)


@given(
    st.none() | st.integers(1, 1000),
    st.none() | st.integers(1, 1000),
    st.none() | st.integers(1, 9),
)
def test_code_beats_variables_and_variables_beat_the_file(
    code: int | None, variable: int | None, file: int | None
) -> None:
    document = {"batch_size": 7} | ({"worker_count": file} if file else {})
    environ = {"RETRYD_RETRY__WORKER_COUNT": str(variable)} if variable else {}
    given = {"retry": {"worker_count": code}} if code else {}
    with TemporaryDirectory() as directory:
        path = Path(directory, "config.json")
        path.write_text(json.dumps({"retry": document}))
        loaded = load(MODEL, path=path, environ=environ, code=given)
    assert loaded.retry.worker_count == (code or variable or file or 3)
    assert loaded.retry.batch_size == 7


def test_code_may_give_lists_as_a_file_does() -> None:
    handler = {"kind": "hook", "match": ["a.*"], "url": "x", "codes": [410]}
    given = {"capture_patterns": ["*.broken"], "handlers": {"a": handler}}
    loaded = load(TWO_KINDS, path=None, environ={}, code=given)
    assert loaded == load_document(given, model=TWO_KINDS)


def test_the_file_lies_under_the_variables_key_by_key(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"retry": {"batch_size": 7, "worker_count": 2}, "log": {"level": "error"}}')
    environ = {"RETRYD_RETRY__WORKER_COUNT": "8", "RETRYD_CONFIG": "/does/not/matter"}
    loaded = load(MODEL, path=path, environ=environ, code={"log": {"level": "debug"}})
    assert (loaded.retry.batch_size, loaded.retry.worker_count) == (7, 8)
    assert loaded.log.level == "debug"


def test_without_a_path_the_file_is_the_one_that_the_variable_names(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('\ufeff{"retry": {"batch_size": 7}}')
    assert load_variables({"RETRYD_CONFIG": str(path)}).retry.batch_size == 7
    assert load_variables({"RETRYD_CONFIG": ""}) == MODEL()


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("RETRYD_RETRY__WORKER_COUNT", "8", "retry.worker_count", 8),
        ("RETRYD_RETRY__LEASE_SECONDS", "1.5", "retry.lease_seconds", 1.5),
        ("RETRYD_RETRY__ENABLED", "false", "retry.enabled", False),
        ("RETRYD_RETRY__LISTEN_NOTIFY", "true", "retry.listen_notify", True),
        ("RETRYD_RETRY__LISTEN_NOTIFY", "auto", "retry.listen_notify", "auto"),
        ("RETRYD_LOG__FORMAT", "json", "log.format", "json"),
        ("RETRYD_HTTP", ' {"port": 1}', "http.port", 1),
        ("RETRYD_HTTP__HOST", "127", "http.host", "127"),
        ("RETRYD_CAPTURE_PATTERNS", '["*.broken"]', "capture_patterns", ("*.broken",)),
    ],
)
def test_a_variable_is_read_as_the_type_of_its_key(
    name: str, text: str, key: str, value: object
) -> None:
    found: object = load_variables({name: text})
    for step in key.split("."):
        found = getattr(found, step)
    assert found == value


def test_variables_may_give_a_handler() -> None:
    environ = {
        "RETRYD_HANDLERS__MAIL": '{"kind": "hook", "match": ["mail.*"]}',
        "RETRYD_HANDLERS__MAIL__URL": "12345",
        "RETRYD_HANDLERS__MAIL__CODES": "[410]",
    }
    mail: Any = load_variables(environ, TWO_KINDS).handlers["mail"]
    assert (mail.match, mail.codes) == (("mail.*",), (410,))
    assert mail.url.get_secret_value() == "12345"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (
            "RETRYD_RETRY__WORKER_COUNT",
            "0",
            "retry.worker_count is 0, allowed is a whole number, 1 to 1000",
        ),
        (
            "RETRYD_RETRY__WORKER_COUNT",
            "",
            "retry.worker_count is '', allowed is a whole number, 1 to 1000",
        ),
        (
            "RETRYD_RETRY__LEASE_SECONDS",
            "NaN",
            "retry.lease_seconds is 'NaN', allowed is a number, 1 to 86400",
        ),
        ("RETRYD_RETRY__ENABLED", "yes", "retry.enabled is 'yes', allowed is true, false"),
        (
            "RETRYD_CAPTURE_PATTERNS",
            "[*.failed]",
            "capture_patterns is not JSON: line 1 column 2: Expecting value",
        ),
        ("RETRYD_RETRY", "3", "retry is a number, allowed is an object"),
        (
            "RETRYD_HANDLERS",
            '{"a": 1, "a": 2}',
            "handlers is not JSON: the key 'a' stands twice in one object: keep one of them",
        ),
        (
            "RETRYD_RETRY__WORKERS_COUNT",
            "3",
            "retry.workers_count is unknown, did you mean RETRYD_RETRY__WORKER_COUNT?",
        ),
        (
            "RETRYD_RETRY_BATCH_SIZE",
            "3",
            "retry_batch_size is unknown, did you mean RETRYD_RETRY__BATCH_SIZE?",
        ),
        (
            "RETRYD_QQ",
            "3",
            (
                "qq is unknown, known are database, retry, handlers, capture_patterns, http,"
                " spool, log"
            ),
        ),
    ],
)
def test_a_refusal_names_the_variable(name: str, text: str, told: str) -> None:
    assert refused({name: text}) == [f"{told} ({name})"]


def test_a_refusal_names_the_code_or_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"http": {"port": -1}}')
    with pytest.raises(ConfigurationError) as caught:
        load(MODEL, path=path, environ={}, code={"retry": {"worker_count": 0}})
    assert caught.value.problems == (
        "retry.worker_count is 0, allowed is a whole number, 1 to 1000 (given in code)",
        f"http.port is -1, allowed is a whole number, 0 to 65535 (file {path})",
    )


def test_a_value_where_an_object_belongs_is_refused_and_not_covered() -> None:
    (problem,) = refused({"RETRYD_RETRY": "x", "RETRYD_RETRY__BATCH_SIZE": "3"})
    assert problem == "retry is text, allowed is an object (RETRYD_RETRY)"


def test_variables_that_are_no_keys_are_left_alone() -> None:
    environ = {
        "RETRYD_CONFIG": "",
        "RETRYD_DATABASE_URL": "x",
        "RETRYD_PG_BIN": "/bin",
        "RETRYD_TEST_DATABASE_URL": "x",
        "PATH": "/bin",
        "retryd_http": "x",
    }
    assert load_variables(environ) == MODEL()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "cannot be used: line 1 column 1: Expecting value"),
        ('{"retry":\n  oops}', "cannot be used: line 2 column 3: Expecting value"),
        ('{"log": {}, "log": {}}', "cannot be used: the key 'log' stands twice in one object"),
        ('{"retry": {"lease_seconds": NaN}}', "cannot be used: NaN is no number in JSON"),
        ('{"retry": {"lease_seconds": -Infinity}}', "cannot be used: -Infinity is no number"),
        ("[" * 100_000, "cannot be used: it is nested too deep"),
        ("[]", 'must hold a JSON object, such as {"retry": {}}'),
        ("null", 'must hold a JSON object, such as {"retry": {}}'),
        ('"\ud800"', "cannot be used: it is not UTF-8 text: byte 1 is wrong"),
        (" " * 1_048_577, "cannot be used: it is larger than 1048576 bytes"),
    ],
)
def test_a_file_that_is_no_json_object_is_one_problem(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_text(text)
    (problem,) = caught.value.problems
    assert problem.startswith("configuration file ")
    assert f"config.json (from --config) {told}" in problem


def test_a_file_that_cannot_be_read_is_one_problem(tmp_path: Path) -> None:
    missing = tmp_path / "missing.json"
    for path, why in ((missing, "No such file or directory"), (tmp_path, "Is a directory")):
        told = f"configuration file {path} (from RETRYD_CONFIG) cannot be read: {why}"
        assert refused({"RETRYD_CONFIG": str(path)}) == [told]
    (problem,) = refused({"RETRYD_CONFIG": "a\0b"})
    assert "cannot be used: embedded null byte" in problem


@pytest.mark.parametrize(("number", "seen"), [("1e999", "inf"), ("-1e999", "-inf")])
def test_a_number_beyond_all_numbers_is_out_of_range(number: str, seen: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_text(f'{{"retry": {{"lease_seconds": {number}}}}}')
    assert f"lease_seconds is {seen}, allowed is a number, 1 to 86400" in str(caught.value)


@pytest.mark.parametrize("key", ["batch_size", "lease_seconds"])
def test_a_number_of_very_many_digits_is_out_of_range(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_text(f'{{"retry": {{"{key}": {"9" * 10_000}}}}}')
    (problem,) = caught.value.problems
    assert problem.startswith(f"retry.{key} is 999")
    assert len(problem) < 300


def outcome(loading: Callable[[], Configuration]) -> tuple[str, ...]:
    """Return the problems; there are none when it loads."""
    try:
        loading()
    except ConfigurationError as error:
        return error.problems
    return ()


@given(DOCUMENTS)
@example({"__class__": 1, "self": 2, "model_config": 3, "_env_file": 4})
@example({"handlers": {"h": {"kind": "python", "policy": "\ud800\n"}}})
def test_every_document_is_taken_or_refused_line_by_line(document: dict[str, Any]) -> None:
    for problem in outcome(lambda: load_document(document, model=TWO_KINDS)):
        assert problem.isprintable()
        assert len(problem) < 1000


@given(st.dictionaries(st.text("ABDERTYU_", max_size=12), st.text(), max_size=5))
def test_every_variable_is_taken_or_refused(variables: dict[str, str]) -> None:
    environ = {f"RETRYD_RETRY{name}": text for name, text in variables.items()}
    for problem in outcome(lambda: load_variables(environ)):
        assert any(name in problem for name in environ)


def test_the_same_settings_are_equal() -> None:
    document = nested("retry.batch_size", 4)
    assert load_document(document) == load_document(document)
    assert load_document(document) != load_document({})
