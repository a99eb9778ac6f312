from __future__ import annotations

import pickle

import pytest

from retryd.domain.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    NotFound,
    PayloadUndecodable,
    Refused,
    RetrydError,
    SchemaOutdated,
    TransactionAborted,
)

ERRORS = [
    ConfigurationError(["jitter is 2", "timeout is 0"]),
    Refused("event_type is empty", "RT400"),
    NotFound("no retry 7"),
    PayloadUndecodable("retry 7: no JSON", 7),
    TransactionAborted(),
    DatabaseUnavailable("connection refused"),
    SchemaOutdated("revision 0001 is found, 0002 is needed: run `retryd migrate`"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_belongs_to_the_tree_and_survives_the_way_between_processes(
    error: RetrydError,
) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - its own pickle
    assert isinstance(copy, RetrydError)
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_an_error_without_a_message_says_its_docstring() -> None:
    assert "roll back" in str(TransactionAborted())
    assert str(DatabaseUnavailable("gone")) == "gone"


def test_a_configuration_error_tells_all_problems_in_one_line() -> None:
    assert str(ConfigurationError(["a is 1", "b is 2"])) == "a is 1; b is 2"
    assert ConfigurationError("a is 1").problems == ("a is 1",)


def test_what_is_not_found_is_refused_as_unknown() -> None:
    with pytest.raises(Refused) as caught:
        raise NotFound("no retry 7")
    assert caught.value.sqlstate == "RT404"
