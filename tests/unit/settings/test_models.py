from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pydantic
import pytest

from retryd.settings import Block, configuration_model
from retryd.settings.policies import PolicySettings
from tests.unit.settings.loading import (
    MODEL,
    REAL,
    TWO_KINDS,
    HookSettings,
    PythonSettings,
    load_document,
    load_variables,
    nested,
    problem_of,
    problems_of,
)

CHOSEN = (".env", ".headers", ".fields")
"""Where the keys are names that users choose."""
EXAMPLE = Path(__file__).parents[3] / "config.example.json"
HANDLER = {"match": ["invoice.*"], "kind": "python", "target": "billing:send"}
DAYS = "a number, 0.001 to 36500"
AT_ONCE = "a whole number, 1 to 1000"


def test_with_nothing_given_the_defaults_hold() -> None:
    assert load_variables({}) == MODEL()
    retry = MODEL().retry
    assert (retry.enabled, retry.poll_interval_seconds, retry.batch_size) == (True, 5, 10)
    assert (retry.worker_count, retry.lease_seconds, retry.max_lost_attempts) == (3, 60, 3)
    assert MODEL().capture_patterns == ("*.failed", "*.error", "*.timeout")


def test_the_retry_block_of_an_older_system_works_as_it_is() -> None:
    block = {
        "enabled": True,
        "poll_interval_seconds": 5,
        "batch_size": 10,
        "worker_count": 3,
        "default_max_retries": 3,
        "default_timeout_seconds": 30,
        "retry_policies": {
            "sql_operation": {
                "max_retries": 3,
                "initial_delay_seconds": 2,
                "max_delay_seconds": 60,
                "backoff_multiplier": 2.0,
                "timeout_seconds": 15,
            }
        },
    }
    assert load_document({"retry": block}).policies() == MODEL().policies()


def test_workers_drain_each_directory_that_is_named_once() -> None:
    assert MODEL().spool.directories == ()
    spool = {"directory": "/srv/spool", "drain": ["/srv/shop", "/srv/spool/", "/srv/shop"]}
    named = load_document({"spool": spool}).spool.directories
    assert named == (Path("/srv/spool"), Path("/srv/shop"))


def test_the_example_loads_and_differs_from_the_defaults_only_in_what_has_names() -> None:
    example = json.loads(EXAMPLE.read_text())
    loaded, defaults = load_document(example, model=REAL), REAL()
    assert loaded.handlers
    assert loaded.retry.retry_policies
    named = {"handlers": {}, "retry": loaded.retry.model_copy(update={"retry_policies": {}})}
    assert loaded.model_copy(update=named) == defaults


def test_the_example_has_every_key_of_every_policy_and_of_every_kind_of_handler() -> None:
    assert keys_of_model(REAL) | {"$schema"} == keys_of_document(json.loads(EXAMPLE.read_text()))


def keys_of_model(block: Any, path: str = "") -> set[str]:
    """Name each key by its dotted path, with `*` and the kind for the names that users choose."""
    keys = set()
    for key, field in block.model_fields.items():
        here = f"{path}{key}"
        keys.add(here)
        for below in blocks_in(field.annotation):
            kind = below.model_fields.get("kind")
            name = f".{kind.default}." if kind else ".*." if below is PolicySettings else "."
            keys |= keys_of_model(below, f"{here}{name}")
        if here.endswith(CHOSEN):
            keys.add(f"{here}.*")
    return keys


def blocks_in(annotation: Any) -> set[type[Block]]:
    """Find the classes of settings in a type."""
    if isinstance(annotation, type) and issubclass(annotation, Block):
        return {annotation}
    return {block for part in get_args(annotation) for block in blocks_in(part)}


def keys_of_document(document: Any, path: str = "") -> set[str]:
    keys = set()
    for key, value in document.items():
        match path:
            case "handlers.":
                here = f"{path}{value['kind']}"
            case _ if path == "retry.retry_policies." or path.endswith(
                tuple(f"{it}." for it in CHOSEN)
            ):
                here = f"{path}*"
            case _:
                here = f"{path}{key}"
        if path not in {"handlers.", "retry.retry_policies."}:
            keys.add(here)
        if isinstance(value, dict):
            keys |= keys_of_document(value, f"{here}.")
    return keys


