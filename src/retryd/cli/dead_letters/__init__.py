"""`retryd dlq`: the retries that died, and what a person decides about them."""

from __future__ import annotations

import typer

from retryd.cli.dead_letters import bulk, by_id, look, transfer

app = typer.Typer(help="Look after the dead letters.", rich_markup_mode=None)
app.command("list")(look.list_dead_letters)
app.command("show")(look.show)
app.command("retry")(by_id.retry)
app.command("retry-all")(bulk.retry_all)
app.command("resolve")(by_id.resolve)
app.command("delete")(bulk.delete)
app.command("export")(transfer.export)
app.command("import")(transfer.import_)
