"""`retryd token`: a token is shown once, kept as a hash, listed without it, and ended."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from retryd.cli.tokens import Scope
from retryd.domain import api_token
from retryd.domain.api_token import hash_of, read_token
from tests.acceptance.commands import Shell
from tests.postgres import Clock, Connection, Database

TOKEN = re.compile(r"rtd_[0-9]+_[0-9a-f]{64}")


@pytest.fixture
def shell(database: Database, tmp_path: Path) -> Shell:
    """A shell whose commands have the rights of an operator."""
    separator = "&" if "?" in database.dsn else "?"
    return Shell(
        tmp_path, {"RETRYD_DATABASE_URL": f"{database.dsn}{separator}role=retryd_operator"}
    )


async def created(shell: Shell, *options: str) -> dict[str, Any]:
    """Make a token, and return what is told of it."""
    options = options or ("--name", "shop", "--scope", "ingest")
    document: dict[str, Any] = (await shell("token", "create", *options, "--json")).document
    return document


def test_the_command_offers_the_scopes_that_there_are() -> None:
    assert [scope.value for scope in Scope] == list(get_args(api_token.Scope))


async def test_a_token_is_shown_once_and_only_its_hash_is_kept(
    shell: Shell, connection: Connection
) -> None:
    options = ("--name", "shop", "--scope", "read", "--scope", "ingest", "--scope", "read")
    document = await created(shell, *options)
    assert document.keys() == {"id", "token", "scopes"}
    assert document["scopes"] == ["ingest", "read"]
    read = read_token(document["token"])
    assert read is not None
    id, secret = read
    assert id == document["id"]
    [row] = await connection.fetch("select * from retryd.live_tokens()")
    assert (row["id"], row["name"], row["scopes"]) == (id, "shop", ["ingest", "read"])
    assert row["secret_sha256"] == hash_of(secret) == hashlib.sha256(secret).digest()
    stored = await connection.fetchval("select to_jsonb(a)::text from retryd.api_token a")
    listed = (await shell("token", "list", "--all", "--json")).out
    for place in (stored, listed, (await shell("token", "list")).out):
        assert secret.hex() not in place
    assert hash_of(secret).hex() not in listed


async def test_people_are_told_that_they_see_it_this_once(shell: Shell) -> None:
    ended = await shell("token", "create", "--name", "shop", "--scope", "ingest")
    assert (ended.status, ended.err) == (0, "")
    *facts, last = ended.out.splitlines()
    assert [line.split()[0] for line in facts] == ["id", "name", "scopes", "token"]
    assert TOKEN.fullmatch(facts[-1].split()[1])
    assert "this once" in last


async def test_no_two_tokens_are_alike(shell: Shell) -> None:
    first, second = [await created(shell) for _ in range(2)]
    assert first["id"] != second["id"]
    assert first["token"].split("_")[2] != second["token"].split("_")[2]


async def test_live_tokens_are_listed_and_all_others_where_they_are_wanted(
    shell: Shell, clock: Clock
) -> None:
    stays, expires, leaked = [
        (await created(shell, "--name", name, "--scope", "read", *more))["id"]
        for name, more in (("stays", ()), ("expires", ("--expires-days", "0.5")), ("leaked", ()))
    ]
    await clock.advance(0.5 * 86_400 + 60)
    await shell("token", "revoke", str(leaked), "--reason", "it was in a log")
    [row] = (await shell("token", "list", "--json")).document
    assert (row["id"], row["name"], row["state"], row["expires_at"]) == (
        *(stays, "stays", "live"),
        None,
    )
    rows = (await shell("token", "list", "--all", "--json")).document
    assert [(row["id"], row["state"]) for row in rows] == [
        (leaked, "revoked"),
        (expires, "expired"),
        (stays, "live"),
    ]
    assert rows[0]["revoke_reason"] == "it was in a log"
    made, ends = (datetime.fromisoformat(rows[1][name]) for name in ("created_at", "expires_at"))
    assert (ends - made).total_seconds() == 43_200
    told = (await shell("token", "list", "--all")).out
    assert "it was in a log" in told
    assert "stays" in (await shell("token", "list")).out


async def test_revoke_ends_each_of_several_and_says_why_one_cannot_be_ended(
    shell: Shell, connection: Connection
) -> None:
    first, second = [(await created(shell))["id"] for _ in range(2)]
    ended = await shell("token", "revoke", str(first))
    assert (ended.status, ended.out, ended.err) == (0, f"revoked {first}\n", "")
    ended = await shell("token", "revoke", str(first), str(second), "999", "--json")
    assert ended.status == 1
    assert json.loads(ended.out) == {"revoked": [second], "refused": [first, 999]}
    again, unknown = ended.err.splitlines()
    assert again.startswith(f"retryd: token {first} was revoked already, by ")
    assert unknown == "retryd: there is no token 999; `retryd token list` shows them"
    assert await connection.fetch("select * from retryd.live_tokens()") == []


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        (("--name", "shop"), "--scope"),
        (("--scope", "read"), "--name"),
        (("--name", "shop", "--scope", "root"), "'ingest', 'read', 'payload', 'operate', 'admin'"),
        (("--name", "", "--scope", "read"), "1 to 255 bytes"),
        (("--name", "ä" * 128, "--scope", "read"), "1 to 255 bytes"),
        (("--name", "shop", "--scope", "read", "--expires-days", "0"), "more than 0"),
        (("--name", "shop", "--scope", "read", "--expires-days", "nan"), "no number of days"),
        (("--name", "shop", "--scope", "read", "--expires-days", "-1"), "no number of days"),
        (("--name", "shop", "--scope", "read", "--expires-days", "99999"), "36500 days"),
    ],
)
async def test_what_is_no_token_is_refused(
    shell: Shell, options: tuple[str, ...], saying: str
) -> None:
    assert saying in (await shell("token", "create", *options)).refused(2)


async def test_a_token_given_in_the_place_of_its_id_is_not_shown_again(shell: Shell) -> None:
    token = (await created(shell))["token"]
    line = (await shell("token", "revoke", token)).refused(2)
    assert "that is no id" in line
    assert token not in line


async def test_who_only_reads_makes_and_ends_no_tokens(shell: Shell, database: Database) -> None:
    number = (await created(shell))["id"]
    separator = "&" if "?" in database.dsn else "?"
    reader = Shell(
        shell.folder, {"RETRYD_DATABASE_URL": f"{database.dsn}{separator}role=retryd_reader"}
    )
    assert len((await reader("token", "list", "--json")).document) == 1
    line = (await reader("token", "create", "--name", "me", "--scope", "admin")).refused(1)
    assert "check the rights of its user" in line
    assert "rights" in (await reader("token", "revoke", str(number))).refused(1)
