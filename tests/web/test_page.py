"""docs/http.md: what it tells to type is typed, what it shows is answered."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

from tests.faults.programs import program
from tests.web.serving import TOKEN, Served

PAGE = Path(__file__).parents[2] / "docs" / "http.md"
ADDRESS = "http://127.0.0.1:7387"
SHOWN = re.compile(r"```sh\n(curl .*?)```\n\n```json\n(.*?)```", re.DOTALL)


async def test_what_the_page_tells_to_post_is_answered_as_it_shows(taking: Served) -> None:
    program("curl")
    shown = SHOWN.findall(PAGE.read_text())
    assert len(shown) == 3
    for typed, answer in shown:
        command = typed.replace(ADDRESS, str(taking.client.base_url).rstrip("/"))
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            command,
            env={**os.environ, "TOKEN": TOKEN},
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
        assert with_own_ids(json.loads(said)) == with_own_ids(json.loads(answer))


def with_own_ids(answer: dict[str, Any]) -> dict[str, Any]:
    """Take the numbers of retries for the reader's own; the title is as Python spells it."""
    answer.pop("title", None)
    for each in (answer, *answer.get("events", [])):
        if "ids" in each:
            each["ids"] = ["OWN" for id in each["ids"] if id.isdecimal()]
    return answer
