"""pgbouncer before the server: in transaction mode, each statement may meet another session."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from retryd.embedded.account import Account
from tests.faults.programs import program
from tests.faults.server import LOGIN, PASSWORD, quiet_port
from tests.postgres import open_directory
from tests.waiting import until

SERVER_SESSIONS = 3
# Sessions that nobody uses are closed, so that the base check finds none.
CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server} user={user} password={password}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 100
server_idle_timeout = 1
logfile = {folder}/log
"""


@asynccontextmanager
async def pgbouncer(dsn: str) -> AsyncIterator[str]:
    """Run pgbouncer before the server of a database; yields the address by way of it."""
    path, port, parts = program("pgbouncer"), quiet_port(), urlsplit(dsn)
    account = Account.owning(Path("/nonexistent"))  # it refuses root, as PostgreSQL does
    with open_directory() as folder:
        account.take(folder)
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            CONFIGURATION.format(
                server=parts.port,
                user=LOGIN,
                password=PASSWORD,
                port=port,
                sessions=SERVER_SESSIONS,
                folder=folder,
            )
        )
        process = subprocess.Popen(
            [path, "--quiet", configuration], stderr=subprocess.DEVNULL, **account.options()
        )
        address = parts._replace(netloc=f"{LOGIN}@127.0.0.1:{port}", query="sslmode=disable")

        async def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                connection = await asyncpg.connect(address.geturl(), statement_cache_size=0)
            except OSError:
                return False
            connection.terminate()
            return True

        try:
            await until(answers)
            yield address.geturl()
        finally:
            process.terminate()
            process.wait()
