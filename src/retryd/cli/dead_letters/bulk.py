"""`retryd dlq retry-all` and `delete`: many dead letters at once, by what they have in common.

They go in batches, by id: a transaction each, short enough to be in nobody's way.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import typer

from retryd.cli import asking, output
from retryd.cli.asking import counted
from retryd.cli.by_id import each, report
from retryd.cli.database import Asking, Database
from retryd.cli.dead_letters.by_id import why_not
from retryd.cli.dead_letters.filters import All, CauseOption, Choice, Matching, OlderThan
from retryd.cli.failure import tell
from retryd.cli.options import Config, DatabaseUrl, Embedded, Handler, Json, Operation, read_id
from retryd.cli.progress import progress, whole_step
from retryd.domain.errors import RetrydError

if TYPE_CHECKING:
    from retryd.compose import Store

Yes: TypeAlias = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Count what matches, and do nothing.")
]

BATCH: Final = 500
MOST_GROUPS: Final = 20


def retry_all(
    *,
    status: Annotated[
        Literal["open", "pending", "failed"] | None,
        typer.Option(
            help="Never replayed, died again after a replay, or both.", show_default="open"
        ),
    ] = None,
    reason: CauseOption = None,
    handler: Handler = None,
    operation: Operation = None,
    older_than: OlderThan = None,
    every: All = False,
    rate: Annotated[
        float | None,
        typer.Option(min=0.01, metavar="N", help="So many a second at most.", show_default="none"),
    ] = None,
    note: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why; it is kept with each.")
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """Replay all dead letters that match.

    Shows how many there are, and asks. With --rate their targets are not hit by all at once.
    """
    choice = Choice(status, reason, handler, operation, older_than)
    choice.check_meant(every=every)
    bulk = Bulk(
        choice,
        "replay",
        "replayed",
        lambda store, ids: store.operators.replay_dead_letters(ids, note),
        rate,
    )
    bulk.run(Database(config, database_url, embedded), yes=yes, dry_run=dry_run, json_=json_)


def delete(
    ids: Annotated[
        list[int] | None, typer.Argument(parser=read_id, metavar="[ID...]", help="These.")
    ] = None,
    *,
    status: Annotated[
        Literal["open", "pending", "failed", "resolved", "all"] | None,
        typer.Option(help="all: but for those being retried.", show_default="open"),
    ] = None,
    reason: CauseOption = None,
    handler: Handler = None,
    operation: Operation = None,
    older_than: OlderThan = None,
    every: All = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """Delete dead letters for good.

    Those with the given ids, or all that match: then it shows how many there are, and asks.
    """
    database = Database(config, database_url, embedded)
    choice = Choice(status, reason, handler, operation, older_than)
    if not ids:
        choice.check_meant(every=every)
        bulk = Bulk(
            choice, "delete", "deleted", lambda store, ids: store.operators.delete_dead_letters(ids)
        )
        bulk.run(database, yes=yes, dry_run=dry_run, json_=json_)
        return
    if choice.narrow or every or dry_run:
        message = "give ids, or filters, not both"
        raise typer.BadParameter(message)
    refusals = database.ask(
        lambda store: each(ids, store.operators.delete_dead_letter, why_not(store))
    )
    report("deleted", refusals, json_=json_)


@dataclass(frozen=True, slots=True)
class Bulk:
    """One thing done to many: its verb and participle, and the call that does it to a batch."""

    choice: Choice
    verb: str
    participle: str
    act: Callable[[Store, list[int]], Awaitable[list[int]]]
    rate: float | None = None

    def run(self, database: Database, *, yes: bool, dry_run: bool, json_: bool) -> None:
        """Count, ask, do it, and say how many it was."""
        if not (yes or dry_run):
            asking.check_askable("Count with --dry-run what it would change.")
        with database.asking() as ask:
            matching = self.choice.matching(ask)
            if dry_run:
                if json_:
                    output.print_json({"matched": matching.count, "groups": matching.groups})
                else:
                    print_groups(matching)
                return
            if matching.count and not yes:
                if not json_:
                    print_groups(matching)
                asking.ask(f"{self.verb.capitalize()} {counted(matching.count, 'dead letter')}?")
            done = self.change(ask, matching)
        if json_:
            output.print_json({"matched": matching.count, self.participle: done})
        else:
            typer.echo(self.sum_up(done, matching.count))

    def change(self, ask: Asking, matching: Matching) -> int:
        """Do it batch by batch; returns to how many. Cut short, it tells to how many."""
        done = 0
        try:
            with progress(f"{self.verb} dead letters", matching.count) as advance:
                for ids in self.batches(ask, matching):
                    with whole_step():
                        done += len(self.changed(ask, ids))
                    advance(len(ids))
        except (KeyboardInterrupt, RetrydError):
            tell(f"cut short: {self.sum_up(done, matching.count)}; run it again for the rest")
            raise
        return done

    def changed(self, ask: Asking, ids: list[int]) -> list[int]:
        """Do it to a batch; returns those to which it could be done."""
        return ask(lambda store: self.act(store, ids))

    def batches(self, ask: Asking, matching: Matching) -> Iterator[list[int]]:
        """Yield the ids in batches, no faster than the rate."""
        size = BATCH if self.rate is None else min(BATCH, math.ceil(self.rate))
        filters = self.choice.filters()

        def page(after: int) -> list[int]:
            return ask(
                lambda store: store.reads.dead_letter_ids(after, matching.until, size, **filters)
            )

        seen, began = 0, time.monotonic()
        ids = page(0) if matching.count else []
        while ids:
            if self.rate is not None:
                time.sleep(max(0.0, began + seen / self.rate - time.monotonic()))
            yield ids
            seen += len(ids)
            ids = page(ids[-1])

    def sum_up(self, done: int, count: int) -> str:
        """Say how many of how many it was."""
        return f"{self.participle} {done:,} of {counted(count, 'dead letter')}"


def print_groups(matching: Matching) -> None:
    """Show what matches, the largest groups first."""
    columns = ("count", "operation", "handler", "status", "reason", "first_dead_at")
    groups = matching.groups[:MOST_GROUPS]
    output.print_table(
        (*columns[:-1], "oldest"), [[group[column] for column in columns] for group in groups]
    )
    left = len(matching.groups) - len(groups)
    more = f", of them {counted(left, 'smaller group')} not shown" if left else ""
    typer.echo(f"{counted(matching.count, 'dead letter')}{more}")
