"""Runs the programs of examples/ in other languages: what they capture, and what they run again."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.programs import lacking, program
from tests.postgres import Clock, Connection, Database
from tests.waiting import until

EXAMPLES = Path(__file__).parents[2] / "examples"
JDBC = "/usr/share/java/postgresql.jar"


@dataclass(frozen=True)
class Program:
    """A program of another language, ready to be run."""

    command: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


def go(folder: Path) -> Program:
    """Build with the packages of the system, so that nothing is fetched."""
    variables = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(folder)}
    built = folder / "shop"
    require("/usr/share/gocode/src/github.com/lib/pq", "golang-github-lib-pq-dev")
    command = (program("go", "golang-go"), "build", "-o", str(built), "main.go")
    environ = {**os.environ, **variables}
    subprocess.run(command, cwd=EXAMPLES / "go", env=environ, check=True, timeout=100)
    return Program((str(built),))


def node(_: Path) -> Program:
    """Find the driver where Node finds it: in NODE_PATH, or among the packages of the system."""
    path = program("node", "nodejs")
    found = subprocess.run([path, "-e", 'require("pg")'], capture_output=True, check=False)
    if found.returncode:
        pytest.skip("pg is missing: npm install in a copy of examples/node, and NODE_PATH")
    return Program((path, str(EXAMPLES / "node" / "shop.js")))


def ruby(_: Path) -> Program:
    """Run as it stands."""
    path = program("ruby")
    require("/usr/share/doc/ruby-pg", "ruby-pg")
    return Program((path, str(EXAMPLES / "ruby" / "shop.rb")))


def java(_: Path) -> Program:
    """Run from source."""
    require(JDBC, "libpostgresql-jdbc-java")
    source = str(EXAMPLES / "java" / "Shop.java")
    return Program((program("java", "default-jdk-headless"), "-cp", JDBC, source))


def require(path: str, package: str) -> None:
    """Skip the test, or fail where it must run, when a driver is not installed."""
    if not Path(path).exists():
        lacking(f"{path} is missing: apt-get install {package}")


def addresses(dsn: str) -> dict[str, str]:
    """Give the address of a database in the forms that the drivers take."""
    url = urlsplit(dsn)
    jdbc = f"jdbc:postgresql://{url.hostname}:{url.port}{url.path}"
    return {
        "DATABASE_URL": url._replace(query="sslmode=disable").geturl(),
        "JDBC_DATABASE_URL": f"{jdbc}?user={url.username}&password={url.password}",
    }


@asynccontextmanager
async def started(
    program: Program, dsn: str, *arguments: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program while the block lasts."""
    process = await asyncio.create_subprocess_exec(
        *(*program.command, *arguments),
        env={**os.environ, **program.variables, **addresses(dsn)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def printed(program: Program, dsn: str, *arguments: str) -> str:
    """Run a program to its end, which must be well; returns what it printed."""
    async with started(program, dsn, *arguments) as process:
        out, err = await process.communicate()
    assert (process.returncode, err.decode()) == (0, "")
    return out.decode()


@pytest.fixture
async def invoices(connection: Connection) -> Connection:
    """A database with the table of the shop."""
    await connection.execute("create table invoice (number int primary key, state text not null)")
    return connection


@pytest.mark.parametrize(
    ("language", "arguments"),
    [(go, ("capture", "17")), (node, ("capture", "17")), (ruby, ("17",)), (java, ("17",))],
)
async def test_a_program_captures_in_its_own_transaction(
    database: Database,
    invoices: Connection,
    tmp_path: Path,
    language: Callable[[Path], Program],
    arguments: tuple[str, ...],
) -> None:
    shop = language(tmp_path)
    assert await printed(shop, database.dsn, *arguments) == "1\n"
    row = await invoices.fetchrow(
        "select event_id, payload->>'invoice', error_type from retryd.retries where id = 1"
    )
    assert tuple(row or ()) == ("invoice-17", "17", "SMTPError")
    async with started(shop, database.dsn, *arguments) as again:
        _, err = await again.communicate()
    assert again.returncode
    assert b"duplicate key" in err
    assert await invoices.fetchval("select count(*) from retryd.failure_event") == 1


@pytest.mark.parametrize("language", [go, node])
async def test_a_worker_of_another_language_runs_a_retry_to_its_end(
    database: Database,
    invoices: Connection,
    clock: Clock,
    tmp_path: Path,
    language: Callable[[Path], Program],
) -> None:
    shop = language(tmp_path)
    await printed(shop, database.dsn, "capture", "17")

    async def is_(state: str, attempt: int) -> bool:
        row = await invoices.fetchrow("select state, attempt from retryd.retries where id = 1")
        return tuple(row or ()) == (state, attempt)

    async with started(shop, database.dsn, "work") as worker:
        await until(lambda: invoices.fetchval("select true from retryd.handler_stats"))
        await clock.advance(60)
        await until(lambda: is_("pending", 1))
        await clock.advance(60)
        await until(lambda: is_("completed", 2))
        worker.terminate()
        out, err = await worker.communicate()
    assert (worker.returncode, out.decode(), err.decode()) == (0, "sent invoice 17\n", "")
    assert await invoices.fetchval(
        "select array_agg(error_message order by attempt) from retryd.retry_attempt"
    ) == ["the mail server does not answer", None]


@pytest.mark.parametrize("language", [go, node])
async def test_a_worker_of_another_language_buries_what_is_spent(
    database: Database,
    invoices: Connection,
    clock: Clock,
    tmp_path: Path,
    language: Callable[[Path], Program],
) -> None:
    shop = language(tmp_path)
    await printed(shop, database.dsn, "capture", "17")
    async with started(shop, database.dsn, "work"):
        await until(lambda: invoices.fetchval("select true from retryd.handler_stats"))
        await invoices.execute("update retryd.retry_queue set max_retries = 1")
        await clock.advance(60)
        dead = "select reason, error_message from retryd.dead_letters"
        row = await until(lambda: invoices.fetchrow(dead))
    assert tuple(row or ()) == ("exhausted", "the mail server does not answer")
