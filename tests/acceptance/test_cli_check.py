"""`retryd check`: each thing that would keep a worker from working is named, with its remedy."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from retryd.store.revisions import head
from tests.acceptance.commands import Ended, Shell
from tests.faults.test_time import under_faketime
from tests.postgres import Connection, Database

ROOT = Path(__file__).parents[2]
LOOKED_AT = [
    *("configuration", "handlers", "http", "database", "version", "clock", "pooler"),
    *("schema", "rights"),
]
CANARY = "hunter2"


def problems(ended: Ended, status: int) -> dict[str, str]:
    """Return what is wrong, by the name of the check."""
    assert (ended.status, ended.err) == (status, ""), ended
    lines = [line.split(maxsplit=2) for line in ended.out.splitlines()]
    return {check: detail for word, check, detail in lines if word == "problem"}


def configured(shell: Shell, document: dict[str, Any]) -> list[str]:
    """Write the configuration and return the options that name it."""
    (shell.folder / "config.json").write_text(json.dumps(document))
    return ["--config", "config.json"]


def as_role(url: str, role: str) -> str:
    """Return the address for the same user, acting as the role."""
    return f"{url}{'&' if '?' in url else '?'}role={role}"


async def test_where_all_is_well_each_check_says_so_in_a_line(shell: Shell) -> None:
    ended = await shell("check")
    assert problems(ended, 0) == {}
    lines = [line.split(maxsplit=2) for line in ended.out.splitlines()]
    assert [check for _, check, _ in lines] == LOOKED_AT
    assert {word for word, *_ in lines} == {"ok"}
    assert f"at {head()}, the newest" in ended.out
    assert "by RETRYD_DATABASE_URL" in ended.out


async def test_as_json_it_is_one_document(shell: Shell) -> None:
    document = (await shell("check", "--json")).document
    assert document["ok"] is True
    assert [check["check"] for check in document["checks"]] == LOOKED_AT
    broken = await shell("check", "--json", "--database-url", "postgresql://127.0.0.1:1/nowhere")
    assert (broken.status, broken.err) == (1, "")
    document = json.loads(broken.out)
    assert document["ok"] is False
    [problem] = [check for check in document["checks"] if not check["ok"]]
    assert problem["check"] == "database"
    assert "cannot be reached" in problem["detail"]


async def test_a_wrong_configuration_is_told_and_nothing_else_is_looked_at(shell: Shell) -> None:
    ended = await shell("check", *configured(shell, {"retry": {"batch_size": 0}}))
    told = problems(ended, 2)
    assert told.keys() == {"configuration"}
    assert told["configuration"].startswith("retry.batch_size is 0, allowed is a whole number")


async def test_a_spool_that_cannot_be_used_is_told_and_none_is_made(shell: Shell) -> None:
    (shell.folder / "here").mkdir()
    (shell.folder / "file").touch()
    spools = {"directory": "file/spool", "drain": ["here", "later/spool"]}
    ended = await shell("check", *configured(shell, {"spool": spools}))
    told = problems(ended, 1)
    assert told.keys() == {"spool"}
    assert told["spool"].startswith("file/spool cannot be used: ")
    assert f"{shell.folder}/file is no directory: remove it" in told["spool"]
    assert "ok       spool          here\n" in ended.out
    assert "later/spool, which is made when it is needed" in ended.out
    assert not (shell.folder / "later").exists()


async def test_an_application_that_cannot_be_imported_is_told_beside_the_rest(shell: Shell) -> None:
    ended = await shell("check", "--app", "billing:app")
    assert "No module named 'billing'" in problems(ended, 2)["application"]
    assert "rights" in ended.out


async def test_an_application_is_looked_at_with_its_handlers(shell: Shell) -> None:
    source = "import retryd\napp = retryd.App()\n@app.handler('a.*'{})\ndef send(retry): ...\n"
    (shell.folder / "billing.py").write_text(source.format(""))
    assert "handlers       send\n" in (await shell("check", "--app", "billing:app")).out
    (shell.folder / "billing.py").write_text(source.format(", policy='patient'"))
    told = problems(await shell("check", "--app", "billing:app"), 2)
    assert "there is no policy 'patient'" in told["handlers"]


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        ({"kind": "python", "target": "no:no"}, "handlers.h.target: 'no:no' cannot be imported"),
        ({"kind": "command", "argv": ["./no"]}, "handlers.h.argv: there is no program './no'"),
    ],
)
async def test_what_a_handler_needs_and_is_not_there_is_told(
    shell: Shell, handler: dict[str, Any], told: str
) -> None:
    options = configured(shell, {"handlers": {"h": {"match": ["a"], **handler}}})
    found = problems(await shell("check", *options), 2)["handlers"]
    assert found.startswith(told)
    assert found.endswith("(file config.json)")


async def test_without_a_database_the_ways_to_name_one_are_told(bare_shell: Shell) -> None:
    told = problems(await bare_shell("check"), 2)
    assert "no database is named: give --database-url" in told["database"]


async def test_a_database_out_of_reach_or_unknown_is_told_without_its_password(
    shell: Shell,
) -> None:
    nowhere = f"postgresql://someone:{CANARY}@127.0.0.1:1/nowhere"
    told = problems(await shell("check", "--database-url", nowhere), 1)
    where = "postgresql://someone:***@127.0.0.1:1/nowhere (by --database-url)"
    assert told["database"].startswith(f"{where}: PostgreSQL cannot be reached")
    unknown = f"{shell.variables['RETRYD_DATABASE_URL'].partition('?')[0]}_{secrets.token_hex(4)}"
    told = problems(await shell("check", "--database-url", unknown), 1)
    assert "does not exist" in told["database"]


async def test_a_database_that_may_not_be_written_to_is_told(
    shell: Shell, connection: Connection
) -> None:
    name = await connection.fetchval("select current_database()")
    await connection.execute(f"alter database {name} set default_transaction_read_only = on")
    told = problems(await shell("check"), 1)
    assert "is read only" in told["database"]


@pytest.mark.parametrize(("offset", "way"), [("-1h", "ahead of"), ("+1h", "behind")])
async def test_a_clock_that_is_wrong_by_an_hour_is_told(
    shell: Shell, offset: str, way: str
) -> None:
    variables = shell.variables | under_faketime(offset)
    told = problems(await Shell(shell.folder, variables)("check"), 1)
    assert f"s {way} this machine's" in told["clock"]
    assert 3590 < int(told["clock"].partition(" is ")[2].partition(" s ")[0]) < 3610


async def test_a_schema_that_is_missing_is_told(
    bare_shell: Shell, plain_database: Database
) -> None:
    ended = await bare_shell("check", "--database-url", plain_database.dsn)
    assert problems(ended, 1) == {"schema": "there is none of retryd's: run `retryd migrate`"}


async def test_a_schema_that_is_behind_is_told_and_one_that_is_ahead_will_do(
    shell: Shell, connection: Connection
) -> None:
    change = "update retryd.alembic_version set version_num = $1"
    await connection.execute(change, "0001")
    told = problems(await shell("check"), 1)
    assert told == {"schema": f"at 0001, behind {head()}: run `retryd migrate`"}
    await connection.execute(change, "from-the-future")
    ended = await shell("check")
    assert problems(ended, 0) == {}
    assert "newer than this retryd" in ended.out


async def test_a_role_that_may_not_run_a_worker_is_told_what_it_may(
    shell: Shell, connection: Connection
) -> None:
    url = shell.variables["RETRYD_DATABASE_URL"]
    worker = await shell("check", "--database-url", as_role(url, "retryd_worker"))
    assert problems(worker, 0) == {}
    assert "retryd_worker may work, capture, read" in worker.out
    producer = await shell("check", "--database-url", as_role(url, "retryd_producer"))
    told = problems(producer, 1)
    expected = "retryd_producer may capture; not run a worker: `grant retryd_worker to"
    assert told["rights"].startswith(expected)
    assert "check the rights of its user" in told["schema"]
    await connection.execute("revoke execute on function retryd.renew_leases from retryd_worker")
    worker = await shell("check", "--database-url", as_role(url, "retryd_worker"))
    assert problems(worker, 1).keys() == {"rights"}


async def test_the_schema_for_editors_is_printed_as_it_lies_in_the_repository(
    bare_shell: Shell,
) -> None:
    printed = await bare_shell("check", "--schema")
    assert (printed.status, printed.err) == (0, "")
    assert printed.out == (ROOT / "config.schema.json").read_text()


async def test_the_configuration_is_printed_with_its_origins_and_without_secrets(
    bare_shell: Shell,
) -> None:
    handler = {"kind": "command", "match": ["a"], "argv": ["true"], "env": {"KEY": CANARY}}
    document = {"http": {"tokens": ["env:TOKEN", CANARY]}, "handlers": {"h": handler}}
    options = configured(bare_shell, document)
    variables = {"TOKEN": CANARY, "RETRYD_RETRY__BATCH_SIZE": "7"}
    shell = Shell(bare_shell.folder, variables)
    url = f"postgresql://someone:{CANARY}@db/app"
    printed = await shell("check", "--print-config", "--json", *options, "--database-url", url)
    assert CANARY not in printed.out
    shown, origins = printed.document["configuration"], printed.document["origins"]
    assert shown["http"]["tokens"] == ["env:TOKEN", "***"]
    assert shown["database"]["url"] == "postgresql://someone:***@db/app"
    assert shown["handlers"]["h"]["env"] == {"KEY": "***"}
    assert origins["database.url"] == "--database-url"
    assert origins["http.tokens"] == "file config.json"
    assert origins["retry.batch_size"] == "RETRYD_RETRY__BATCH_SIZE"
    assert origins["retry.worker_count"] == "default"
    table = await shell("check", "--print-config", *options)
    assert (table.status, table.err) == (0, "")
    rows = [line.split() for line in table.out.splitlines()]
    assert ["retry.batch_size", "7", "RETRYD_RETRY__BATCH_SIZE"] in rows
    assert ["database.url", "null", "default"] in rows
    assert CANARY not in table.out


async def test_a_configuration_that_is_wrong_is_not_printed(bare_shell: Shell) -> None:
    options = configured(bare_shell, {"nonsense": CANARY})
    line = (await bare_shell("check", "--print-config", *options)).refused(2)
    assert "nonsense is unknown" in line
    assert CANARY not in line