def test_every_key_tells_what_it_is_for() -> None:
    schema = TWO_KINDS.model_json_schema()
    for name, block in schema["$defs"].items():
        for key, value in block["properties"].items():
            own = name in {"PythonSettings", "HookSettings"} and key in {
                *("kind", "target", "url", "codes")
            }
            assert own or value["description"].endswith(".")


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(pydantic.ValidationError):
        MODEL().retry.batch_size = 5


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("database", "postgresql://u:pw@h/d", "is text, allowed is an object"),
        ("database.pool_size", 0, f"is 0, allowed is {AT_ONCE}"),
        ("database.pgbouncer", "yes", "is 'yes', allowed is auto, true, false"),
        ("database.pgbouncer", 1, "is 1, allowed is auto, true, false"),
        ("database.embedded", "true", "is 'true', allowed is true, false"),
        ("database.url", 5, "is a number, allowed is text, env:NAME or file:/path or null"),
        ("database.url", "", "is empty, leave it out or give a secret, env:NAME or file:/path"),
        ("retry", None, "is null, allowed is an object"),
        ("retry", [], "is an empty list, allowed is an object"),
        ("retry.enabled", 1, "is 1, allowed is true, false"),
        ("retry.batch_size", 0, "is 0, allowed is a whole number, 1 to 10000"),
        ("retry.batch_size", 2.5, "is 2.5, allowed is a whole number, 1 to 10000"),
        ("retry.batch_size", "10", "is '10', allowed is a whole number, 1 to 10000"),
        ("retry.batch_size", {}, "is an object, allowed is a whole number, 1 to 10000"),
        ("retry.worker_count", True, f"is true, allowed is {AT_ONCE}"),
        ("retry.worker_count", -1, f"is -1, allowed is {AT_ONCE}"),
        ("retry.lease_seconds", 0.5, "is 0.5, allowed is a number, 1 to 86400"),
        ("retry.lease_seconds", 86_401, "is 86401, allowed is a number, 1 to 86400"),
        ("retry.lease_seconds", False, "is false, allowed is a number, 1 to 86400"),
        ("retry.poll_interval_seconds", 0, "is 0, allowed is a number, 0.01 to 86400"),
        ("retry.shutdown_timeout_seconds", -1, "is -1, allowed is a number, 0 to 86400"),
        ("retry.max_lost_attempts", 0, f"is 0, allowed is {AT_ONCE}"),
        ("retry.default_max_retries", 0, "is 0, allowed is a whole number, 1 to 1000000"),
        ("retry.default_timeout_seconds", 0, "is 0, allowed is a number, 0.001 to 31622400"),
        ("retry.listen_notify", None, "is null, allowed is auto, true, false"),
        ("retry.retention.dead_letter_days", 0, f"is 0, allowed is {DAYS}"),
        ("retry.retry_policies", [1], "is a list, allowed is an object"),
        ("capture_patterns", "*.failed", "is text, allowed is a list, each text"),
        ("http.port", 65_536, "is 65536, allowed is a whole number, 0 to 65535"),
        ("http.tokens", "secret", "is text, allowed is a list, each text, env:NAME or file:/path"),
        ("spool.directory", "", "is no directory, give a path, such as /var/lib/retryd/spool"),
        ("spool.directory", 5, "is 5, allowed is text or null"),
        ("spool.max_bytes", 0, "is 0, allowed is a whole number, 1 to 1099511627776"),
        ("spool.drain", "/srv/shop", "is text, allowed is a list, each text"),
        ("log.level", "INFO", "is 'INFO', allowed is debug, info, warning, error"),
        ("log.level", "x" * 99, f"is '{'x' * 59}…, allowed is debug, info, warning, error"),
        ("log.format", None, "is null, allowed is auto, json, console"),
    ],
)
def test_a_refused_value_is_told_with_what_is_allowed(key: str, value: object, told: str) -> None:
    assert problem_of(nested(key, value)) == f"{key} {told}"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (
            {"capture_patterns": ["*.failed", "a b"]},
            "capture_patterns.1: pattern 'a b' has other characters",
        ),
        ({"http": {"host": "a b"}}, "http.host is 'a b', allowed is a name or an address"),
        ({"http": {"tokens": ["a b"]}}, "http.tokens.0 has other characters than a bearer token"),
        ({"http": {"tokens": [7]}}, "http.tokens.0 is a number, allowed is text, env:NAME"),
        ({"spool": {"drain": ["/srv/a", "b\0c"]}}, "spool.drain.1 is no directory, give a path"),
        ({"database": {"url": "mysql://h/d"}}, "database.url is no PostgreSQL URL, give postgres"),
        ({"database": {"listen_url": "h"}}, "database.listen_url is no PostgreSQL URL, give post"),
    ],
)
def test_text_of_the_wrong_form_is_told_with_the_form(document: object, told: str) -> None:
    assert problem_of(document).startswith(told)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"retry": {"batchsize": 1}}, "retry.batchsize is unknown, did you mean retry.batch_size?"),
        ({"retries": {}}, "retries is unknown, did you mean retry?"),
        ({"worker_count": 1}, "worker_count is unknown, did you mean retry.worker_count?"),
        ({"database_url": ""}, "database_url is unknown, did you mean database.url?"),
        (
            {"retry": {"retention": {"days": 1}}},
            "retry.retention.days is unknown, known are completed_days, attempts_days, dead_letter",
        ),
        (
            {"": 1},
            "'' is unknown, known are database, retry, handlers, capture_patterns, http, spool",
        ),
        ({"a\nb": 1}, "'a\\nb' is unknown, known are database, "),
    ],
)
def test_an_unknown_key_is_told_with_the_closest_or_all_known(document: object, told: str) -> None:
    assert problem_of(document).startswith(told)


