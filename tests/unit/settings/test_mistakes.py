"""One deliberate mistake at a time, in every block: the message names the key and the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from retryd.compose import open_handlers
from retryd.domain.errors import ConfigurationError
from retryd.handlers.threads import Threads
from tests.unit.settings.loading import REAL, load_document, load_text, nested

PYTHON = {"kind": "python", "match": ["a.*"], "target": "json:dumps"}
ISOLATED = PYTHON | {"isolation": "process"}
COMMAND = {"kind": "command", "match": ["a.*"], "argv": ["true"]}
HTTP = {"kind": "http", "match": ["a.*"], "url": "https://shop.example/retry"}
SQL = {"kind": "sql", "match": ["a.*"], "statement": "select shop.restock(:sku)"}


def without(handler: Mapping[str, object], key: str) -> dict[str, object]:
    return {name: value for name, value in handler.items() if name != key}


# The key that holds the mistake, what stands there, the key that is told and the remedy.
MISTAKES: dict[str, list[tuple[str, Any, str, str]]] = {
    "top level": [
        ("retry", 3, "retry", "allowed is an object"),
        ("retrys", {}, "retrys", "did you mean retry?"),
        ("batch_size", 1, "batch_size", "did you mean retry.batch_size?"),
        ("nonsense", 1, "nonsense", "known are database, retry, handlers, capture_patterns, http"),
    ],
    "database": [
        ("database.url", 5, "database.url", "allowed is text, env:NAME or file:/path"),
        ("database.url", "mysql://h", "database.url", "give postgresql://user:password@host:port"),
        ("database.url", "env:NOWHERE", "database.url", "put the secret there"),
        ("database.pool_size", 0, "database.pool_size", "1 to 1000"),
        ("database.embedded_", True, "database.embedded_", "did you mean database.embedded?"),
        ("database.host", "h", "database.host", "known are url, listen_url, pool_size"),
        ("database.pgbouncer", "yes", "database.pgbouncer", "allowed is auto, true, false"),
    ],
    "retry": [
        ("retry.worker_count", "3", "retry.worker_count", "a whole number, 1 to 1000"),
        ("retry.lease_seconds", 0, "retry.lease_seconds", "a number, 1 to 86400"),
        ("retry.workercount", 3, "retry.workercount", "did you mean retry.worker_count?"),
        ("retry.speed", 3, "retry.speed", "known are enabled, poll_interval_seconds"),
    ],
    "retention": [
        ("retry.retention", 7, "retry.retention", "allowed is an object"),
        ("retry.retention.attempts_days", "7", "retry.retention.attempts_days", "a number, 0.001"),
        ("retry.retention.attempts_days", 0, "retry.retention.attempts_days", "0.001 to 36500"),
        (
            *("retry.retention.dead_leter_days", 9, "retry.retention.dead_leter_days"),
            "did you mean retry.retention.dead_letter_days?",
        ),
        ("retry.retention.days", 9, "retry.retention.days", "known are completed_days, attempts"),
    ],
    "retry_policies": [
        ("retry.retry_policies.p", 7, "retry.retry_policies.p", "allowed is an object"),
        ("retry.retry_policies.p.jitter", "a", "retry.retry_policies.p.jitter", "a number, 0 to 1"),
        ("retry.retry_policies.p.jitter", 2, "retry.retry_policies.p.jitter", "0 to 1"),
        (
            *("retry.retry_policies.p.max_retires", 2, "retry.retry_policies.p.max_retires"),
            "did you mean retry.retry_policies.p.max_retries?",
        ),
        ("retry.retry_policies.p.tries", 2, "retry.retry_policies.p.tries", "known are match, max"),
        (
            *("retry.retry_policies.p.backoff", "schedule"),
            *("retry.retry_policies.p.schedule_seconds", "one delay or more"),
        ),
    ],
    "a python handler": [
        ("handlers.h", PYTHON | {"target": 5}, "handlers.h.target", "allowed is text"),
        ("handlers.h", PYTHON | {"target": "json"}, "handlers.h.target", "give module:function"),
        ("handlers.h", ISOLATED | {"memory_mb": 1}, "handlers.h.memory_mb", "64 to 1048576"),
        ("handlers.h", PYTHON | {"argv": []}, "handlers.h.argv", "known are kind, match, policy"),
        (
            "handlers.h",
            PYTHON | {"targets": ""},
            "handlers.h.targets",
            "did you mean handlers.h.target",
        ),
        ("handlers.h", without(PYTHON, "target"), "handlers.h.target", "give text: The function"),
        ("handlers.h", without(PYTHON, "match"), "handlers.h.match", "Patterns of the operations"),
        ("handlers.h", without(PYTHON, "kind"), "handlers.h.kind", "give python, command"),
        ("handlers.h", PYTHON | {"kind": "grpc"}, "handlers.h.kind", "allowed is python, command"),
        ("handlers.h", PYTHON | {"match": []}, "handlers.h.match", "give one pattern or more"),
        ("handlers.h", PYTHON | {"memory_mb": 64}, "handlers.h.memory_mb", 'isolation "process"'),
        (
            "handlers.h",
            PYTHON | {"policy": "defaults"},
            "handlers.h.policy",
            "did you mean default?",
        ),
        ("handlers.h", PYTHON | {"target": "no:no"}, "handlers.h.target", "No module named 'no'"),
        ("handlers.h", PYTHON | {"target": "json:no"}, "handlers.h.target", "no attribute 'no'"),
        ("handlers.h", ISOLATED | {"target": "no:no"}, "handlers.h.target", "No module named 'no'"),
    ],
    "a command handler": [
        ("handlers.h", COMMAND | {"argv": "true"}, "handlers.h.argv", "a list, each text"),
        ("handlers.h", COMMAND | {"argv": []}, "handlers.h.argv", 'such as ["./rerun-report"]'),
        ("handlers.h", COMMAND | {"kill_after_seconds": 60}, "handlers.h.kill_after", "0 to 20"),
        ("handlers.h", COMMAND | {"target": "a:b"}, "handlers.h.target", "known are kind, match"),
        ("handlers.h", COMMAND | {"arg": []}, "handlers.h.arg", "did you mean handlers.h.argv?"),
        ("handlers.h", without(COMMAND, "argv"), "handlers.h.argv", "The program, on the PATH"),
        ("handlers.h", COMMAND | {"env": {"A=": "x"}}, "handlers.h.env.A=", "has no ="),
        (
            "handlers.h",
            COMMAND | {"env": {"A": "env:B"}},
            "handlers.h.env.A",
            "put the secret there",
        ),
        ("handlers.h", COMMAND | {"argv": ["no-such"]}, "handlers.h.argv", "on the PATH"),
        (
            "handlers.h",
            COMMAND | {"argv": ["./no"]},
            "handlers.h.argv",
            "there is no program './no'",
        ),
        ("handlers.h", COMMAND | {"cwd": "/no/such"}, "handlers.h.cwd", "is no directory"),
    ],
    "an http handler": [
        ("handlers.h", without(HTTP, "url"), "handlers.h.url", "give text, env:NAME"),
        ("handlers.h", HTTP | {"url": "shop.example"}, "handlers.h.url", "such as https://"),
        ("handlers.h", HTTP | {"url": "ftp://shop.example"}, "handlers.h.url", "such as https://"),
        ("handlers.h", HTTP | {"url": "http://h:x/"}, "handlers.h.url", "such as https://"),
        ("handlers.h", HTTP | {"url": "http://u:p@h/"}, "handlers.h.url", "give them in headers"),
        ("handlers.h", HTTP | {"url": "http://{h}/"}, "handlers.h.url", "allowed is the path"),
        ("handlers.h", HTTP | {"url": "http://h/#a"}, "handlers.h.url", "leave out #"),
        ("handlers.h", HTTP | {"url": "http://h/{id}"}, "handlers.h.url", "does not declare"),
        ("handlers.h", HTTP | {"fields": {"id": "/id"}}, "handlers.h.fields.id", "leave it out"),
        ("handlers.h", HTTP | {"fields": {"Id": "/id"}}, "handlers.h.fields.Id", "a-z 0-9 _"),
        ("handlers.h", HTTP | {"fields": {"id": "id"}}, "handlers.h.fields.id", "such as /user/id"),
        ("handlers.h", HTTP | {"content_mode": "json"}, "handlers.h.content_mode", "binary"),
        ("handlers.h", HTTP | {"headers": {"a b": "c"}}, "handlers.h.headers.a b", "letters"),
        ("handlers.h", HTTP | {"headers": {"Host": "c"}}, "handlers.h.headers.Host", "by retryd"),
        ("handlers.h", HTTP | {"headers": {"a": "b\n"}}, "handlers.h.headers.a", "no header may"),
        ("handlers.h", HTTP | {"signing_keys": ["k"]}, "handlers.h.signing_keys.0", "openssl rand"),
        ("handlers.h", HTTP | {"allow_cidrs": ["10.1.1.1/8"]}, "handlers.h.allow_cidrs.0", "/24"),
        ("handlers.h", HTTP | {"connections": 0}, "handlers.h.connections", "1 to 1000"),
        ("handlers.h", HTTP | {"uri": ""}, "handlers.h.uri", "did you mean handlers.h.url?"),
    ],
    "an sql handler": [
        ("handlers.h", without(SQL, "statement"), "handlers.h.statement", "One statement"),
        ("handlers.h", SQL | {"statement": " "}, "handlers.h.statement", "give one statement"),
        ("handlers.h", SQL | {"statement": "select $1"}, "handlers.h.statement", "such as :sku"),
        ("handlers.h", SQL | {"statement": "select :Id"}, "handlers.h.statement", "a-z 0-9 _"),
        ("handlers.h", SQL | {"fields": {"id": "/id"}}, "handlers.h.fields.id", "leave it out"),
        ("handlers.h", SQL | {"database": "mysql://h"}, "handlers.h.database", "give postgresql:"),
        ("handlers.h", SQL | {"inbox": "a; b"}, "handlers.h.inbox", "such as shop.retryd_inbox"),
        ("handlers.h", SQL | {"role": ""}, "handlers.h.role", "1 to 255"),
        ("handlers.h", SQL | {"connections": 0}, "handlers.h.connections", "1 to 1000"),
    ],
    "capture_patterns": [
        ("capture_patterns", "*.failed", "capture_patterns", "allowed is a list, each text"),
        ("capture_patterns", [5], "capture_patterns.0", "allowed is text"),
        ("capture_patterns", ["a b"], "capture_patterns.0", "A-Z a-z 0-9"),
        ("capture_patterns", ["*.*.*.*.*"], "capture_patterns.0", "use fewer"),
        ("capture_pattern", ["*"], "capture_pattern", "did you mean capture_patterns?"),
    ],
    "http": [
        ("http.port", "80", "http.port", "a whole number, 0 to 65535"),
        ("http.port", 65_536, "http.port", "0 to 65535"),
        ("http.prot", 80, "http.prot", "did you mean http.port?"),
        ("http.bind", "::", "http.bind", "known are host, port, tokens"),
        ("http.host", "", "http.host", "such as 127.0.0.1"),
        ("http.tokens", ["env:NOWHERE"], "http.tokens.0", "put the secret there"),
    ],
    "spool": [
        ("spool.directory", "", "spool.directory", "such as /var/lib/retryd/spool"),
        ("spool.max_bytes", "1G", "spool.max_bytes", "a whole number, 1 to"),
        ("spool.drain", "/srv/shop", "spool.drain", "allowed is a list"),
        ("spool.drain", [""], "spool.drain.0", "give a path"),
        ("spool.path", "x", "spool.path", "known are directory, max_bytes, drain"),
    ],
    "log": [
        ("log", "info", "log", "allowed is an object"),
        ("log.level", "INFO", "log.level", "allowed is debug, info, warning, error"),
        ("log.format", 5, "log.format", "allowed is auto, json, console"),
        ("log.levels", "info", "log.levels", "did you mean log.level?"),
        ("log.file", "x", "log.file", "known are format, level"),
    ],
}


@pytest.mark.parametrize(
    ("path", "value", "told", "remedy"),
    [mistake for block in MISTAKES.values() for mistake in block],
)
def test_a_mistake_is_told_by_its_key_with_the_remedy_and_the_file(
    path: str, value: object, told: str, remedy: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_handlers(load_document(nested(path, value), model=REAL), None, Threads())
    (problem,) = caught.value.problems
    assert problem.startswith(told)
    assert remedy in problem
    assert problem.endswith("config.json)")


def test_a_mistake_is_made_in_every_block_of_the_model() -> None:
    told = {path.partition(".")[0] for block in MISTAKES.values() for path, *_ in block}
    assert set(REAL.model_fields) <= told
    kinds = {value["kind"] for path, value, *_ in MISTAKES["a python handler"] if "kind" in value}
    assert "python" in kinds


def test_a_file_that_is_no_object_is_told_with_what_it_holds() -> None:
    with pytest.raises(ConfigurationError, match=r'must hold a JSON object, such as \{"retry"'):
        load_text("[]", model=REAL)


def test_what_pgbouncer_cannot_do_is_not_asked_of_it() -> None:
    document = {"database": {"pgbouncer": True}, "retry": {"listen_notify": True}}
    with pytest.raises(ConfigurationError) as caught:
        load_document(document)
    (problem,) = caught.value.problems
    assert problem.startswith("retry.listen_notify is true, but database.pgbouncer is too")
    assert "give database.listen_url" in problem
    document["database"]["listen_url"] = "postgresql://server"  # type: ignore[assignment]
    assert load_document(document).retry.listen_notify is True
