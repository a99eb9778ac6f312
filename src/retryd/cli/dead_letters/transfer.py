"""`retryd dlq export` and `import`: dead letters as lines of JSON, to keep or to take elsewhere."""

from __future__ import annotations

import os
import stat
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from retryd.cli import output
from retryd.cli.asking import counted
from retryd.cli.database import Asking, Database
from retryd.cli.dead_letters.filters import CauseOption, Choice, Matching, OlderThan
from retryd.cli.dead_letters.lines import Line, batches_of, open_lines
from retryd.cli.failure import PROBLEM, tell
from retryd.cli.options import Config, DatabaseUrl, Embedded, Handler, Json, Operation
from retryd.cli.progress import progress, whole_step
from retryd.domain.errors import Refused, RetrydError

if TYPE_CHECKING:
    from retryd.store.reads import Row

PAGE: Final = 500
MOST_TOLD: Final = 20


def export(
    *,
    status: Annotated[
        Literal["open", "pending", "failed", "resolved", "all"] | None,
        typer.Option(help="all: but for those being retried.", show_default="open"),
    ] = None,
    reason: CauseOption = None,
    handler: Handler = None,
    operation: Operation = None,
    older_than: OlderThan = None,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """Write dead letters to standard output, a line of JSON each.

    They stay where they are. `retryd dlq import` takes the lines, here or in another database.
    """
    choice = Choice(status, reason, handler, operation, older_than)
    to_file = stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    count = 0
    with Database(config, database_url, embedded).asking() as ask:
        matching = choice.matching(ask)
        with progress("export dead letters", matching.count, shown=to_file) as advance:
            for lines in pages(ask, choice, matching):
                sys.stdout.buffer.writelines(f"{line}\n".encode() for line in lines)
                sys.stdout.buffer.flush()
                count += len(lines)
                advance(len(lines))
    typer.echo(f"exported {counted(count, 'dead letter')}", err=True)


def pages(ask: Asking, choice: Choice, matching: Matching) -> Iterator[list[str]]:
    """Yield the lines that match, some at a time, in the order of their ids."""
    filters = choice.filters()

    def page(after: int) -> list[Row]:
        return ask(
            lambda store: store.reads.export_dead_letters(after, matching.until, PAGE, **filters)
        )

    rows = page(0) if matching.count else []
    while rows:
        yield [row["line"] for row in rows]
        rows = page(rows[-1]["id"])


def import_(
    file: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="Lines of an export; -: standard input.")
    ] = Path("-"),
    *,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """Bring exported dead letters back.

    They are dead letters again, with new ids, until `retryd dlq retry` gives them a new life. One
    that is there already is passed over, so a file can be imported twice.
    """
    tally: Counter[str] = Counter()
    number = 0
    with (
        open_lines(file) as (lines, size),
        Database(config, database_url, embedded).asking() as ask,
    ):
        try:
            with progress("import bytes", size) as advance:
                for batch in batches_of(lines):
                    with whole_step():
                        tally += imported(ask, batch, tally["refused"])
                        number = batch[-1].number
                    advance(sum(line.size for line in batch))
        except (KeyboardInterrupt, RetrydError):
            tell(f"cut short after line {number}: {sum_up(tally)}; import it again for the rest")
            raise
    if tally["refused"] > MOST_TOLD:
        tell(f"{tally['refused'] - MOST_TOLD:,} more lines were refused")
    if json_:
        output.print_json({key: tally[key] for key in ("imported", "existing", "refused")})
    else:
        typer.echo(sum_up(tally))
    if tally["refused"]:
        raise typer.Exit(PROBLEM)


def imported(ask: Asking, batch: list[Line], refused: int) -> Counter[str]:
    """Import a batch; returns how many of each outcome, and tells of the first refused ones."""
    good = [line for line in batch if line.problem is None]
    judged = dict(zip(good, bring(ask, [line.text for line in good]), strict=True))
    tally: Counter[str] = Counter()
    for line in batch:
        outcome, problem = judged.get(line, ("bad", line.problem))
        if problem is None:
            tally[outcome] += 1
            continue
        tally["refused"] += 1
        if refused + tally["refused"] <= MOST_TOLD:
            tell(f"line {line.number}: {problem}")
    return tally


def bring(ask: Asking, texts: list[str]) -> list[tuple[str, str | None]]:
    """Import lines; where PostgreSQL refuses them together, one by one finds the culprit."""
    try:
        return ask(lambda store: store.operators.import_dead_letters(texts))
    except Refused as refused:
        if len(texts) == 1:
            return [("bad", str(refused))]
        return [bring(ask, [text])[0] for text in texts]


def sum_up(tally: Counter[str]) -> str:
    """Say what became of the lines."""
    return (
        f"imported {counted(tally['imported'], 'dead letter')};"
        f" {tally['existing']:,} there already, {tally['refused']:,} refused"
    )
