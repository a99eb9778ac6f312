"""`retryd demo`, as a newcomer plays it."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from tests.postgres import open_directory


@pytest.mark.timeout(180)
async def test_the_demo_plays_to_its_end_and_show_agrees_with_its_summary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open_directory() as home:
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("XDG_DATA_HOME", str(home))
        status, story = await retryd("demo")
        assert status == 0, story
        for word in ("rolled back", "kill -9", "dead letter", "replayed", "every retry is done"):
            assert word in story
        summary = re.findall(r"^(\d+) .* done +(\d+) +(\d+) +(\d+) ", story, re.MULTILINE)
        assert len(summary) == 5
        assert "exhausted" in story
        for retry_id, attempts, lost, lives in summary:
            status, shown = await retryd("show", retry_id, "--embedded", "--json")
            assert status == 0, shown
            for key, value in (("attempt", attempts), ("lost_attempts", lost), ("life", lives)):
                assert f'"{key}": {value}' in shown
            assert '"place": "done"' in shown


async def retryd(*arguments: str) -> tuple[int | None, str]:
    """Run a command; return its status and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "retryd", *arguments),
        cwd=Path(__file__).parent,
        env=dict(os.environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    return process.returncode, printed.decode()
