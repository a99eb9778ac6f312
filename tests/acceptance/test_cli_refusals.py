"""What cannot be done: one line that says what, where and what to do, and the status that fits."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from tests.acceptance.commands import Shell
from tests.postgres import Connection, Database

USAGE = {
    "no command": ([], "Missing command"),
    "an unknown command": (["nonsense"], "nonsense"),
    "an unknown option": (["list", "--nonsense"], "--nonsense"),
    "an id that is none": (["show", "seven"], "'seven' is no id"),
    "a limit of nothing": (["list", "--limit", "0"], "--limit"),
    "a place that is none": (["list", "--place", "here"], "'here'"),
    "a pattern that is none": (["list", "--operation", "a?"], "pattern 'a?'"),
    "an argument that is no text": (["list", "--handler", "\udcff"], "UTF-8"),
    "a revision that is none": (["migrate", "nonsense"], "there is no revision 'nonsense'"),
    "the SQL of one revision": (["migrate", "0001", "--sql"], "--sql"),
    "an instant without a zone": (["capture", "a", "--not-before", "2030-01-31"], "time zone"),
    "a payload that is no JSON": (["capture", "a.failed", "{"], "JSON"),
    "attributes that are no object": (["capture", "a.failed", "--attributes", "[]"], "attributes"),
    "an event type with a space": (["capture", "a b"], "event_type 'a b'"),
    "an event type of 201 characters": (["capture", "a" * 201], "201 characters"),
    "an event type of dots": (["capture", "." * 150], "dot"),
    "priority 42": (["capture", "a.failed", "--priority", "42"], "priority"),
    "a number of 5,000 digits": (["capture", "a.failed", "9" * 5000], "digits"),
    "a number of 1,000 digits": (["capture", "a.failed", "[1e999]"], "308 digits"),
    "infinity": (["capture", "a.failed", "[Infinity]"], "JSON"),
    "a NUL character": (["capture", "a.failed", '["\\u0000"]'], "NUL"),
    "half a surrogate pair": (["capture", "a.failed", '["\\ud800"]'], "surrogate"),
    "100 levels": (["capture", "a.failed", "[" * 100 + "]" * 100], "deep"),
}


@pytest.mark.parametrize(("arguments", "words"), USAGE.values(), ids=USAGE.keys())
async def test_a_wrong_use_is_refused_before_the_database_is_asked(
    bare_shell: Shell, arguments: Sequence[str], words: str
) -> None:
    nowhere = ["--database-url", "postgresql://127.0.0.1:1/nowhere"] if arguments else []
    line = (await bare_shell(*arguments, *nowhere)).refused(2)
    assert words in line


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (json.dumps("x" * 1024 * 1024), "larger than"),
        ("[" * 5000 + "]" * 5000, ""),
        ("\ud800", "UTF-8"),
    ],
    ids=["over 1 MiB", "5,000 levels", "bytes that are no text"],
)
async def test_a_bad_payload_on_standard_input_stores_nothing(
    shell: Shell, connection: Connection, typed: str, words: str
) -> None:
    process = await shell.start("capture", "a.failed", "-")
    out, err = await process.communicate(typed.encode(errors="surrogatepass"))
    assert (process.returncode, out) == (2, b"")
    [line] = err.decode().splitlines()
    assert line.startswith("retryd: ")
    assert words in line
    assert await connection.fetchval("select count(*) from retryd.failure_event") == 0


async def test_without_a_database_the_line_names_every_way_to_give_one(bare_shell: Shell) -> None:
    line = (await bare_shell("list")).refused(2)
    for way in (
        "--database-url",
        "RETRYD_DATABASE_URL",
        "database.url",
        "DATABASE_URL",
        "PGHOST",
        "--embedded",
    ):
        assert way in line


@pytest.mark.parametrize(
    "command", [["list"], ["migrate"], ["capture", "a.failed"], ["run", "--until-empty"]]
)
async def test_a_database_out_of_reach_is_status_1_and_keeps_its_password(
    bare_shell: Shell, command: list[str]
) -> None:
    quiet = {"RETRYD_LOG__LEVEL": "error"}
    shell = Shell(bare_shell.folder, quiet)
    url = "postgresql://someone:sesame@127.0.0.1:1/nowhere"
    line = (await shell(*command, "--database-url", url)).refused(1)
    assert "cannot be reached" in line
    assert "sesame" not in line


async def test_a_schema_that_is_missing_is_status_1_with_the_remedy(
    bare_shell: Shell, plain_database: Database
) -> None:
    line = (await bare_shell("list", "--database-url", plain_database.dsn)).refused(1)
    assert "run `retryd migrate`" in line


async def test_an_unknown_id_is_status_1(shell: Shell) -> None:
    assert "there is no retry 17" in (await shell("show", "17")).refused(1)
    assert "there is no dead letter 17" in (await shell("dlq", "show", "17")).refused(1)


async def test_a_right_that_is_missing_is_status_1(shell: Shell) -> None:
    url = shell.variables["RETRYD_DATABASE_URL"]
    separator = "&" if "?" in url else "?"
    as_producer = f"{url}{separator}role=retryd_producer"
    assert (await shell("capture", "a.failed", "--database-url", as_producer)).status == 0
    line = (await shell("list", "--database-url", as_producer)).refused(1)
    assert "permission denied" in line


async def test_every_problem_of_a_configuration_is_told(shell: Shell) -> None:
    configuration = {
        "nonsense": 1,
        "retry": {"retry_policies": {"default": {"initial_delay_seconds": -1}}},
    }
    (shell.folder / "config.json").write_text(json.dumps(configuration))
    ended = await shell("list", "--config", "config.json")
    assert (ended.status, ended.out) == (2, "")
    lines = ended.err.splitlines()
    assert all(line.startswith("retryd: ") for line in lines)
    assert "nonsense" in ended.err
    assert "initial_delay_seconds" in ended.err


@pytest.mark.parametrize(
    ("arguments", "files", "words"),
    [
        (["--app", "missing:app"], {}, "No module named 'missing'"),
        (["--app", "broken:app"], {"broken.py": "1 / 0"}, "ZeroDivisionError"),
        (["--app", "billing:thing"], {"billing.py": "thing = len"}, "not a retryd.App"),
        (["--app", "billing"], {"billing.py": ""}, "module:name"),
        (
            ["--config", "config.json"],
            {
                "config.json": json.dumps(
                    {"handlers": {"mail": {"kind": "python", "match": ["*"], "target": "no:no"}}}
                )
            },
            "handlers.mail.target",
        ),
        (["--config", "absent.json"], {}, "absent.json"),
    ],
    ids=["missing", "broken", "no App", "no name", "target", "no file"],
)
async def test_code_that_cannot_be_used_ends_run_with_status_2(
    shell: Shell, arguments: list[str], files: dict[str, str], words: str
) -> None:
    for name, text in files.items():
        (shell.folder / name).write_text(text)
    quiet = Shell(shell.folder, {**shell.variables, "RETRYD_LOG__LEVEL": "error"})
    assert words in (await quiet("run", "--until-empty", *arguments)).refused(2)
