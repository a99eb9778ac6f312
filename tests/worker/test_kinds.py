"""Each kind of handler in a real worker: from the claim to its end, done or dead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from retryd.domain.policy import Policy
from retryd.handlers import open_handler
from retryd.handlers.command import CommandHandlerSettings
from retryd.handlers.python import PythonHandlerSettings
from retryd.ports import Handler
from tests.unit.handlers.attempts import alive, gone, pids_in
from tests.waiting import until
from tests.worker.conftest import Bench

FUNCTIONS = """
import os, pathlib, signal, time
import retryd

here = pathlib.Path(__file__).parent


def work(retry):
    match retry.payload["do"]:
        case "fail":
            raise ConnectionError(f"attempt {retry.attempt} after {retry.last_error}")
        case "reject":
            raise retryd.Reject("never")
        case "fail once" if retry.attempt == 1:
            raise ConnectionError
        case "die":
            os._exit(3)
        case "hang":
            with (here / "pids").open("a") as pids:
                print(os.getpid(), file=pids)
            signal.pause()


async def work_on_a_loop(retry):
    if retry.payload["do"] == "hang":
        work(retry)  # on purpose: nothing on this loop can stop it
    return work(retry)
"""
SCRIPT = """
do=$(sed 's/.*"do": "\\([a-z ]*\\)".*/\\1/')
case "$do-$RETRY_ATTEMPT" in
    fail-*) echo "attempt $RETRY_ATTEMPT" >&2; exit 75 ;;
    reject-*) echo never >&2; exit 65 ;;
    "fail once-1") exit 1 ;;
    die-*) kill -9 $$ ;;
    hang-*) echo $$ >> pids; while :; do sleep 1000; done ;;
esac
"""


@pytest.fixture(params=["command", "isolated plain function", "isolated coroutine function"])
def handler(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Handler:
    """A handler of each kind that runs processes; all of them do the same."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    (tmp_path / "work").write_text(SCRIPT)
    settings: CommandHandlerSettings | PythonHandlerSettings
    if request.param == "command":
        settings = CommandHandlerSettings(match=("job.*",), argv=("sh", "work"), cwd=str(tmp_path))
    else:
        function = "work_on_a_loop" if "coroutine" in request.param else "work"
        settings = PythonHandlerSettings(
            match=("job.*",), target=f"functions:{function}", isolation="process"
        )
    return open_handler("job", settings)


async def capture(bench: Bench, do: str, **more: Any) -> int:
    return await bench.capture(payload={"do": do, **more})


async def test_what_works_is_done_and_what_can_never_work_is_dead(
    bench: Bench, handler: Handler
) -> None:
    fine = await capture(bench, "nothing", umlauts="ä" * 100_000)
    bad = await capture(bench, "reject")
    async with bench.serving([handler]):
        await bench.reached("done", fine)
        await bench.reached("dead", bad)
    assert await bench.outcomes(fine) == ["success"]
    dead = await bench.dead_letter(bad)
    assert (dead["reason"], dead["error_message"]) == ("rejected", "never")


async def test_what_fails_once_is_done_at_its_second_attempt(
    bench: Bench, handler: Handler
) -> None:
    retry_id = await capture(bench, "fail once")
    async with bench.serving([handler]):
        await bench.reached("done", retry_id)
    assert await bench.outcomes(retry_id) == ["failure", "success"]


async def test_what_always_fails_dies_exhausted_with_its_last_error(
    bench: Bench, handler: Handler
) -> None:
    retry_id = await capture(bench, "fail")
    async with bench.serving([handler]):
        await bench.reached("dead", retry_id)
    dead = await bench.dead_letter(retry_id)
    assert dead["reason"] == "exhausted"
    assert dead["error_type"] in {"ExitStatus75", "ConnectionError"}
    assert "attempt 3" in dead["error_message"]
    assert await bench.outcomes(retry_id) == ["failure"] * 3


async def test_what_kills_its_process_fails_and_its_neighbours_do_not_notice(
    bench: Bench, handler: Handler
) -> None:
    poison = await capture(bench, "die")
    neighbours = [await capture(bench, "nothing") for _ in range(3)]
    async with bench.serving([handler]):
        await bench.reached("done", *neighbours)
        await bench.reached("dead", poison)
    dead = await bench.dead_letter(poison)
    assert (dead["reason"], dead["lost_attempts"]) == ("exhausted", 0)
    assert dead["error_type"] in {"Signal9", "ProcessDied"}
    for neighbour in neighbours:
        assert await bench.outcomes(neighbour) == ["success"]


async def test_what_hangs_is_ended_at_its_timeout_and_nothing_of_it_is_left(
    bench: Bench, handler: Handler, tmp_path: Path
) -> None:
    bench.policies = [Policy(timeout_seconds=3, give_up_on=("TimeoutError",))]
    retry_id = await capture(bench, "hang")
    async with bench.serving([handler]):
        [pid] = await until(lambda: pids_in(tmp_path / "pids", 1))
        assert alive(pid)
        await bench.reached("dead", retry_id)
        await gone(pid)
    assert (await bench.dead_letter(retry_id))["error_type"] == "TimeoutError"


async def test_what_hangs_when_the_drain_is_over_is_ended_and_given_back(
    bench: Bench, handler: Handler, tmp_path: Path
) -> None:
    retry_id = await capture(bench, "hang")
    async with bench.serving([handler], shutdown_seconds=0.05):
        [pid] = await until(lambda: pids_in(tmp_path / "pids", 1))
    await gone(pid)
    row = await bench.row(retry_id)
    assert (row["state"], row["attempt"], row["lost_attempts"]) == ("pending", 0, 0)


async def test_what_lost_its_lease_is_ended(bench: Bench, handler: Handler, tmp_path: Path) -> None:
    retry_id = await capture(bench, "hang")
    async with bench.serving([handler], lease_seconds=1):
        [pid] = await until(lambda: pids_in(tmp_path / "pids", 1))
        await bench.connection.execute(
            "update retryd.retry_queue set claimed_by = 'thief', claim_token = 999999,"
            " lease_expires_at = retryd.now() + interval '1 h' where id = $1",
            retry_id,
        )
        await gone(pid)
    assert (await bench.row(retry_id))["claimed_by"] == "thief"
