"""Plays `docs/sql.md` with the real psql: what the page shows is what psql prints."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.postgres import Connection, Database
from tests.psql import psql, trimmed
from tests.sql.doors import Doors

PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
TEXT = PAGE.read_text()
PLAY = re.compile(r"```sql\n(?P<input>.*?)```\n\n```text\n(?P<output>.*?)```", re.DOTALL)


def test_the_walk_through_prints_what_the_page_shows(database: Database) -> None:
    blocks = [(match["input"], match["output"]) for match in PLAY.finditer(TEXT)]
    assert len(blocks) >= 8
    script = "".join(f"{typed}\\echo\n\\echo -- next --\n" for typed, _ in blocks)
    done = subprocess.run(
        [psql(), "-X", "--set", "ON_ERROR_STOP=1", "--pset", "pager=off", database.dsn],
        input=script,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
    )
    assert done.stderr == ""
    printed = [trimmed(part) for part in done.stdout.split("-- next --\n")[:-1]]
    assert printed == [trimmed(shown) for _, shown in blocks]


async def test_the_page_names_every_function_of_the_contract_with_its_arguments(
    connection: Connection,
) -> None:
    rows = await connection.fetch(
        "select proname, proargnames[:pronargs] from pg_proc"
        " where pronamespace = 'retryd'::regnamespace and ("
        " has_function_privilege('retryd_producer', oid, 'execute')"
        " or has_function_privilege('retryd_operator', oid, 'execute')"
        " or has_function_privilege('retryd_worker', oid, 'execute'))"
    )
    for name, arguments in rows:
        called = re.search(rf"`{name}\((?P<given>[^`]*)\)`", TEXT)
        assert called, f"docs/sql.md does not tell {name}"
        given = re.findall(r"(?:^|, )\[?([a-z0-9_]+)", called["given"])
        assert given == list(arguments or [])


def test_the_page_names_every_view() -> None:
    views = {path.stem for path in (PAGE.parents[1] / "sql" / "views").glob("*.sql")}
    assert views <= set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE))


async def test_the_errors_of_the_page_are_those_of_the_functions(sql: Doors) -> None:
    sources = (PAGE.parents[1] / "sql" / "functions").glob("*.sql")
    raised = {state for path in sources for state in re.findall(r"'(RT\d+)'", path.read_text())}
    assert raised == set(re.findall(r"^\| `(RT\d+)` \|", TEXT, re.MULTILINE))
