from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retryd.domain.policy import PRESETS, Policy
from retryd.settings.policies import PolicySettings
from tests.unit.settings.loading import (
    MODEL,
    load_document,
    load_variables,
    problem_of,
    problems_of,
)

HANDLER = {"match": ["invoice.*"], "kind": "python", "target": "billing:send"}
FIELDS = {field.name for field in fields(Policy)} - {"name"}


def policies(given: dict[str, Any], **retry: Any) -> dict[str, Policy]:
    return load_document({"retry": {"retry_policies": given, **retry}}).policies()


def test_a_policy_has_the_keys_and_defaults_of_the_domain() -> None:
    assert PolicySettings().model_dump() == {
        field: value for field, value in asdict(Policy()).items() if field in FIELDS
    }


def test_without_configuration_there_are_the_presets() -> None:
    assert MODEL().policies() == {preset.name: preset for preset in PRESETS}


def test_given_keys_lie_over_the_preset_of_the_name() -> None:
    found = policies({"sql_operation": {"jitter": 0}, "event_publish": {"match": ["chat.*"]}})
    assert found["sql_operation"] == Policy(
        "sql_operation", match=("sql.*",), timeout_seconds=15, jitter=0
    )
    assert found["event_publish"] == Policy("event_publish", match=("chat.*",), max_retries=5)


def test_a_new_policy_matches_nothing_by_itself() -> None:
    assert policies({"email": {"max_retries": 7}})["email"] == Policy("email", max_retries=7)


def test_the_defaults_of_the_block_fill_what_neither_policy_nor_preset_says() -> None:
    found = policies(
        {"email": {"max_retries": 2}, "default": {"timeout_seconds": 1}},
        default_max_retries=9,
        default_timeout_seconds=8.5,
        max_lost_attempts=4,
    )
    said = {
        name: (policy.max_retries, policy.timeout_seconds, policy.max_lost_attempts)
        for name, policy in found.items()
    }
    assert said == {
        "default": (9, 1, 4),
        "sql_operation": (9, 15, 4),
        "event_publish": (5, 8.5, 4),
        "email": (2, 8.5, 4),
    }


def test_variables_may_give_a_policy() -> None:
    loaded = load_variables(
        {
            "RETRYD_RETRY__RETRY_POLICIES__EMAIL__BACKOFF": "schedule",
            "RETRYD_RETRY__RETRY_POLICIES__EMAIL__SCHEDULE_SECONDS": "[1, 2.5]",
            "RETRYD_RETRY__RETRY_POLICIES__EMAIL__MAX_AGE_SECONDS": "null",
        }
    )
    expected = Policy("email", backoff="schedule", schedule_seconds=(1, 2.5))
    assert loaded.policies()["email"] == expected


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ({"max_retries": 0}, ".max_retries is 0, allowed is 1 to 1000000"),
        ({"max_retries": 10**300}, ".max_retries is an enormous number, allowed is 1 to 1000000"),
        ({"max_retries": None}, ".max_retries is null, allowed is a whole number"),
        ({"initial_delay_seconds": -1}, ".initial_delay_seconds is -1.0, allowed is 0 to 31622400"),
        ({"schedule_seconds": [1, -1]}, ".schedule_seconds is -1.0, allowed is 0 to 31622400"),
        (
            {"schedule_seconds": 1},
            ".schedule_seconds is a number, allowed is a list, each a number",
        ),
        (
            {"backoff_multiplier": 0.5},
            ".backoff_multiplier is 0.5, allowed is 1 to 1.797693135e+308",
        ),
        ({"jitter": "0.5"}, ".jitter is '0.5', allowed is a number"),
        ({"jitter_mode": "half"}, ".jitter_mode is 'half', allowed is fraction, full, equal, none"),
        (
            {"backoff": True},
            ".backoff is true, allowed is exponential, linear, constant, fibonacci,",
        ),
        ({"backoff": "schedule"}, ".schedule_seconds is empty, allowed with backoff schedule is"),
        ({"priority": 42}, ".priority is 42, allowed is 0 to 9"),
        ({"match": ["a b"]}, ".match: pattern 'a b' has other characters"),
        ({"give_up_on": [""]}, ".give_up_on has '', allowed is 1 to 255 characters"),
        ({"give_up_on": [404]}, ".give_up_on.0 is 404, allowed is text"),
        (
            {"max_retires": 1},
            ".max_retires is unknown, did you mean retry.retry_policies.p.max_ret",
        ),
        (7, " is a number, allowed is an object"),
    ],
)
def test_what_the_domain_refuses_is_told_by_its_key(policy: object, told: str) -> None:
    problem = problem_of({"retry": {"retry_policies": {"p": policy}}})
    assert problem.startswith(f"retry.retry_policies.p{told}")


def test_a_policy_has_a_name() -> None:
    problem = problem_of({"retry": {"retry_policies": {"": {}}}})
    assert problem == "retry.retry_policies.'' is empty, give a name of 1 to 255 bytes"


def test_a_handler_names_a_policy_that_is_there() -> None:
    document = {
        "retry": {"retry_policies": {"email": {}}},
        "handlers": {
            "a": HANDLER | {"policy": "email"},
            "b": HANDLER | {"policy": "sql_operation"},
            "c": HANDLER | {"policy": "emial"},
            "d": HANDLER | {"policy": "quite different"},
        },
    }
    known = "default, email, event_publish, sql_operation"
    assert problems_of(document) == [
        "handlers.c.policy is 'emial', which is no policy, did you mean email?",
        f"handlers.d.policy is 'quite different', which is no policy, known are {known}",
    ]


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "max_retries": st.integers(1, 1_000_000),
            "backoff": st.sampled_from(["exponential", "linear", "fibonacci"]),
            "initial_delay_seconds": st.floats(0, 1000),
            "jitter": st.floats(0, 1),
            "priority": st.none() | st.integers(0, 9),
            "retry_on": st.lists(st.sampled_from(["ValueError", "*Timeout"]), max_size=3),
        },
    )
)
def test_what_is_given_is_what_the_policy_says(said: dict[str, Any]) -> None:
    found = asdict(policies({"p": said})["p"])
    for field in FIELDS:
        expected = said.get(field, asdict(Policy())[field])
        assert found[field] == (tuple(expected) if isinstance(expected, list) else expected)
