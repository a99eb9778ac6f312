"""Which PostgreSQL is meant: the first that flags, variables or the configuration name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from retryd.domain.errors import ConfigurationError
from retryd.settings.database_url import clean_url
from retryd.settings.models import Configuration
from retryd.settings.secret import is_reference, resolve

LIBPQ: Final = ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE")


class NoDatabaseNamed(ConfigurationError):
    """No flag, variable or key names a database."""


@dataclass(frozen=True, slots=True)
class DatabaseChoice:
    """The database to use, and the way by which it was found; without a URL the embedded one.

    `reference` is what leads to the URL, where it was not given itself.
    """

    url: SecretStr | None
    way: str
    reference: str | None = None

    @property
    def embedded(self) -> bool:
        """Whether the embedded PostgreSQL is meant."""
        return self.url is None


def find_database(
    configuration: Configuration,
    environ: Mapping[str, str],
    flag_url: str | None = None,
    flag_embedded: bool = False,  # noqa: FBT001, FBT002  # mirrors the flag
    app_url: str | None = None,
) -> DatabaseChoice:
    """Take the first database that is named; a variable that is empty names none.

    In this order: --database-url, RETRYD_DATABASE_URL, database.url, DATABASE_URL, libpq's
    variables, which the driver reads by itself, the application's own, the embedded one. Raises
    NoDatabaseNamed when there is none, ConfigurationError when the first cannot be used.
    """
    for way, url in _named(configuration, environ, flag_url, app_url):
        reference = url if is_reference(url) else None
        try:
            return DatabaseChoice(SecretStr(clean_url(resolve(url, environ))), way, reference)
        except ValueError as error:
            raise ConfigurationError(f"{way}{error}") from None
    if flag_embedded or configuration.database.embedded:
        return DatabaseChoice(None, "--embedded" if flag_embedded else "database.embedded")
    raise NoDatabaseNamed(
        "no database is named: give --database-url, set RETRYD_DATABASE_URL, database.url in the"
        f" configuration, DATABASE_URL or libpq's variables ({', '.join(LIBPQ)}),"
        " or let retryd run one of its own with --embedded"
    )


def _named(
    configuration: Configuration,
    environ: Mapping[str, str],
    flag_url: str | None,
    app_url: str | None,
) -> Iterator[tuple[str, str]]:
    if flag_url is not None:
        yield "--database-url", flag_url
    if url := environ.get("RETRYD_DATABASE_URL"):
        yield "RETRYD_DATABASE_URL", url
    if configuration.database.url is not None:
        yield "database.url", configuration.database.url.get_secret_value()
    if url := environ.get("DATABASE_URL"):
        yield "DATABASE_URL", url
    if way := next(filter(environ.get, LIBPQ), None):
        yield way, "postgresql://"
    if app_url is not None:
        yield "App(database_url=…)", app_url
