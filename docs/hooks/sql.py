"""The page of all functions and views, from the header of each file in sql/."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SQL: Final = Path(__file__).parents[2] / "sql"
HEADER: Final = re.compile(
    r"(?P<comment>(?:--.*\n)+)create (?:or replace )?(?:function|view) "
    r"(?P<call>.*?)\n?(?:language|as)\b",
    re.DOTALL,
)
GRANT: Final = re.compile(
    r"^grant (?:execute|select) on .*? to (?P<roles>[\w, ]+);", re.MULTILINE | re.DOTALL
)

INTRODUCTION: Final = """# Every function and view

Made from `sql/`: what each promises, as its file says it. [SQL](../sql.md) has the whole life
with them, from capture to replay, and the roles. Those that no role may execute are parts of
others, and may change at any time.

"""


@dataclass(frozen=True)
class Described:
    """A function or view: its name, how it is called, its promise, and who may use it."""

    name: str
    call: str
    promise: str
    roles: str


def page() -> str:
    """Write the page."""
    functions = described("functions")
    parts = {
        "Functions": [each for each in functions if each.roles],
        "Views": described("views"),
        "Parts of other functions": [each for each in functions if not each.roles],
    }
    return INTRODUCTION + "".join(
        f"## {heading}\n\n" + "".join(map(section, each)) for heading, each in parts.items()
    )


def described(folder: str) -> list[Described]:
    """Read the files of a folder."""
    return [describe(path) for path in sorted((SQL / folder).glob("*.sql"))]


def describe(path: Path) -> Described:
    """Read one file."""
    text = path.read_text()
    found = HEADER.match(text)
    if found is None:
        message = f"{path} does not begin with its promise and its signature"
        raise ValueError(message)
    promise = " ".join(line.removeprefix("--").strip() for line in found["comment"].splitlines())
    roles = ", ".join(sorted({role for grant in GRANT.findall(text) for role in grant.split(", ")}))
    return Described(path.stem, found["call"].strip(), promise, roles)


def section(each: Described) -> str:
    """Write one of them."""
    roles = f"\n\nFor: {each.roles}." if each.roles else ""
    call = f"\n\n```sql\n{each.call}\n```" if "(" in each.call else ""
    return f"### {each.name}\n\n{each.promise}{call}{roles}\n\n"
