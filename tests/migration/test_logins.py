"""Who may migrate: an owner who may create roles, and then a login of the role of migrators."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from retryd.embedded import EmbeddedPostgres
from retryd.store import revisions, schema
from tests.postgres import FAST, open_directory


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedPostgres]:
    """A server that has never seen retryd: its roles are not made yet."""
    with open_directory() as directory:
        server = EmbeddedPostgres(directory, FAST)
        await server.start()
        yield server
        await server.stop()


async def test_an_owner_who_may_create_roles_migrates_and_then_a_migrator(
    server: EmbeddedPostgres,
) -> None:
    password = secrets.token_hex(8)
    root = await asyncpg.connect(server.dsn)
    await root.execute(f"create role shop login createrole password '{password}'")
    await root.execute("create database shop owner shop")
    url = urlsplit(server.dsn)

    def address(login: str) -> str:
        netloc = f"{login}:{password}@{url.hostname}:{url.port}"
        return url._replace(netloc=netloc, path="/shop").geturl()

    for _ in range(2):
        await schema.migrate(address("shop"))
    await root.execute(f"create role deploy login password '{password}' in role retryd_migrator")
    await schema.migrate(address("deploy"))
    await schema.migrate(address("deploy"), "-1")
    await schema.migrate(address("deploy"))
    await root.close()
    worker = await asyncpg.connect(address("deploy"))
    await revisions.check(worker)
    await worker.close()
