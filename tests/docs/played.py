"""Plays a page: what it tells a reader to type is typed, what it shows is what is printed.

The rules, for every page that is played:

- `sh` is run by bash, `sql` by psql, `python` that begins with `# name.py` is put into that file.
- `text` behind one of them is what it prints on standard output. A line `...` stands for any lines,
  or none. Times, durations, ids of events, names of workers and the widths of columns are the
  reader's own.
- Lines that set up the reader's machine are not run: an environment, its packages, where the
  database is, a checkout. What they name has to exist: the extras, and the targets of make.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.psql import psql, trimmed

ROOT: Final = Path(__file__).parents[2]
FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SET_UP: Final = re.compile(
    r"(?:python3 -m venv|pip install|make|git|cd|export RETRYD_DATABASE_URL=)\b.*"
)
OWN: Final = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"), "TIME"),
    (re.compile(r"\b\d+\.\d+(?:e-\d+)?\b|\b\d+e-\d+\b"), "DURATION"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "EVENT"),
    (re.compile(r"[\w.-]+/\d+/[0-9a-f]{12}"), "WORKER"),
    (re.compile(r" {2,}"), "  "),
)


@dataclass(frozen=True)
class Block:
    """What is to be typed, and what is printed then, where the page shows it."""

    language: str
    typed: str
    shown: str | None = None


def blocks_of(text: str) -> list[Block]:
    """Read the blocks of a page, each with the output behind it."""
    blocks: list[Block] = []
    for language, content in FENCE.findall(text):
        if language != "text":
            blocks.append(Block(language, content))
        else:
            assert blocks[-1].shown is None, f"nothing was typed for {content!r}"
            blocks[-1] = Block(blocks[-1].language, blocks[-1].typed, content)
    return blocks


@dataclass(frozen=True)
class Reader:
    """Somebody with a folder and a database, who types what a page says."""

    folder: Path
    dsn: str

    async def play(self, page: str) -> int:
        """Type all of a page; returns how many outputs were compared."""
        compared = 0
        for block in blocks_of((ROOT / page).read_text()):
            printed = await self.type(block)
            if block.shown is not None:
                assert same(block.shown, printed), f"{block.typed}\nprinted:\n{printed}"
                compared += 1
        return compared

    async def type(self, block: Block) -> str:
        """Type one block; returns what it printed."""
        match block.language:
            case "sh":
                return await self.run("bash", "-euo", "pipefail", "-c", without_set_up(block.typed))
            case "sql":
                quiet = ("-X", "--set", "ON_ERROR_STOP=1", "--pset", "pager=off")
                return await self.run(psql(), *quiet, self.dsn, "-c", block.typed)
            case "python":
                name = block.typed.partition("\n")[0].removeprefix("# ")
                assert re.fullmatch(r"\w+\.py", name), f"which file is {block.typed!r}?"
                (self.folder / name).write_text(block.typed)
                return ""
            case language:
                message = f"nobody can type {language}"
                raise AssertionError(message)

    async def run(self, *command: str) -> str:
        """Run a program to its end, which must be well."""
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.folder,
            env=self.variables(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode == 0, f"{command[-1]}\n{out.decode()}{err.decode()}"
        return out.decode()

    def variables(self) -> dict[str, str]:
        """Return an environment in which `retryd` is installed and the database is named."""
        folders = (Path(sys.executable).parent, os.environ["PATH"], Path(psql()).parent)
        path = os.pathsep.join(map(str, folders))
        own = {"PATH": path, "RETRYD_DATABASE_URL": self.dsn, "RETRYD_HTTP__PORT": "0"}
        return {**os.environ, **own, "LC_ALL": "C.UTF-8"}


def without_set_up(script: str) -> str:
    """Leave out what sets up the reader's machine, and check what it names."""
    kept = []
    for line in script.splitlines():
        if SET_UP.match(line):
            check_names(line)
        else:
            kept.append(line)
    return "\n".join(kept)


def check_names(line: str) -> None:
    """Fail when a line names an extra or a target of make that there is not."""
    if named := re.match(r"make (\w+)", line):
        targets = re.findall(r"^([a-z]+):.* ## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert named[1] in targets, line
    if named := re.match(r"pip install '?\.(?:\[([\w,]+)\])?'?", line):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        wanted = set(filter(None, (named[1] or "").split(",")))
        assert wanted <= project["optional-dependencies"].keys(), line


def same(shown: str, printed: str) -> bool:
    """Compare what a page shows with what was printed, as a reader would."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else re.escape(f"{line}\n")
        for line in anonymous(shown).splitlines()
    )
    return re.fullmatch(pattern, f"{anonymous(printed)}\n") is not None


def anonymous(text: str) -> str:
    """Take out what differs from reader to reader."""
    for pattern, word in OWN:
        text = pattern.sub(word, text)
    return trimmed(text)
