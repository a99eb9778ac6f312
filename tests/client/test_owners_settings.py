"""What the owner of a connection has set on it stays his, and changes nothing for a capture."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from typing import Any

import psycopg
import psycopg.rows
import psycopg2
import psycopg2.extensions
import psycopg2.extras
import pytest
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg.types.string import TextLoader
from sqlalchemy import create_engine
from sqlalchemy.exc import PendingRollbackError, ProgrammingError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import retryd
from tests.client.callers import url_of
from tests.client.test_capture import EVENT, stored
from tests.postgres import Connection, Database


@dataclass
class Invoice:
    """A row of the application."""

    number: int


drivers = pytest.mark.parametrize(
    "connect", [psycopg.connect, psycopg2.connect], ids=["psycopg", "psycopg2"]
)
PSYCOPG_ROWS: dict[str, Any] = {
    "dict": psycopg.rows.dict_row,
    "namedtuple": psycopg.rows.namedtuple_row,
    "scalar": psycopg.rows.scalar_row,
    "class": psycopg.rows.class_row(Invoice),
    "arguments": psycopg.rows.kwargs_row(Invoice),
}


@pytest.mark.parametrize("rows", PSYCOPG_ROWS)
async def test_row_factories_of_psycopg(
    database: Database, connection: Connection, rows: str
) -> None:
    factory = PSYCOPG_ROWS[rows]
    with psycopg.connect(database.dsn, row_factory=factory, autocommit=True) as own:
        [first] = retryd.capture_sync(own, **EVENT)
        assert own.row_factory == factory
    async with await psycopg.AsyncConnection.connect(database.dsn, row_factory=factory) as mine:
        assert await retryd.capture_many(mine, [EVENT]) == [first]
    assert await stored(connection, first) == EVENT


@pytest.mark.parametrize("kind", [psycopg.ClientCursor, psycopg.RawCursor])
def test_cursor_classes_of_psycopg(database: Database, kind: Any) -> None:
    with psycopg.connect(database.dsn, cursor_factory=kind) as own, own.cursor() as cursor:
        [first] = retryd.capture_sync(own, **EVENT)
        assert retryd.capture_sync(cursor, **EVENT) == [first]


@pytest.mark.parametrize("kind", [psycopg.AsyncClientCursor, psycopg.AsyncRawCursor])
async def test_cursor_classes_of_asynchronous_psycopg(database: Database, kind: Any) -> None:
    own = await psycopg.AsyncConnection.connect(database.dsn, cursor_factory=kind)
    async with own, own.cursor() as cursor:
        [first] = await retryd.capture(own, **EVENT)
        assert await retryd.capture(cursor, **EVENT) == [first]


class Logging(psycopg2.extras.LoggingCursor):
    """Logs what is asked, once it has been told where."""


@pytest.mark.parametrize(
    "kind",
    [
        psycopg2.extras.DictCursor,
        psycopg2.extras.RealDictCursor,
        psycopg2.extras.NamedTupleCursor,
        Logging,
    ],
)
def test_cursor_classes_of_psycopg2(database: Database, kind: Any) -> None:
    with closing(psycopg2.connect(database.dsn, cursor_factory=kind)) as own:
        [first] = retryd.capture_sync(own, **EVENT)
        with own.cursor() as cursor:
            assert retryd.capture_sync(cursor, **EVENT) == [first]


@drivers
def test_rows_that_a_cursor_still_holds_are_not_lost(
    database: Database, connect: Callable[..., Any]
) -> None:
    with closing(connect(database.dsn)) as own:
        cursor = own.cursor()
        cursor.execute("select generate_series(1, 3)")
        assert cursor.fetchone() == (1,)
        assert retryd.capture_sync(cursor, "a.failed")
        assert cursor.fetchall() == [(2,), (3,)]


@drivers
def test_a_cursor_that_lives_on_the_server_will_do(
    database: Database, connect: Callable[..., Any]
) -> None:
    with closing(connect(database.dsn)) as own, own.cursor(name="lines") as cursor:
        cursor.execute("select generate_series(1, 3)")
        assert retryd.capture_sync(cursor, "a.failed")
        assert cursor.fetchall() == [(1,), (2,), (3,)]


@drivers
async def test_with_autocommit_a_capture_is_kept_at_once(
    database: Database, connection: Connection, connect: Callable[..., Any]
) -> None:
    with closing(connect(database.dsn)) as own:
        own.autocommit = True
        retryd.capture_sync(own, "a.failed")
        assert await connection.fetchval("select count(*) from retryd.failure_event") == 1
        assert own.autocommit


async def test_numbers_and_json_that_the_application_reads_in_its_own_way(
    database: Database, connection: Connection
) -> None:
    with psycopg.connect(database.dsn) as own:
        own.adapters.register_loader("int8", TextLoader)
        set_json_dumps(lambda _: "null", own)
        set_json_loads(lambda _: None, own)
        [first] = retryd.capture_sync(own, **EVENT)
    with closing(psycopg2.connect(database.dsn)) as mine:
        as_text = psycopg2.extensions.new_type((20,), "AS_TEXT", lambda value, _: value)
        psycopg2.extensions.register_type(as_text, mine)
        assert retryd.capture_sync(mine, **EVENT) == [first]
    other = await database.connect()
    await other.set_type_codec("int8", encoder=str, decoder=str, schema="pg_catalog")
    assert await retryd.capture(other, **EVENT) == [first]
    assert await stored(connection, first) == EVENT


class Source(str, Enum):  # noqa: UP042 - the older way, of which drivers send the name
    """Where failures of the application come from."""

    SHOP = "the shop"


@drivers
async def test_an_enum_that_is_text_is_sent_as_its_value(
    database: Database, connection: Connection, connect: Callable[..., Any]
) -> None:
    with closing(connect(database.dsn)) as own:
        own.autocommit = True
        [retry_id] = retryd.capture_sync(own, "a.failed", {"by": Source.SHOP}, source=Source.SHOP)
    found = await stored(connection, retry_id)
    assert (found["source"], found["payload"]) == ("the shop", {"by": "the shop"})


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
@pytest.mark.parametrize("options", [{"stream_results": True}, {"yield_per": 1}])
def test_a_connection_that_streams_its_results(
    database: Database, driver: str, options: dict[str, Any]
) -> None:
    engine = create_engine(url_of(database.dsn, driver))
    with engine.connect().execution_options(**options) as own:
        events = [{"event_type": "a.failed"}] * 3
        assert len(retryd.capture_many_sync(own, events)) == 3
    engine.dispose()


class Tables(DeclarativeBase):
    """The tables of the application."""


class Order(Tables):
    """A table that nobody made."""

    __tablename__ = "shop_order"
    number: Mapped[int] = mapped_column(primary_key=True)


def test_a_session_whose_flush_failed_says_what_to_do(database: Database) -> None:
    engine = create_engine(url_of(database.dsn, "psycopg"))
    with Session(engine) as session:
        session.add(Order(number=1))
        with pytest.raises(ProgrammingError):
            session.flush()
        with pytest.raises(retryd.TransactionAborted, match="rolling back") as caught:
            retryd.capture_sync(session, "a.failed")
        assert isinstance(caught.value.__cause__, PendingRollbackError)
        session.rollback()
        assert retryd.capture_sync(session, "a.failed")
    engine.dispose()
