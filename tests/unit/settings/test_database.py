from __future__ import annotations

import subprocess
import sys
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retryd.domain.errors import ConfigurationError
from retryd.settings import DatabaseChoice, find_database
from retryd.settings.database_url import clean_url
from tests.unit.settings.loading import load_document

WAYS = ["flag", "RETRYD_DATABASE_URL", "config", "DATABASE_URL", "PGHOST", "app", "embedded"]
NAMES = ["--database-url", *WAYS[1:2], "database.url", *WAYS[3:5], "App(database_url=…)"]


def url_of(choice: DatabaseChoice) -> str | None:
    return choice.url.get_secret_value() if choice.url else None


@pytest.mark.parametrize("first", range(6))
def test_the_first_way_that_names_a_database_wins(first: int) -> None:
    def url(way: str) -> str | None:
        return f"postgresql://{way.lower()}/app" if WAYS.index(way) >= first else None

    environ = {
        name: found for name in ("RETRYD_DATABASE_URL", "DATABASE_URL") if (found := url(name))
    }
    if first <= WAYS.index("PGHOST"):
        environ["PGHOST"] = "pghost"
    configuration = load_document({"database": {"url": url("config"), "embedded": True}})
    choice = find_database(configuration, environ, url("flag"), True, url("app"))
    assert choice.way == NAMES[first]
    assert url_of(choice) == ("postgresql://" if first == 4 else url(WAYS[first]))
    assert not choice.embedded


@pytest.mark.parametrize("name", ["PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE"])
def test_a_variable_of_libpq_leaves_the_rest_to_the_driver(name: str) -> None:
    choice = find_database(load_document({}), {name: "x"})
    assert (url_of(choice), choice.way) == ("postgresql://", name)


def test_the_embedded_one_is_taken_where_nothing_else_is_named() -> None:
    unnamed = {"DATABASE_URL": "", "RETRYD_DATABASE_URL": "", "PGHOST": "", "PGPASSWORD": "x"}
    by_flag = find_database(load_document({}), unnamed, flag_embedded=True)
    by_key = find_database(load_document({"database": {"embedded": True}}), unnamed)
    assert (by_flag.embedded, by_flag.way) == (True, "--embedded")
    assert (by_key.embedded, by_key.way) == (True, "database.embedded")


def test_with_no_database_the_ways_are_named() -> None:
    with pytest.raises(ConfigurationError) as caught:
        find_database(load_document({}), {})
    (problem,) = caught.value.problems
    for way in [*NAMES[:5], "PGDATABASE", "--embedded"]:
        assert way in problem


def test_every_way_may_be_a_reference() -> None:
    environ = {"RETRYD_DATABASE_URL": "env:DB", "DB": "postgres://db/app"}
    assert url_of(find_database(load_document({}), environ)) == "postgresql://db/app"


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"RETRYD_DATABASE_URL": "sqlite:///x"}, "RETRYD_DATABASE_URL is no PostgreSQL URL, give"),
        ({"DATABASE_URL": "host=db dbname=app"}, "DATABASE_URL has a space or control character"),
        ({"DATABASE_URL": "env:X"}, "DATABASE_URL refers to 'env:X', which is not set or empty"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_by_its_way(environ: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{told}"):
        find_database(load_document({}), environ)


def test_an_empty_flag_is_refused_since_somebody_gave_it() -> None:
    with pytest.raises(ConfigurationError, match=r"^--database-url is no PostgreSQL URL"):
        find_database(load_document({}), {}, flag_url="", flag_embedded=True)


def test_a_choice_does_not_show_its_password() -> None:
    choice = find_database(load_document({}), {}, "postgresql://u:hunter2@db/app")
    assert "hunter2" not in f"{choice} {choice!r}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql:///app?host=/run/postgresql",
        "postgresql://db",
        "postgresql://u:p%40ss@db:5432/app?sslmode=require",
        "postgresql://u@[::1]:5432/app",
        "postgresql://a:5432,b:5433/app?target_session_attrs=read-write",
    ],
)
def test_what_the_driver_reads_is_left_as_it_is(url: str) -> None:
    assert clean_url(url) == url


@pytest.mark.parametrize(
    "scheme", ["postgres", "POSTGRESQL", "postgresql+asyncpg", "postgres+psycopg"]
)
def test_a_scheme_is_written_as_the_driver_knows_it(scheme: str) -> None:
    assert clean_url(f"{scheme}://db/app") == "postgresql://db/app"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "db/app",
        "mysql://db/app",
        "postgresql:/db/app",
        "jdbc:postgresql://db/app",
        "postgresql+://db/app",
        "postgresql://db:port/app",
        "postgresql://db:0/app",
        "postgresql://db:65536/app",
        "postgresql://[::1/app",
        "postgresql://u:hunter2/x@db/app",
        "postgresql://u:hunter2#x@db/app",
        "postgresql://u:1/hunter2@db/app",
        "postgresql://u:hunter2@x@db/app",
        "postgresql://u:x@hunter2@db/app",
        "postgresql://u:1#hunter2@db/app",
        "postgresql://db/app\n",
    ],
)
def test_a_url_that_would_be_misread_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"^ (is no|has)") as caught:
        clean_url(url)
    assert "hunter2" not in str(caught.value)


@given(st.text(min_size=1), st.text(), st.integers(1, 65_535))
def test_every_password_fits_when_it_is_percent_encoded(
    user: str, password: str, port: int
) -> None:
    account = ":".join(quote(text.encode(errors="replace"), safe="") for text in (user, password))
    url = f"postgresql://{account}@db:{port}/app"
    assert clean_url(url) == url


def test_loading_imports_no_driver() -> None:
    code = (
        "import sys; from retryd.settings import load, configuration_model, HandlerSettings;"
        "load(configuration_model(HandlerSettings), path=None, environ={});"
        "sys.exit(bool({'asyncpg', 'sqlalchemy', 'alembic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
