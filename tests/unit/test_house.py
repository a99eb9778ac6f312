"""What the house promises as a whole: light to import, pages that say what the code says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import retryd
from retryd.domain.life import mermaid

ROOT = Path(__file__).parents[2]
HEAVY = {
    *("asyncpg", "psycopg", "sqlalchemy", "alembic"),
    *("pydantic", "prometheus_client", "typer", "rich"),
    *("fastapi", "starlette", "uvicorn"),
}


def test_importing_retryd_brings_no_driver_no_framework_and_no_metrics() -> None:
    program = "import json, sys, retryd; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", program]))
    assert HEAVY.isdisjoint(loaded)


def test_all_that_is_exported_exists_and_is_sorted() -> None:
    assert list(retryd.__all__) == sorted(retryd.__all__)
    assert all(hasattr(retryd, name) for name in retryd.__all__)


def test_the_page_about_the_life_shows_the_table_of_the_life() -> None:
    assert mermaid().strip() in (ROOT / "docs" / "life.md").read_text()


def test_every_promise_names_tests_that_exist() -> None:
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs" / "guarantees.md").read_text())
    sources = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    written = {name for text in sources for name in re.findall(r"def (test_\w+)", text)}
    assert named
    assert set(named) <= written
