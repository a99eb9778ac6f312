"""`retryd check` behind pgbouncer: it is seen, and what cannot work there is told."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.commands import Shell
from tests.acceptance.test_cli_check import problems
from tests.faults.bouncer import pgbouncer
from tests.faults.scene import Scene


async def test_pgbouncer_is_seen_and_what_it_cannot_do_is_told(
    scene: Scene, tmp_path: Path
) -> None:
    async with pgbouncer(scene.database.dsn) as dsn:

        async def found(status: int, **variables: str) -> dict[str, str]:
            shell = Shell(tmp_path, {"RETRYD_DATABASE_URL": dsn, **variables})
            return problems(await shell("check"), status)

        assert await found(0) == {}
        assert await found(0, RETRYD_DATABASE__LISTEN_URL=scene.worker_dsn) == {}
        told = await found(1, RETRYD_DATABASE__PGBOUNCER="false")
        assert "set it to auto or true" in told["pooler"]
        told = await found(1, RETRYD_RETRY__LISTEN_NOTIFY="true")
        assert "give database.listen_url" in told["pooler"]
        other = dsn.replace("127.0.0.1", "localhost")
        told = await found(1, RETRYD_DATABASE__LISTEN_URL=other)
        assert "give the address of the server itself" in told["listen_url"]
        told = await found(1, RETRYD_DATABASE__LISTEN_URL="postgresql://127.0.0.1:1/nowhere")
        assert "cannot be reached" in told["listen_url"]
