"""`retryd demo` itself: the database, the story, the summary read from the views."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

from retryd.cli.demo.story import DemoFailed, Story
from retryd.cli.output import print_heading, print_table, print_text

if TYPE_CHECKING:
    from retryd.compose import Store

COLUMNS = (
    "id",
    "operation",
    "captured as",
    "place",
    "attempts",
    "lost",
    "lives",
    "delays",
    "died of",
)


def demo(
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep PostgreSQL up afterwards, until Ctrl-C.")
    ] = False,
) -> None:
    """See it work: retries, a crash, a dead letter and its replay.

    Needs nothing: it runs the embedded PostgreSQL, workers and a flaky service of its own.
    """
    asyncio.run(play(keep=keep))


async def play(*, keep: bool) -> None:
    """Play the story on the embedded PostgreSQL and print what became of it."""
    from retryd import compose  # noqa: PLC0415 - it takes longer to import than `--help` may

    started = time.monotonic()

    def tell(line: str) -> None:
        print_text(f"{time.monotonic() - started:5.1f} s  {line}")

    async with compose.embedded_database() as dsn, compose.open_store(dsn) as store:
        tell("PostgreSQL is up")
        story = Story(store, dsn, tell)
        await story.play()
        await summarize(store, story.ids)
        print_text(f"\nMore: retryd show {story.ids[-1]} --embedded")
        if keep:
            print_text(f"PostgreSQL stays up at {dsn} until Ctrl-C")
            await asyncio.Event().wait()


async def summarize(store: Store, ids: list[int]) -> None:
    """Print what the views say of these retries. Raises DemoFailed if one is not done."""
    lines = []
    for retry_id in ids:
        row = await store.reads.find_retry(retry_id)
        case = await store.reads.find_dead_letter(retry_id)
        if row is None or row["place"] != "done":
            message = f"retry {retry_id} is not done; see `retryd show {retry_id} --embedded`"
            raise DemoFailed(message)
        delays = [
            f"{(step['next_attempt_at'] - step['at']).total_seconds():.1f}"
            for step in await store.reads.timeline(retry_id)
            if step["next_attempt_at"] is not None and step["outcome"] == "failure"
        ]
        lines.append(
            (
                retry_id,
                row["operation"],
                row["event_type"],
                row["place"],
                row["attempt"],
                row["lost_attempts"],
                row["life"],
                f"{' '.join(delays)} s" if delays else None,
                case and case["reason"],
            )
        )
    print_heading("What became of them, read from the views")
    print_table(COLUMNS, lines)
