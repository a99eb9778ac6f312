"""`retryd health` against running workers, against nobody, and against somebody else."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.acceptance.commands import Shell
from tests.acceptance.running import Running, running
from tests.postgres import Database
from tests.waiting import until

APP = "import retryd\n\napp = retryd.App()\n"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what a container is told
NOWHERE = "postgresql://127.0.0.1:1/nowhere"


async def address_of(worker: Running) -> str:
    """Return where a worker listens."""
    [listening, *_] = await until(lambda: worker.said("http_listening"), within=30)
    address: str = listening["address"]
    return address


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an application without handlers."""
    (tmp_path / "billing.py").write_text(APP)
    return tmp_path


async def test_a_worker_that_takes_work_is_healthy_at_the_address_of_its_configuration(
    database: Database, folder: Path, bare_shell: Shell
) -> None:
    async with running(folder, database.dsn, RETRYD_HTTP__HOST=EVERYWHERE) as worker:
        address = await address_of(worker)
        port = int(address.rpartition(":")[2])
        (folder / "config.json").write_text(
            json.dumps({"http": {"host": EVERYWHERE, "port": port}, "handlers": {"not": "read"}})
        )

        async def ready() -> bool:
            return (await bare_shell("health", "--config", "config.json")).status == 0

        await until(ready, within=30)
        found = (await bare_shell("health", "--config", "config.json", "--json")).document
        assert (found["ready"], found["status"], found["database"]) == (True, "ok", "reachable")
        told = await bare_shell("health", "--url", f"http://127.0.0.1:{port}/")
        assert (told.status, told.err) == (0, "")
        assert "ready" in told.out
        assert "yes" in told.out


async def test_a_worker_without_its_database_lives_and_is_not_ready(
    folder: Path, bare_shell: Shell
) -> None:
    async with running(folder, NOWHERE) as worker:
        url = await address_of(worker)
        ended = await bare_shell("health", "--url", url, "--json")
        assert (ended.status, ended.err) == (1, "")
        assert json.loads(ended.out)["ready"] is False
        alive = await bare_shell("health", "--live", "--url", url, "--json")
        assert alive.document == {"live": True}


async def test_nobody_who_answers_is_a_problem_of_one_line(bare_shell: Shell) -> None:
    line = (await bare_shell("health", "--url", "http://127.0.0.1:1")).refused(1)
    assert "http://127.0.0.1:1/health does not answer" in line
    assert "`retryd run`" in line


@asynccontextmanager
async def server(answer: bytes) -> AsyncIterator[str]:
    """Answer every request with these bytes; yields the address."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(speak, "127.0.0.1")
    async with listening:
        host, port = listening.sockets[0].getsockname()
        yield f"http://{host}:{port}"


@pytest.mark.parametrize("option", [(), ("--live",)], ids=["health", "live"])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nokay",
        b"SSH-2.0-OpenSSH\r\n",
        b"",
    ],
)
async def test_somebody_else_who_answers_is_a_problem_of_one_line(
    bare_shell: Shell, answer: bytes, option: tuple[str, ...]
) -> None:
    async with server(answer) as url:
        line = (await bare_shell("health", "--url", url, *option)).refused(1)
    assert url in line


@pytest.mark.parametrize(
    ("http", "words"),
    [
        ({"port": 0}, "--url"),
        ({"port": 70_000}, "http.port is 70000"),
        ({"host": 7}, "http.host is 7"),
        ([], "http is"),
    ],
)
async def test_an_address_that_cannot_be_used_is_refused_with_its_key(
    bare_shell: Shell, http: object, words: str
) -> None:
    (bare_shell.folder / "config.json").write_text(json.dumps({"http": http}))
    assert words in (await bare_shell("health", "--config", "config.json")).refused(2)


@pytest.mark.parametrize("url", ["127.0.0.1:7387", "ftp://a", "http://a:port", "http://"])
async def test_what_is_no_address_is_refused(bare_shell: Shell, url: str) -> None:
    assert "is no address" in (await bare_shell("health", "--url", url)).refused(2)


async def test_with_a_url_it_imports_no_driver_and_no_settings(bare_shell: Shell) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "importtime", "-m", "retryd", "health"),
        *("--url", "http://127.0.0.1:1"),
        cwd=bare_shell.folder,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    imported = {line.rpartition("|")[2].strip() for line in err.decode().splitlines()}
    assert "http.client" in imported
    assert imported.isdisjoint({"asyncpg", "pydantic_settings", "rich", "sqlalchemy", "fastapi"})
