"""Plays `docs/python.md`: each example runs, each claim that it makes holds."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path
from typing import Any, get_type_hints

import retryd
from retryd import testing
from retryd.client.event import Details
from tests.client.callers import url_of
from tests.postgres import Connection, Database

TEXT = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


async def test_the_examples_do_what_the_page_says(
    database: Database, connection: Connection
) -> None:
    assert len(EXAMPLES) >= 8
    names: dict[str, Any] = {
        "url": database.dsn,
        "sqlalchemy_url": url_of(database.dsn, "psycopg"),
    }
    for example in EXAMPLES:
        code = compile(
            f"from __future__ import annotations\n{example}",
            "docs/python.md",
            "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        )
        said = eval(code, names)  # noqa: S307 - the page is ours
        if inspect.isawaitable(said):
            await said
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) >= 3
    for test in tests:
        await (test() if inspect.iscoroutinefunction(test) else asyncio.to_thread(test))
    async with names["lifespan"](None):
        pass
    names["engine"].dispose()
    await names["connection"].close()
    rows = await connection.fetch("select event_type from retryd.failure_event order by id")
    assert [row[0] for row in rows] == [
        "invoice.email.failed",
        "invoice.print.failed",
        "stock.sync.failed",
        "stock.sync.failed",
        "invoice.email.failed",
        "invoice.remind.failed",
        "event.user.level_up.failed",
    ]


def test_the_page_names_every_argument_of_a_capture() -> None:
    told = set(re.findall(r"`(\w+)`", TEXT))
    assert set(get_type_hints(Details)) <= told


def test_the_page_names_what_there_is_for_tests() -> None:
    assert set(testing.__all__) <= set(re.findall(r"\w+", TEXT))
    assert {"capture", "capture_sync", "capture_many_sync"} <= set(retryd.__all__)
    fields = {"retry", "outcome", "decision", "succeeded", "next_delay", "buried"}
    assert fields <= set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE))
