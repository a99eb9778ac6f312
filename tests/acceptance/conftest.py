"""What the tests of the command line ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.commands import Shell
from tests.postgres import Database


@pytest.fixture
def shell(database: Database, tmp_path: Path) -> Shell:
    """A shell in an empty folder, whose commands find the database."""
    return Shell(tmp_path, {"RETRYD_DATABASE_URL": database.dsn})


@pytest.fixture
def bare_shell(tmp_path: Path) -> Shell:
    """A shell in an empty folder, whose commands find no database."""
    return Shell(tmp_path)
