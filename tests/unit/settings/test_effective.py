"""What `retryd check --print-config` shows: values that count, where they come from, no secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from retryd.settings import find_database, load
from retryd.settings.database_url import masked_url
from retryd.settings.effective import effective, nested
from tests.unit.settings.loading import REAL, load_document

CANARY = "hunter2"


def shown(
    document: object = None, environ: dict[str, str] | None = None, **flags: Any
) -> dict[str, tuple[object, str]]:
    """Return value and origin of each setting, by its dotted path."""
    configuration = load_document(document or {}, environ or {}, REAL)
    choice = find_database(configuration, environ or {}, **flags) if environ or flags else None
    found = list(effective(configuration, choice))
    assert CANARY not in json.dumps([setting.value for setting in found])
    return {".".join(each.path): (each.value, each.origin.partition(" /")[0]) for each in found}


def test_each_value_comes_with_the_place_where_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"retry": {"batch_size": 7, "worker_count": 2}, "log": {"level": "error"}}')
    environ = {"RETRYD_RETRY__WORKER_COUNT": "8", "RETRYD_HTTP": '{"port": 1, "host": "::1"}'}
    environ["RETRYD_HTTP__PORT"] = "2"
    loaded = load(REAL, path=path, environ=environ, code={"log": {"format": "json"}})
    found = {".".join(each.path): (each.value, each.origin) for each in effective(loaded)}
    assert found["retry.batch_size"] == (7, f"file {path}")
    assert found["retry.worker_count"] == (8, "RETRYD_RETRY__WORKER_COUNT")
    assert found["retry.lease_seconds"] == (60, "default")
    assert found["http.port"] == (2, "RETRYD_HTTP__PORT")
    assert found["http.host"] == ("::1", "RETRYD_HTTP")
    assert found["log.level"] == ("error", f"file {path}")
    assert found["log.format"] == ("json", "given in code")


def test_every_key_is_shown_and_with_nothing_given_all_are_defaults() -> None:
    found = shown()
    assert {origin for _, origin in found.values()} == {"default"}
    made, dumped = nested(effective(REAL())), REAL().model_dump(mode="json")
    assert made["retry"].pop("retry_policies").keys() == REAL().policies().keys()
    del dumped["retry"]["retry_policies"]
    assert made == dumped
    assert found["handlers"] == ({}, "default")
    assert found["capture_patterns"] == (["*.failed", "*.error", "*.timeout"], "default")


def test_policies_are_shown_as_they_count() -> None:
    policies = {"mail": {"max_retries": 9}, "event_publish": {"timeout_seconds": 4}}
    block = {"default_timeout_seconds": 7, "retry_policies": policies}
    found = shown({"retry": block})
    prefix = "retry.retry_policies"
    assert found[f"{prefix}.mail.max_retries"] == (9, "file")
    assert found[f"{prefix}.mail.timeout_seconds"] == (7, "file")
    assert found[f"{prefix}.mail.jitter"] == (0.25, "default")
    assert found[f"{prefix}.event_publish.max_retries"] == (5, "default")
    assert found[f"{prefix}.event_publish.timeout_seconds"] == (4, "file")
    assert found[f"{prefix}.sql_operation.timeout_seconds"] == (15, "default")
    assert found[f"{prefix}.default.timeout_seconds"] == (7, "file")


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("RETRYD_HTTP__TOKENS", f'["env:TOKEN", "{CANARY}"]', ["env:TOKEN", "***"]),
        ("RETRYD_HTTP", f'{{"tokens": ["{CANARY}", "env:TOKEN"]}}', ["***", "env:TOKEN"]),
    ],
)
def test_tokens_are_masked_and_references_are_shown(
    variable: str, text: str, value: list[str]
) -> None:
    environ = {variable: text, "TOKEN": CANARY, "DATABASE_URL": "postgresql://db"}
    assert shown(environ=environ)["http.tokens"] == (value, variable)


def test_variables_of_handlers_are_masked(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(CANARY)
    env = {"PASSWORD": CANARY, "KEY": f"file:{tmp_path}/key", "DB": f"postgresql://u:a/{CANARY}@h"}
    handler = {"kind": "command", "match": ["a"], "argv": ["true"], "env": env}
    found = shown({"handlers": {"a": handler}})
    assert found["handlers.a.env.PASSWORD"] == ("***", "file")
    assert found["handlers.a.env.KEY"] == (f"file:{tmp_path}/key", "file")
    assert found["handlers.a.env.DB"] == ("***", "file")


SECRET_URL = f"postgresql://u:{CANARY}@h:5433/app?sslmode=require&password={CANARY}&{CANARY}"
MASKED_URL = "postgresql://u:***@h:5433/app?sslmode=require&password=***&***"


def test_the_database_is_the_chosen_one_with_the_way_that_led_to_it() -> None:
    block = {"database": {"url": SECRET_URL, "listen_url": SECRET_URL}}
    found = shown(block, {"HOME": "/"})
    assert found["database.url"] == (MASKED_URL, "file")
    assert found["database.listen_url"] == (MASKED_URL, "file")
    other = "postgresql://other"
    environ = {"RETRYD_DATABASE_URL": "env:DB", "DB": SECRET_URL}
    assert shown(block, environ)["database.url"] == ("env:DB", "RETRYD_DATABASE_URL")
    assert shown(block, flag_url=other)["database.url"] == (other, "--database-url")
    assert shown(environ={"PGHOST": "h"})["database.url"] == ("postgresql://", "PGHOST")
    assert shown(flag_embedded=True)["database.embedded"] == (True, "--embedded")


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://", "postgresql://"),
        ("postgresql://u@h/app", "postgresql://u@h/app"),
        ("postgresql://:pw@h", "postgresql://:***@h"),
        ("postgresql://u:p:w@a:1,b:2/app", "postgresql://u:***@a:1,b:2/app"),
        (
            "postgresql:///app?host=/run&sslpassword=pw",
            "postgresql:///app?host=/run&sslpassword=***",
        ),
    ],
)
def test_a_url_is_shown_without_what_is_secret_in_it(url: str, masked: str) -> None:
    assert masked_url(url) == masked
