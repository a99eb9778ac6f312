"""What a person sees in `retryd top` while PostgreSQL is away or silent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.commands import Shell
from tests.acceptance.terminal import Terminal, watching
from tests.faults.proxy import Proxy
from tests.postgres import Connection, Database
from tests.waiting import until


@pytest.fixture
async def top(
    proxy: Proxy,
    database: Database,
    connection: Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Terminal]:
    """A terminal on which `retryd top` shows the handler `mail` by way of the proxy."""
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    await connection.execute("select retryd.register_handler('mail', '{mail.*}')")
    shell = Shell(tmp_path, {"RETRYD_DATABASE_URL": proxy.dsn(database.dsn)})
    async with watching(shell, "--interval", "0.2") as terminal:
        await terminal.shows("mail", "no alerts")
        yield terminal
        assert await terminal.leave() == 0
    proxy.resume()  # lets the server know that nobody is there any more


async def test_an_outage_is_told_what_was_seen_stays_and_it_comes_back(
    top: Terminal, proxy: Proxy
) -> None:
    proxy.reset(closed=True)
    await top.shows("PostgreSQL cannot be reached", "trying again", "mail")
    proxy.resume()
    await until(lambda: "PostgreSQL" not in top.screen() and "mail" in top.screen(), within=30)


async def test_a_silent_server_is_told_and_a_key_still_leaves(top: Terminal, proxy: Proxy) -> None:
    proxy.drop(new_too=True)
    await top.shows("PostgreSQL has not answered for", "mail")
