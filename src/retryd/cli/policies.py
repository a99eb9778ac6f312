"""`retryd policy`: the policies of the configuration, drawn, and published to PostgreSQL."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retryd.cli import output, schedule
from retryd.cli.database import Database
from retryd.cli.options import Config, DatabaseUrl, Embedded, Json
from retryd.domain.errors import NotFound
from retryd.domain.policy import PRESETS, Policy

if TYPE_CHECKING:
    from retryd.compose import Store
    from retryd.settings import Configuration

DIGITS = 6  # PostgreSQL keeps an age to the microsecond

app = typer.Typer(help="Look after the policies.", rich_markup_mode=None)


@app.command("list")
def list_policies(*, json_: Json = False, config: Config = None) -> None:
    """List the policies of the configuration.

    Needs no database.
    """
    configuration = loaded(config)
    policies = configuration.policies().values()
    if json_:
        output.print_json([document_of(policy, configuration) for policy in policies])
        return
    output.print_table(
        ("name", "match", "attempts", "delays", "timeout", "max age", "priority", "origin"),
        [
            (
                policy.name,
                list(policy.match),
                policy.max_retries,
                schedule.backoff(policy),
                schedule.duration(policy.timeout_seconds),
                age_of(policy),
                policy.priority,
                origin_of(policy, configuration),
            )
            for policy in policies
        ],
    )


@app.command("preview")
def preview(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The policy.")] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Every policy.")] = False,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Draw the attempts of a policy, and when it gives up.

    For a retry that fails again and again with an error that is retried. Needs no database.
    """
    if all_ == (name is not None):
        message = "name one policy, or say --all"
        raise typer.BadParameter(message)
    policies = loaded(config).policies()
    if name is not None and name not in policies:
        raise NotFound(unknown(name, policies))
    chosen = policies.values() if name is None else (policies[name],)
    schedules = [schedule.schedule_of(policy) for policy in chosen]
    if json_:
        output.print_json([schedule.document_of(each) for each in schedules])
        return
    for number, each in enumerate(schedules):
        if number:
            typer.echo()
        schedule.draw(each)


@app.command("apply")
def apply(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
    ] = False,
    json_: Json = False,
    config: Config = None,
    database_url: DatabaseUrl = None,
    embedded: Embedded = False,
) -> None:
    """Tell capture of the configuration's policies.

    A worker does the same when it starts. Capture needs of a policy what a retry begins with:
    match, budget, age, priority and the bounds of the first delay. All else is the worker's.
    Policies that are not in the configuration stay.
    """
    from retryd.compose.configuration import published  # noqa: PLC0415 - it takes long to import

    rows = published(loaded(config).policies().values())

    async def act(store: Store) -> list[dict[str, Any]]:
        before = {row["name"]: row for row in await store.reads.policies()}
        if not dry_run:
            await store.operators.publish_policies(rows)
        return compared(before, {row["name"]: row for row in rows})

    changes = Database(config, database_url, embedded).ask(act)
    if json_:
        output.print_json({"applied": not dry_run, "policies": changes})
        return
    output.print_table(
        ("name", "change", "what"),
        [(each["name"], each["change"], told(each)) for each in changes],
    )
    if dry_run:
        output.print_text("nothing was changed")


def compared(
    before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return what publishing changes: each policy is new, changed, same, or kept as it is."""
    changes = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name, before.get(name))
        if old is None:
            change = "new"
        elif name not in after:
            change = "kept"
        else:
            change = "same" if rounded(old) == rounded(after[name]) else "changed"
        changes.append({"name": name, "change": change, "before": old, "after": new})
    return changes


def told(change: Mapping[str, Any]) -> str | None:
    """Say what is different."""
    match change["change"]:
        case "kept":
            return "not in this configuration"
        case "changed":
            before, after = rounded(change["before"]), rounded(change["after"])
            return "; ".join(
                f"{key} {output.cell(before[key])} → {output.cell(after[key])}"
                for key in after
                if before[key] != after[key]
            )
        case _:
            return None


def rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a policy so that it can be compared with what PostgreSQL has kept of it."""
    return {
        key: round(value, DIGITS) if isinstance(value, float) else value
        for key, value in row.items()
    }


def loaded(config: Path | None) -> Configuration:
    """Load the configuration. Raises ConfigurationError."""
    from retryd.compose import load_configuration  # noqa: PLC0415 - it takes long to import

    return load_configuration(config, os.environ, {})


def document_of(policy: Policy, configuration: Configuration) -> dict[str, Any]:
    """Return a policy as JSON has it."""
    return {**asdict(policy), "origin": origin_of(policy, configuration)}


def origin_of(policy: Policy, configuration: Configuration) -> str:
    """Say where a policy comes from."""
    preset = any(policy.name == each.name for each in PRESETS)
    if policy.name in configuration.retry.retry_policies:
        return "preset, changed in the configuration" if preset else "configuration"
    return "preset"


def age_of(policy: Policy) -> str | None:
    """Return how old a retry may get."""
    age = policy.max_age_seconds
    return None if age is None else schedule.duration(age)


def unknown(name: str, known: Mapping[str, object]) -> str:
    """Say that no policy has this name, and which one was probably meant."""
    near = difflib.get_close_matches(name, tuple(known), 1)
    remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
    return f"there is no policy {name!r}; {remedy}"
