"""What `retryd check` says of servers that are not at hand: old, new, standing by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from retryd.compose.database_checks import clock, reached, version
from retryd.settings import DatabaseChoice

URL = "postgresql://u:hunter2@h/app"


@pytest.mark.parametrize(
    ("major", "status", "told"),
    [
        (13, 1, "PostgreSQL 13.1 is too old: upgrade it to 14 to 18"),
        (14, 0, "PostgreSQL 14.1, of 14 to 18; no extension is needed"),
        (18, 0, "PostgreSQL 18.1, of 14 to 18; no extension is needed"),
        (19, 0, "PostgreSQL 19.1 is newer than what retryd is tested with, 14 to 18"),
    ],
)
def test_a_version_is_one_that_retryd_knows(major: int, status: int, told: str) -> None:
    finding = version({"version": f"{major}.1", "major": major})
    assert (finding.status, finding.detail) == (status, told)


def test_a_standby_is_no_database_to_work_with() -> None:
    choice = DatabaseChoice(SecretStr(URL), "DATABASE_URL")
    finding = reached({"database": "app", "standby": True, "read_only": True}, URL, choice)
    where = "app at postgresql://u:***@h/app (by DATABASE_URL)"
    assert finding.status == 1
    assert finding.detail.startswith(f"{where} is a standby: name the primary")


@pytest.mark.parametrize(("seconds", "status"), [(9, 0), (-9, 0), (13, 0), (17, 1), (-17, 1)])
def test_a_slow_answer_proves_no_wrong_clock(seconds: int, status: int) -> None:
    asked = datetime.now(UTC)
    answered = asked + timedelta(seconds=10)
    theirs = asked + timedelta(seconds=5 + seconds)
    assert clock(theirs, asked, answered).status == status
