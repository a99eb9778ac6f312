"""How light retryd is: what an import, a command and a worker cost, each beside its limit.

    python -m benchmarks.footprint [--runs 7]

Prints a line per figure, median with least and most; exit status 1 when a median is over its limit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from retryd.embedded import EmbeddedPostgres
from retryd.store.schema import migrate

IMPORT = """
import json, sys, time
started = time.perf_counter()
import retryd
print(json.dumps([time.perf_counter() - started, sorted(sys.modules)]))
"""
HEAVY = frozenset(
    {
        *("asyncpg", "psycopg", "sqlalchemy", "alembic", "pydantic", "prometheus_client"),
        *("typer", "rich", "fastapi", "starlette", "uvicorn", "opentelemetry"),
    }
)
APP = """
import retryd

app = retryd.App()

@app.handler("job.*")
def job(retry): ...
"""
RETRYD = (sys.executable, "-m", "retryd")
SCRAPES = 100
READY_WITHIN_SECONDS = 60.0
POLL_SECONDS = 0.005


def told(name: str, values: Sequence[float], limit: float, unit: str) -> bool:
    """Print a figure beside its limit; returns whether the median is within it."""
    middle, least, most = statistics.median(values), min(values), max(values)
    holds = middle <= limit
    span = f"({least:,.2f} to {most:,.2f})"
    verdict = "" if holds else "  TOO MUCH"
    print(f"{name:<28} {middle:>8,.2f} {unit:<3} {span:<20} limit {limit:g} {unit}{verdict}")
    return holds


def importing(runs: int) -> bool:
    """Measure `import retryd` in an interpreter that has just started."""
    seconds = []
    for _ in range(runs):
        took, modules = json.loads(subprocess.check_output([sys.executable, "-c", IMPORT]))
        seconds.append(took * 1000)
        if loaded := HEAVY.intersection(modules):
            print(f"import retryd brings {', '.join(sorted(loaded))}")
            return False
    return told("import retryd", seconds, 60, "ms")


@contextmanager
def open_folder() -> Iterator[Path]:
    """Make a folder that PostgreSQL's own account may enter too."""
    with tempfile.TemporaryDirectory(prefix="retryd-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


def timed(command: Sequence[str], **variables: str) -> float:
    """Return how many seconds a command took, which has to succeed."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **variables})
    return time.perf_counter() - started


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def answer(url: str) -> int:
    """Return the status of an answer; 0 while nobody listens."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own
            response.read()
            status: int = response.status
            return status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def resident_megabytes(pid: int) -> float:
    """Return how much memory a process has, as `ps` tells it."""
    kilobytes = subprocess.check_output(["ps", "-o", "rss=", "-p", str(pid)])
    return int(kilobytes) / 1024


@contextmanager
def worker(folder: Path, dsn: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker."""
    (folder / "billing.py").write_text(APP)
    variables = {"RETRYD_DATABASE_URL": dsn, "RETRYD_HTTP__PORT": str(port)}
    process = subprocess.Popen(
        [*RETRYD, "run", "--app", "billing:app"],
        cwd=folder,
        env={**os.environ, **variables},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def working(folder: Path, dsn: str) -> tuple[float, float]:
    """Return how long a worker takes to be ready, and its memory after so many scrapes."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    started = time.perf_counter()
    with worker(folder, dsn, port) as process:
        while answer(f"{base}/readyz") != 200:
            if process.poll() is not None or time.perf_counter() - started > READY_WITHIN_SECONDS:
                message = "the worker did not get ready; run it by hand to see why"
                raise SystemExit(message)
            time.sleep(POLL_SECONDS)
        ready = time.perf_counter() - started
        for _ in range(SCRAPES):
            if answer(f"{base}/metrics") != 200:
                message = "the worker did not answer a scrape"
                raise SystemExit(message)
        return ready, resident_megabytes(process.pid)


async def main() -> bool:
    """Measure and print; returns whether all figures are within their limits."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=7)
    runs: int = parser.parse_args().runs
    holds = [importing(runs)]
    with open_folder() as folder:
        helped = [timed([*RETRYD, "--help"]) for _ in range(runs)]
        holds.append(told("retryd --help", helped, 0.4, "s"))
        async with EmbeddedPostgres(folder / "postgres") as server:
            await migrate(server.dsn)
            figures = [working(folder, server.dsn) for _ in range(runs)]
        holds.append(told("worker, start to ready", [ready for ready, _ in figures], 2, "s"))
        resident = [megabytes for _, megabytes in figures]
        holds.append(told(f"worker after {SCRAPES} scrapes", resident, 90, "MB"))
        home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder / "data")}
        holds.append(told("retryd demo", [timed([*RETRYD, "demo"], **home)], 60, "s"))
    return all(holds)


if __name__ == "__main__":
    raise SystemExit(not asyncio.run(main()))
