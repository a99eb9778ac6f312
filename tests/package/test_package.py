"""What is published works where nothing else of the project is: no checkout, no other package."""

from __future__ import annotations

import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.package.empty_venv import ROOT, EmptyVenv, build
from tests.postgres import Connection, Database, open_directory

APP = """
import retryd

app = retryd.App()

@app.handler("invoice.*")
def send(retry): ...
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist of this checkout."""
    sdist, wheel = sorted(
        build(ROOT, tmp_path_factory.mktemp("dist"), "sdist", "wheel"),
        key=lambda path: path.suffix == ".whl",
    )
    return wheel, sdist


@pytest.fixture(scope="module")
def light(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> EmptyVenv:
    """The wheel with what it requires, and no extra."""
    return EmptyVenv.with_wheel(tmp_path_factory.mktemp("light") / "venv", built[0])


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that PostgreSQL's own account may enter."""
    with open_directory() as folder:
        yield folder


def test_the_wheel_has_the_whole_schema(built: tuple[Path, Path]) -> None:
    names = set(zipfile.ZipFile(built[0]).namelist())
    schema = {
        f"retryd/_{path.relative_to(ROOT)}"
        for folder in ("sql", "migrations")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert schema
    assert schema <= names
    assert "retryd/py.typed" in names
    assert not [name for name in names if "tests" in name or "__pycache__" in name]


def test_the_sdist_makes_the_same_wheel(built: tuple[Path, Path], tmp_path: Path) -> None:
    wheel, sdist = built
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    [source] = (tmp_path / "source").iterdir()
    [again] = build(source, tmp_path / "dist", "wheel")
    [record] = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("/RECORD")]
    assert again.name == wheel.name
    assert zipfile.ZipFile(again).read(record) == zipfile.ZipFile(wheel).read(record)


async def test_what_runs_there_is_what_was_installed(light: EmptyVenv) -> None:
    program = (
        "import sys, retryd, retryd.compose; from retryd.store.files import home; "
        "print(retryd.__file__, home('sql'), home('migrations'), *sys.path[1:], sep='\\n')"
    )
    status, out, err = await light("python", "-c", program)
    assert (status, err) == (0, "")
    assert str(light.site / "retryd" / "__init__.py") in out
    assert str(light.site / "retryd" / "_sql") in out
    assert str(ROOT) not in out


async def test_the_command_and_the_module_say_who_they_are(
    light: EmptyVenv, built: tuple[Path, Path]
) -> None:
    version = built[0].name.split("-")[1]
    for command in (("retryd",), ("python", "-m", "retryd")):
        assert await light(*command, "--version") == (0, f"retryd {version}\n", "")
        status, out, err = await light(*command, "--help")
        assert (status, err) == (0, "")
        assert "migrate" in out


async def test_without_extras_a_worker_works_and_says_that_it_serves_no_http(
    light: EmptyVenv, plain_database: Database
) -> None:
    assert (await light("python", "-c", "import fastapi"))[0] == 1
    (light.folder / "billing.py").write_text(APP)
    database = {"RETRYD_DATABASE_URL": plain_database.dsn, "RETRYD_LOG__FORMAT": "json"}
    for command in (["migrate"], ["capture", "invoice.email.failed", "{}"]):
        status, _, err = await light("retryd", *command, **database)
        assert (status, err) == (0, "")
    status, out, err = await light("retryd", "check", "--app", "billing:app", **database)
    assert (status, err) == (0, "")
    assert "not served: pip install 'retryd[server]'" in out
    status, out, err = await light(
        "retryd", "run", "--app", "billing:app", "--until-empty", **database
    )
    assert (status, out) == (0, ""), err
    assert err.count("http_not_served") == 1
    assert "pip install 'retryd[server]'" in err
    connection: Connection = await plain_database.connect()
    assert await connection.fetchval("select place from retryd.place") == "done"


@pytest.mark.timeout(180)
async def test_the_demo_plays_in_a_minute(built: tuple[Path, Path], home: Path) -> None:
    made = EmptyVenv.with_wheel(home / "venv", built[0], "embedded", "server")
    started = time.monotonic()
    status, story, err = await made(
        "retryd", "demo", HOME=str(home), XDG_DATA_HOME=str(home / "data")
    )
    assert status == 0, story + err
    assert "every retry is done" in story
    assert time.monotonic() - started < 60
