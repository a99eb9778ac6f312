"""Servers of their own for the tests of the embedded PostgreSQL."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from retryd.embedded import EmbeddedPostgres
from tests.postgres import FAST, open_directory


@pytest.fixture
def new_directory() -> Iterator[Path]:
    """A directory for one server, which its first start makes."""
    with open_directory() as folder:
        yield folder / "postgres"


@pytest.fixture(scope="session")
def stopped_server(session_runner: asyncio.Runner) -> Iterator[Path]:
    """A directory whose server has run once."""
    with open_directory() as folder:
        server = EmbeddedPostgres(folder / "postgres", FAST)
        session_runner.run(server.start())
        session_runner.run(server.stop())
        (folder / "postgres" / "port").unlink()  # it may be another one's by now
        yield folder / "postgres"


@pytest.fixture
def directory(stopped_server: Path, new_directory: Path) -> Path:
    """A directory with data, as its last server left it; owners are kept."""
    subprocess.run(("cp", "-a", stopped_server, new_directory), check=True)
    return new_directory
