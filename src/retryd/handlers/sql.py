"""Kind `sql`: a statement of the configuration, run with values of the payload, once."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from retryd.domain.errors import (
    ConfigurationError,
    DatabaseRefused,
    DatabaseUnavailable,
    LeaseLost,
    StatementFailed,
)
from retryd.domain.json_text import WrittenNumber, read_json, write_json
from retryd.domain.outcome import Failure, Reject, Success
from retryd.handlers.fields import FIELD_NAME, MISSING, Fields, found_at
from retryd.handlers.statement import Statement
from retryd.settings.block import told
from retryd.settings.handler import HandlerSettings
from retryd.settings.values import DatabaseUrl, Name
from retryd.store.effects import Effect, Effects

if TYPE_CHECKING:
    from retryd.domain.outcome import Outcome
    from retryd.domain.retry import Retry
    from retryd.ports import Means

MOST_CONNECTIONS: Final = 1_000
UNFIT_CLASS: Final = "22"
"""The class of SQLSTATE of values that fit no column, function or type: they never will."""

_TABLE = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")

logger = logging.getLogger("retryd.worker")


def _with_names(text: str) -> str:
    if not text.strip():
        raise told(" is empty, give one statement, such as select shop.restock(:sku, :count)")
    for name in Statement.parse(text).names:
        if name.startswith("$"):
            raise told(f" has {name} in it, give values names, such as :sku")
        if not FIELD_NAME.fullmatch(name):
            raise told(f" has :{name[:63]} in it, a name has 1 to 63 of a-z 0-9 _ after the colon")
    return text


def _table(name: str) -> str:
    if not _TABLE.fullmatch(name):
        raise told(f" is {name[:255]!r}, give a table such as shop.retryd_inbox")
    return name


class SqlHandlerSettings(HandlerSettings):
    """The statement, where it runs and as whom."""

    kind: Literal["sql"] = "sql"
    statement: Annotated[str, AfterValidator(_with_names)] = Field(
        description="One statement; :name stands for a value of the payload."
    )
    fields: Fields = Field(
        default={},
        description="Where values are found that are not at the top of the payload under their"
        " name: JSON pointers by name.",
    )
    database: DatabaseUrl | None = Field(
        default=None, description="Another PostgreSQL; null: the one that holds the retries."
    )
    inbox: Annotated[str, AfterValidator(_table)] = Field(
        default="retryd_inbox", description="The table of the other database that knows what ran."
    )
    role: Name | None = Field(default=None, description="The role that runs it.")
    connections: int = Field(
        default=3, ge=1, le=MOST_CONNECTIONS, description="Connections at once, at most."
    )

    @model_validator(mode="after")
    def _fields_are_used(self) -> Self:
        names = Statement.parse(self.statement).names
        if idle := sorted(self.fields.keys() - set(names)):
            raise told(f".fields.{idle[0]} is not in the statement: leave it out")
        return self


def from_settings(name: str, settings: SqlHandlerSettings) -> SqlHandler:
    """Make the handler, which connects when it is opened."""
    return SqlHandler(name, settings)


class SqlHandler:
    """Runs the statement in a transaction, which settles the retry or writes the inbox as well."""

    stoppable = True

    def __init__(self, name: str, settings: SqlHandlerSettings) -> None:
        self.name = name
        self.definition: Mapping[str, object] = settings.definition(name)
        self._settings = settings
        self._statement = Statement.parse(settings.statement)
        self._pointers = {it: f"/{it}" for it in self._statement.names} | dict(settings.fields)
        self._effects: Effects | None = None

    async def open(self, means: Means) -> None:
        """Connect and prepare. Raises ConfigurationError for what PostgreSQL does not understand.

        Another database that is away now is asked with the first attempt.
        """
        settings = self._settings
        elsewhere = settings.database
        effect = Effect(
            self._statement.written,
            len(self._statement.names),
            settings.role,
            settings.inbox if elsewhere else None,
        )
        self._effects = Effects(
            elsewhere.get_secret_value() if elsewhere else means.dsn,
            effect,
            size=settings.connections,
            application=f"retryd/{self.name}",
            pooled=None if elsewhere else means.pooled,
        )
        try:
            await self._effects.prepare()
        except StatementFailed as error:
            message = f"handlers.{self.name}.statement: {error} (SQLSTATE {error.sqlstate})"
            raise ConfigurationError(message) from error
        except DatabaseRefused as error:
            message = f"handlers.{self.name}.database: {error}"
            raise ConfigurationError(message) from error
        except DatabaseUnavailable as error:
            if elsewhere is None:
                raise
            logger.warning("target_unreachable", extra={"handler": self.name, "reason": str(error)})

    async def close(self) -> None:
        """Close the connections."""
        if self._effects is not None:
            await self._effects.close()

    async def run(self, retry: Retry, timeout_seconds: float) -> Outcome:
        """Make one attempt; who runs it cancels it at its timeout, when PostgreSQL ends it too."""
        assert self._effects is not None  # noqa: S101 - `open` comes first
        values = values_of(self._statement.names, self._pointers, retry)
        if isinstance(values, Reject):
            return values
        try:
            settled = await self._effects.make(retry, values, timeout_seconds)
        except StatementFailed as error:
            permanent = error.sqlstate.startswith(UNFIT_CLASS)
            return Failure(f"sql.{error.sqlstate}", str(error), permanent=permanent)
        except LeaseLost as error:
            return Failure("sql.stale", str(error))
        except DatabaseUnavailable as error:
            return Failure("sql.connection", str(error))
        return Success(settled=settled)


def values_of(
    names: tuple[str, ...], pointers: Mapping[str, str], retry: Retry
) -> list[str | None] | Reject:
    """Return each value as text, every digit of it, or why there is none."""
    payload = read_json(retry.payload_text)
    values = []
    for name in names:
        value = found_at(pointers[name], payload)
        if value is MISSING:
            return Reject(f"the payload has nothing at {pointers[name]!r} for :{name}")
        values.append(text_of(value))
    return values


def text_of(value: Any) -> str | None:
    """Write a value of JSON as PostgreSQL reads it, whatever type it is to have."""
    match value:
        case None | str():
            return value
        case WrittenNumber(text=text):
            return text
        case _:
            return write_json(value, ensure_ascii=False)
