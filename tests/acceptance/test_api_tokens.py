"""What `retryd run` says of who may use its HTTP API."""

from __future__ import annotations

from pathlib import Path

import httpx

from retryd.domain.api_token import read_token
from tests.acceptance.commands import Shell
from tests.acceptance.running import Running, running
from tests.postgres import Connection, Database
from tests.waiting import until

APP = "import retryd\n\napp = retryd.App()\n"
TOLD = ("http_token_made", "api_not_served", "tokens_not_read")


def told(worker: Running) -> list[str]:
    """Return what it said of tokens."""
    return [event for event in TOLD for _ in worker.said(event)]


async def has_read(connection: Connection) -> bool:
    """Tell whether a server has read the tokens."""
    query = (
        "select exists (select from pg_stat_activity where datname = current_database()"
        " and application_name = 'retryd/http' and query like '%live_tokens%' and state = 'idle')"
    )
    return bool(await connection.fetchval(query))


async def test_without_a_token_one_is_made_where_only_this_machine_listens(
    database: Database, tmp_path: Path
) -> None:
    (tmp_path / "billing.py").write_text(APP)
    async with running(tmp_path, database.dsn) as worker:
        [made] = await until(lambda: worker.said("http_token_made"))
        [listening] = worker.said("http_listening")
        where, _, token = made["address"].partition("/?token=")
        assert where == listening["address"]
        assert read_token(token) is not None
        assert told(worker) == ["http_token_made"]


async def test_where_everybody_listens_none_is_made_and_one_process_says_so(
    database: Database, tmp_path: Path
) -> None:
    (tmp_path / "billing.py").write_text(APP)
    everywhere = {"RETRYD_HTTP__HOST": "0.0.0.0"}  # noqa: S104 - that is the point
    async with running(tmp_path, database.dsn, "--processes", "2", **everywhere) as worker:
        [line] = await until(lambda: worker.said("api_not_served"), within=30)
        assert line["level"] == "warning"
        assert "retryd token create" in line["remedy"]
        [listening] = worker.said("http_listening")
        port = listening["address"].rpartition(":")[2]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            for path in ("/livez", "/health", "/metrics", "/openapi.json"):
                assert (await client.get(path)).status_code == 200
        assert told(worker) == ["api_not_served"]


async def test_with_a_token_nothing_is_said(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    (tmp_path / "billing.py").write_text(APP)
    shell = Shell(tmp_path, {"RETRYD_DATABASE_URL": database.dsn})
    created = await shell("token", "create", "--name=shop", "--scope=read", "--json")
    async with running(tmp_path, database.dsn) as worker:
        await until(lambda: has_read(connection))
        assert told(worker) == []
        assert created.document["token"] not in str(worker.log)


async def test_with_a_configured_token_nothing_is_said_and_it_is_in_no_line(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    (tmp_path / "billing.py").write_text(APP)
    tokens = {"RETRYD_HTTP__TOKENS": '["open-sesame-42"]', "RETRYD_LOG__LEVEL": "debug"}
    async with running(tmp_path, database.dsn, **tokens) as worker:
        await until(lambda: has_read(connection))
        await until(lambda: worker.said("http_listening"))
        assert told(worker) == []
        assert "open-sesame-42" not in str(worker.log)
