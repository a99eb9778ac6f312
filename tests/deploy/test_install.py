"""The steps of the image, done outside of one: from lock and wheel to a worker, as any user."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import retryd
from tests.faults.programs import lacking
from tests.postgres import Database, open_directory
from tests.waiting import until

ROOT = Path(__file__).parents[2]
INSTALL = ROOT / "deploy" / "install.sh"
ANYBODY = 65_534
PLACES = (Path(sys.executable).resolve().parent, Path("/usr/local/bin"), Path("/usr/bin"))
# Whether this Python is new enough, and can make environments that have pip.
FIT = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"


@dataclass(frozen=True)
class Stranger:
    """A user who owns nothing but one folder, and knows nothing of the machine; never root."""

    folder: Path

    async def start(self, *argv: str | Path, **variables: str) -> asyncio.subprocess.Process:
        """Start a program in a folder that is not the user's."""
        identity: dict[str, Any] = {}
        if os.geteuid() == 0:
            identity = {"user": ANYBODY, "group": ANYBODY, "extra_groups": []}
        registry = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        return await asyncio.create_subprocess_exec(
            *argv,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **registry, **variables},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            **identity,
        )

    async def run(self, *argv: str | Path, **variables: str) -> tuple[int | None, str]:
        """Run a program to its end; returns its status and what it printed."""
        process = await self.start(*argv, **variables)
        out, _ = await process.communicate()
        return process.returncode, out.decode()


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    with open_directory() as folder:
        own = folder / "own"
        own.mkdir()
        if os.geteuid() == 0:
            os.chown(own, ANYBODY, ANYBODY)
        folder.chmod(0o755)
        yield Stranger(own)


async def python_for(stranger: Stranger) -> Path:
    """Return a folder with a Python that this user can use too."""
    usable = [place for place in PLACES if await tried(stranger, place / "python3") == 0]
    if not usable:
        lacking("there is no Python 3.11 or newer with ensurepip that every user may run")
    return usable[0]


async def tried(stranger: Stranger, python: Path) -> int | None:
    try:
        return (await stranger.run(python, "-c", FIT))[0]
    except OSError:  # it is not there, or not for everybody
        return None


async def build(folder: Path) -> None:
    """Put into a folder what the Dockerfile copies: the lock, and the wheel as it is now."""
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pip", "wheel", *options, str(ROOT))
    )
    assert await process.wait() == 0
    shutil.copy(ROOT / "requirements" / "run.txt", folder)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.mark.timeout(600)  # some 30 packages come from a registry
async def test_what_the_image_installs_works_for_a_stranger_who_may_write_nothing(
    stranger: Stranger, database: Database
) -> None:
    material = stranger.folder.parent
    await build(material)
    place = stranger.folder / "retryd"
    path = f"{await python_for(stranger)}:/usr/bin:/bin"
    status, printed = await stranger.run("sh", INSTALL, place, material, PATH=path)
    assert (status, printed) == (0, f"retryd {retryd.__version__}\n")
    assert (await stranger.run(place / "bin" / "python", "-m", "pip", "--version"))[0] != 0

    program = place / "bin" / "retryd"
    port = str(free_port())
    variables = {"RETRYD_HTTP__PORT": port, "RETRYD_DATABASE_URL": database.dsn}
    health = ("health", "--live")
    assert (await stranger.run(program, *health, **variables))[0] == 1
    # A file that is not empty is more than this shell lets its programs write.
    limited = ("sh", "-c", 'ulimit -f 0; exec "$0" "$@"', program, "run")
    worker = await stranger.start(*limited, **variables)
    try:

        async def alive() -> bool:
            return (await stranger.run(program, *health, **variables))[0] == 0

        async def ready() -> bool:
            return (await stranger.run(program, "health", **variables))[0] == 0

        await until(alive, within=30)
        await until(ready, within=30)
        worker.send_signal(signal.SIGTERM)
        said, _ = await worker.communicate()
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()
    assert worker.returncode == 0, said.decode()


@pytest.mark.parametrize("names", [[], ["retryd-1.whl", "retryd-2.whl"]], ids=["none", "two"])
async def test_the_steps_of_the_image_want_exactly_one_wheel(
    stranger: Stranger, names: list[str]
) -> None:
    material = stranger.folder.parent
    for name in names:
        (material / name).touch()
    status, printed = await stranger.run("sh", INSTALL, stranger.folder / "retryd", material)
    assert status == 1
    assert "exactly one wheel" in printed
    assert not (stranger.folder / "retryd").exists()
