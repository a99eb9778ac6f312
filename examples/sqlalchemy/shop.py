"""An order, and its mail that fails: `python shop.py 17`, then `retryd run --app shop:app`."""

from __future__ import annotations

import asyncio
import os
import sys

from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import retryd

app = retryd.App()


class Base(DeclarativeBase):
    """The tables of the shop."""


class Order(Base):
    """An order."""

    __tablename__ = "shop_order"
    number: Mapped[int] = mapped_column(primary_key=True)


# --8<-- [start:capture]
async def place(session: AsyncSession, number: int) -> list[int]:
    """Keep the order, and what failed about it, in one transaction."""
    async with session.begin():
        session.add(Order(number=number))
        await session.flush()  # the order goes first: a session does not flush for a capture
        try:
            send_mail(number, mail_is_up=False)
        except ConnectionError as error:
            return await retryd.capture(
                session, "order.mail.failed", {"order": number}, error=error
            )
    return []


# --8<-- [end:capture]


# --8<-- [start:handler]
@app.handler("order.mail")
async def mail_again(retry: retryd.Retry) -> None:
    """Send the mail that failed."""
    send_mail(retry.payload["order"], mail_is_up=True)


# --8<-- [end:handler]


def send_mail(number: int, *, mail_is_up: bool) -> None:
    """Stand in for your own operation."""
    if not mail_is_up:
        raise ConnectionError("the mail server does not answer")
    print(f"mailed order {number}")


async def main(number: int) -> None:
    """Place one order."""
    url = make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+psycopg")
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with async_sessionmaker(engine)() as session:
        print(*await place(session, number))
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
