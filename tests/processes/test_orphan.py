"""A child whose parent is gone before it has begun."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from pathlib import Path

from retryd.processes.messages import Welcome


async def test_a_child_whose_parent_is_gone_before_it_began_ends_with_one_line(
    tmp_path: Path,
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(Welcome(0, tmp_path / "cleaned-up", 5.0).line())
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "retryd", "run", "--child", str(theirs.fileno())),
            pass_fds=[theirs.fileno()],
            cwd=tmp_path,
            env={
                **os.environ,
                "RETRYD_DATABASE_URL": "postgresql://127.0.0.1:1/nowhere",
                "RETRYD_LOG__LEVEL": "error",
            },
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
    [line] = said.splitlines()
    assert (process.returncode, json.loads(line)["event"]) == (1, "parent_gone")
