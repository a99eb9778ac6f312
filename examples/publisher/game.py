"""Players rise, whether or not the broker is there to hear of it."""

from __future__ import annotations

import asyncio
import json
import os

import retryd


async def publish(event_type: str, payload: dict[str, int]) -> None:
    """Publish, and wait until the broker confirms."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(os.environ["BROKER_PORT"]))
    try:
        writer.write(json.dumps({"type": event_type, **payload}).encode() + b"\n")
        if await reader.readline() != b"ok\n":
            raise ConnectionError("the broker did not confirm")
    finally:
        writer.close()


app = retryd.App()
publisher = retryd.ResilientPublisher(publish, app, spool="./spool")


async def main() -> None:
    """Let three players rise."""
    async with publisher:
        for player in (7, 8, 9):
            published = await publisher.publish("user.level_up", {"level": 3, "player": player})
            print(f"player {player} has risen, published: {published}")


if __name__ == "__main__":
    asyncio.run(main())
