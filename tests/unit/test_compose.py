"""What the composition root decides before anything is opened."""

from __future__ import annotations

from typing import Any

import pytest

import retryd
from retryd.compose import listening_at, load_configuration, open_handlers
from retryd.handlers.threads import Threads

DSN = "postgresql://here/retries"


def configured(**blocks: Any) -> Any:
    return load_configuration(None, {}, blocks)


def test_the_doorbell_listens_where_the_retries_are() -> None:
    assert listening_at(configured(), DSN, pooled=False) == DSN


def test_behind_pgbouncer_it_listens_only_at_an_address_of_its_own() -> None:
    assert listening_at(configured(), DSN, pooled=True) is None
    direct = "postgresql://direct/retries"
    both = configured(database={"listen_url": direct})
    assert listening_at(both, DSN, pooled=True) == direct


def test_it_does_not_listen_when_told_not_to() -> None:
    assert listening_at(configured(retry={"listen_notify": False}), DSN, pooled=False) is None


def test_a_policy_that_nobody_knows_is_named_with_those_there_are() -> None:
    app = retryd.App()
    app.handler("job.*", name="job", policy="patient")(print)
    with pytest.raises(retryd.ConfigurationError, match=r"'patient'.*default"):
        open_handlers(configured(), app, Threads())
