"""`retryd policy`: it draws what would be decided, and capture goes by what it publishes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from retryd.cli.schedule import BAR, bar, duration, end_of, schedule_of, span
from retryd.domain.backoff import delay
from retryd.domain.policy import Policy
from tests.acceptance.commands import Shell
from tests.postgres import Connection, Database

OURS = {
    "mail": {"match": ["mail.*"], "max_retries": 7, "max_age_seconds": 90.5, "priority": 2},
    "sql_operation": {"max_retries": 4},
}


@pytest.fixture
def shell(database: Database, tmp_path: Path) -> Shell:
    """A shell whose commands have the rights of an operator."""
    separator = "&" if "?" in database.dsn else "?"
    return Shell(
        tmp_path, {"RETRYD_DATABASE_URL": f"{database.dsn}{separator}role=retryd_operator"}
    )


@pytest.fixture
def configured(shell: Shell) -> Shell:
    """A shell whose configuration has a policy of its own and changes a preset."""
    (shell.folder / "config.json").write_text(json.dumps({"retry": {"retry_policies": OURS}}))
    return Shell(shell.folder, {**shell.variables, "RETRYD_CONFIG": "config.json"})


def without_database(shell: Shell) -> Shell:
    """Return a shell with the same configuration that finds no database."""
    return Shell(shell.folder, {"RETRYD_CONFIG": "config.json"})


async def test_list_tells_budget_delays_and_origin_without_a_database(configured: Shell) -> None:
    bare = without_database(configured)
    rows = {row["name"]: row for row in (await bare("policy", "list", "--json")).document}
    assert {name: row["origin"] for name, row in rows.items()} == {
        "default": "preset",
        "sql_operation": "preset, changed in the configuration",
        "event_publish": "preset",
        "mail": "configuration",
    }
    assert (rows["mail"]["max_retries"], rows["mail"]["match"]) == (7, ["mail.*"])
    told = await bare("policy", "list")
    [line] = [line for line in told.out.splitlines() if line.startswith("mail")]
    for words in ("mail.*", "exponential from 2 s by 2 up to 60 s", "90.5 s", "configuration"):
        assert words in line


async def test_preview_draws_each_attempt_up_to_the_end_without_a_database(
    bare_shell: Shell,
) -> None:
    ended = await bare_shell("policy", "preview", "default")
    assert (ended.status, ended.err) == (0, "")
    head, columns, *attempts, end = ended.out.splitlines()
    assert head == (
        "default: 3 attempts, exponential from 2 s by 2 up to 60 s, jitter ±25%, timeout 30 s"
    )
    assert columns.split() == [
        *("attempt", "delay", "due", "after", "least", "to", "greatest"),
    ]
    assert [line.split("  ")[-1] for line in attempts] == [
        "······████",
        "············████████",
        "························████████████████",
    ]
    assert [line.split() for line in attempts][1][:7] == ["2", "3", "-", "5", "s", "4.5", "-"]
    assert end.startswith("dead (exhausted) 10.5 - 17.5 s after the capture")


async def test_preview_of_all_has_every_policy_and_an_unknown_one_names_the_near_one(
    bare_shell: Shell,
) -> None:
    found = (await bare_shell("policy", "preview", "--all", "--json")).document
    assert [each["policy"] for each in found] == ["default", "sql_operation", "event_publish"]
    assert [len(each["steps"]) for each in found] == [3, 3, 5]
    line = (await bare_shell("policy", "preview", "sql_operatoin")).refused(1)
    assert "did you mean sql_operation?" in line
    for arguments in ((), ("default", "--all")):
        line = (await bare_shell("policy", "preview", *arguments)).refused(2)
        assert "name one policy, or say --all" in line


@pytest.mark.parametrize(
    "policy",
    [
        Policy(backoff="linear", max_retries=20, jitter=0.5),
        Policy(backoff="fibonacci", max_retries=30, max_delay_seconds=3600),
        Policy(backoff="constant", jitter_mode="full", max_retries=2),
        Policy(backoff="decorrelated", max_retries=9),
        Policy(backoff="schedule", schedule_seconds=(1, 60), jitter_mode="equal"),
        Policy(backoff_multiplier=1e300, max_retries=1000, jitter_mode="none"),
        Policy(retry_on=("TimeoutError",), give_up_on=("*",)),
    ],
    ids=str,
)
def test_the_steps_are_the_delays_of_the_domain_and_add_up(policy: Policy) -> None:
    drawn = schedule_of(policy)
    low = high = 0.0
    for number, step in enumerate(drawn.steps, start=1):
        assert step.attempt == number
        assert (step.delay_low, step.delay_high) == (
            delay(policy, number, 0.0),
            delay(policy, number, 1.0),
        )
        low, high = low + step.delay_low, high + step.delay_high
        assert (step.due_low, step.due_high) == pytest.approx((low, high))
    assert number == policy.max_retries
    assert (drawn.gives_up_low, drawn.gives_up_high) == pytest.approx((low, high))
    assert drawn.reason == "exhausted"


@pytest.mark.parametrize(
    ("max_age", "attempts", "ends", "reason"),
    [
        (100.0, 3, (10.5, 17.5), "exhausted"),
        (12.0, 3, (10.5, 12.0), "exhausted or expired"),
        (8.0, 2, (8.0, 8.0), "expired"),
        (1.0, 0, (1.0, 1.0), "expired"),
    ],
)
def test_a_retry_that_gets_too_old_makes_no_further_attempt(
    max_age: float, attempts: int, ends: tuple[float, float], reason: str
) -> None:
    drawn = schedule_of(Policy(max_age_seconds=max_age))
    assert len(drawn.steps) == attempts
    assert (drawn.gives_up_low, drawn.gives_up_high) == ends
    assert drawn.reason == reason
    assert f"dead ({reason}) {span(*ends)} after the capture" in end_of(drawn)


async def test_a_policy_that_gives_up_before_its_first_attempt_is_drawn_too(
    configured: Shell,
) -> None:
    policies = {"hasty": {"max_age_seconds": 1, "initial_delay_seconds": 60}}
    (configured.folder / "config.json").write_text(
        json.dumps({"retry": {"retry_policies": policies}})
    )
    ended = await without_database(configured)("policy", "preview", "hasty")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines()[-1] == "dead (expired) 1 s after the capture"


def test_a_million_attempts_are_neither_computed_nor_drawn() -> None:
    drawn = schedule_of(Policy(max_retries=1_000_000))
    assert (len(drawn.steps), drawn.gives_up_high) == (1000, None)
    assert "more than" in end_of(drawn)
    aged = schedule_of(Policy(max_retries=1_000_000, max_age_seconds=60))
    assert (aged.gives_up_low, aged.gives_up_high, aged.reason) == (60, 60, "expired")


def test_a_bar_spans_the_band_and_is_seen_however_short_it_is() -> None:
    assert bar(0, 10, 10) == "█" * BAR
    assert bar(5, 10, 10) == "·" * (BAR // 2) + "█" * (BAR // 2)
    assert bar(10, 10, 10) == "·" * (BAR - 1) + "█"
    assert bar(0.001, 0.001, 10) == "█"
    assert bar(0, 0, 0) == "█"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (0.25, "0.25 s"), (90, "90 s"), (120, "2 min"), (9000, "2.5 h"), (1e6, "11.6 d")],
)
def test_a_duration_has_the_unit_that_it_fills_twice(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_span_names_its_unit_once() -> None:
    assert span(1.5, 2.5) == "1.5 - 2.5 s"
    assert span(90, 150) == "90 s - 2.5 min"
    assert span(3, 3) == "3 s"


async def test_apply_tells_what_is_new_changed_and_the_same_and_capture_goes_by_it(
    configured: Shell, connection: Connection
) -> None:
    def changes(document: dict[str, Any]) -> dict[str, str]:
        return {each["name"]: each["change"] for each in document["policies"]}

    await connection.execute(
        "select retryd.publish_policies($1::text::jsonb)",
        '[{"name": "former", "max_retries": 1, "first_delay_low": 1, "first_delay_high": 2}]',
    )
    before = await connection.fetch("select * from retryd.policies order by name")
    dry = (await configured("policy", "apply", "--dry-run", "--json")).document
    assert dry["applied"] is False
    expected = {
        "default": "same",
        "event_publish": "same",
        "former": "kept",
        "mail": "new",
        "sql_operation": "changed",
    }
    assert changes(dry) == expected
    assert await connection.fetch("select * from retryd.policies order by name") == before

    told = await configured("policy", "apply")
    assert (told.status, told.err) == (0, "")
    lines = {line.split()[0]: line for line in told.out.splitlines()}
    assert lines["sql_operation"].endswith("max_retries 3 → 4")
    assert lines["former"].endswith("not in this configuration")
    number = await connection.fetchval("select retryd.capture_failure('mail.send.failed')")
    row = await connection.fetchrow(
        "select policy, max_retries, priority from retryd.retries where id = $1", number
    )
    assert row is not None
    assert tuple(row) == ("mail", 7, 2)

    again = (await configured("policy", "apply", "--json")).document
    assert again["applied"] is True
    assert changes(again) == expected | {"mail": "same", "sql_operation": "same"}
