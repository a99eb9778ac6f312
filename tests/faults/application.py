"""The application of the fault tests, loaded by real workers: payloads say what to do.

Every call is a line of JSON in `effects`: `start`, and `effect` once the work has taken effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import time

import retryd

app = retryd.App()
HERE = pathlib.Path(__file__).parent


def note(retry: retryd.Retry, what: str) -> None:
    """Append one line; a write as short as this is never torn by another process."""
    line = {
        "id": retry.id,
        "life": retry.life,
        "attempt": retry.attempt,
        "token": retry.claim_token,
        "pid": os.getpid(),
        "at": time.monotonic(),
        "what": what,
    }
    with (HERE / "effects").open("a") as effects:
        effects.write(json.dumps(line) + "\n")


async def appeared(path: pathlib.Path) -> None:
    """Wait for a file."""
    while not path.exists():
        await asyncio.sleep(0.02)


@app.handler("work.*")
async def work(retry: retryd.Retry) -> None:
    """Do what the payload asks, `until` a file of that name exists where it waits."""
    note(retry, "start")
    until = HERE / retry.payload.get("until", "go-on")
    match retry.payload.get("do", "ok"):
        case "hang":
            await appeared(until)
        case "nap":
            await asyncio.sleep(retry.payload["seconds"])
        case "deaf":
            while not until.exists():
                with contextlib.suppress(asyncio.CancelledError):
                    await appeared(until)
        case "block":
            while not until.exists():
                time.sleep(0.02)
        case "fail" if retry.attempt <= retry.payload["failures"]:
            raise ConnectionError("as asked")
        case "exit":
            os._exit(1)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
    note(retry, "effect")


@app.handler("plain.*")
def plain(retry: retryd.Retry) -> None:
    """Block a thread until the file exists."""
    note(retry, "start")
    while not (HERE / retry.payload.get("until", "go-on")).exists():
        time.sleep(0.02)
    note(retry, "effect")
