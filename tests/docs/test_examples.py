"""Plays the pages of examples, command by command, each in a copy of its folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.played import ROOT, Reader
from tests.faults.server import quiet_port
from tests.postgres import Database


@pytest.mark.parametrize("example", ["webhook", "sql-operation", "publisher"])
async def test_a_reader_who_types_what_an_example_says_sees_what_it_shows(
    plain_database: Database, tmp_path: Path, example: str
) -> None:
    folder = tmp_path / example
    shutil.copytree(ROOT / "examples" / example, folder)
    page = folder / "README.md"
    text = page.read_text().replace(":8000/", f":{quiet_port()}/")
    page.write_text(text.replace("PORT=5333", f"PORT={quiet_port()}"))
    assert await Reader(folder, plain_database.dsn).play(str(page)) == 1
