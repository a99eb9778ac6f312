"""The application of the steady state, loaded by real workers: payloads tell the fate of a retry.

Every attempt is a line in `STEADY_NOTES`: id, life, what came of it, and the seconds from when it
was due to its start where that is known, else -1.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import retryd
from tests.steady.plan import FIRST_DELAY_SECONDS, HANDLERS, KEYED

SNOOZED_SECONDS = 0.5

app = retryd.App()
notes = (Path(os.environ["STEADY_NOTES"]) / str(os.getpid())).open("a", buffering=1)


async def run(retry: retryd.Retry) -> None:
    """End as the payload says; a second life always succeeds."""
    waited = time.time() - retry.payload["at"]
    fate = retry.payload["fate"] if retry.life == 1 else "ok"
    if fate == "snooze":
        fate = "ok" if waited > SNOOZED_SECONDS else "snooze"
    if fate == "twice":
        fate = "fail" if retry.attempt <= 2 else "ok"
    first = retry.attempt == 1 and retry.life == 1
    # What waits for others, or was put off, which gives the attempt back, was due later.
    prompt = first and retry.handler != KEYED and retry.payload["fate"] != "snooze"
    late = max(0.0, waited - FIRST_DELAY_SECONDS) if prompt else -1
    notes.write(f"{retry.id} {retry.life} {fate} {late:.4f}\n")
    match fate:
        case "snooze":
            raise retryd.Snooze(SNOOZED_SECONDS)
        case "fail":
            raise ConnectionError("as asked")
        case "reject":
            raise retryd.Reject("as asked")


for name in HANDLERS:
    app.handler(f"{name}.*", name=name)(run)