@pytest.mark.parametrize("block", ["dependencies", "buses", "sources"])
def test_a_block_that_does_not_exist_is_refused_even_when_it_is_empty(block: str) -> None:
    known = "database, retry, handlers, capture_patterns, http, spool, log"
    assert problem_of({block: {}}) == f"{block} is unknown, known are {known}"


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        (5, " is a number, allowed is an object"),
        ({}, ".kind is missing, give python, hook"),
        (HANDLER | {"kind": "http"}, ".kind is 'http', allowed is python, hook"),
        (HANDLER | {"kind": 3}, ".kind is 3, allowed is python, hook"),
        (HANDLER | {"match": []}, ".match is an empty list, give one pattern or more, such as inv"),
        (HANDLER | {"match": "invoice.*"}, ".match is text, allowed is a list, each text"),
        (HANDLER | {"match": ["*****"]}, ".match.0: pattern '*****' has more than 4 times `*`"),
        (HANDLER | {"policy": ""}, ".policy is empty, give a name of 1 to 255 bytes"),
        (
            HANDLER | {"dependency": "x" * 256},
            ".dependency: the name is too long: give at most 255",
        ),
        (HANDLER | {"url": "x"}, ".url is unknown, known are kind, match, policy, dependency, tar"),
        (
            HANDLER | {"tarket": "x"},
            ".tarket is unknown, did you mean handlers.mail.target?",
        ),
        ({"kind": "python", "match": ["a"]}, ".target is missing, give text"),
        ({"kind": "hook", "match": ["a"]}, ".url is missing, give text, env:NAME or file:/path"),
        (
            {"kind": "hook", "match": ["a"], "url": "x", "codes": [True]},
            ".codes.0 is true, allowed is a whole number",
        ),
    ],
)
def test_a_handler_is_refused_in_the_words_of_its_kind(handler: object, told: str) -> None:
    (problem,) = problems_of({"handlers": {"mail": handler}}, model=TWO_KINDS)
    assert problem.startswith(f"handlers.mail{told}")


@pytest.mark.parametrize("name", ["", "-mail", "a b", "x" * 201, "größe"])
def test_a_handler_s_name_has_its_form(name: str) -> None:
    told = "a handler's name has 1 to 200 letters, digits and _ . : - and begins with a letter"
    assert told in problem_of({"handlers": {name: HANDLER}})


def test_each_handler_has_the_class_of_its_kind() -> None:
    hook = {"match": ["a.*"], "kind": "hook", "url": "https://hook.example", "codes": [410]}
    loaded = load_document({"handlers": {"mail": HANDLER, "hook": hook}}, model=TWO_KINDS)
    assert loaded.handlers["mail"] == PythonSettings(match=("invoice.*",), target="billing:send")
    assert isinstance(loaded.handlers["hook"], HookSettings)
    assert loaded.handlers["hook"].codes == (410,)


def test_a_model_takes_handlers_that_are_made_already() -> None:
    made = PythonSettings(match=("invoice.*",), target="billing:send")
    assert MODEL.model_validate({"handlers": {"mail": made}}).handlers == {"mail": made}


def test_a_kind_may_refuse_with_its_own_words() -> None:
    class Picky(PythonSettings):
        @pydantic.field_validator("target")
        @classmethod
        def _refuse(cls, target: str) -> str:
            raise ValueError(f"{target} has no colon")

    document = {"handlers": {"mail": HANDLER | {"target": "billing"}}}
    (problem,) = problems_of(document, model=configuration_model(Picky))
    assert problem == "handlers.mail.target: billing has no colon"


def test_all_problems_are_told_at_once() -> None:
    document = {
        "database": {"pool_size": 0},
        "retry": {"batch_size": 0, "wurst": 1, "retry_policies": {"mail": {"jitter": 2, "x": 1}}},
        "handlers": {"mail": HANDLER | {"policy": "mailing"}, "hook": 3},
        "buses": {},
    }
    keys = {problem.partition(" ")[0] for problem in problems_of(document)}
    assert keys == {
        "database.pool_size",
        "retry.batch_size",
        "retry.wurst",
        "retry.retry_policies.mail.jitter",
        "retry.retry_policies.mail.x",
        "handlers.mail.policy",
        "handlers.hook",
        "buses",
    }
