"""A statement of SQL with named values, `:name`, as the configuration has it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

_TOKEN: Final = re.compile(
    r"""
    (?<!\w)[eE]'(?:[^'\\]|''|\\.)*'         # text in which a backslash escapes
    | '(?:[^']|'')*'
    | "(?:[^"]|"")*"
    | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)
    | --[^\n]*
    | ::
    | (?<![\w:]):(?P<name>[A-Za-z_][\w$]*)
    | (?<![\w$])(?P<number>\$[0-9]+)         # PostgreSQL's own: told apart by its $
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT: Final = re.compile(r"/\*|\*/")


@dataclass(frozen=True, slots=True)
class Statement:
    """What stands between the names, and the names: `parts` is one longer than `places`."""

    parts: tuple[str, ...]
    places: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Find the names; what stands in quotes and comments is none."""
        parts, places = [], []
        begin = at = 0
        while match := next_token(text, at):
            at = match.end()
            if name := match["name"] or match["number"]:
                parts.append(text[begin : match.start()])
                places.append(name)
                begin = at
        return cls((*parts, text[begin:]), tuple(places))

    @property
    def names(self) -> tuple[str, ...]:
        """Each name once, in the order in which they come first."""
        return tuple(dict.fromkeys(self.places))

    def written(self, *values: str) -> str:
        """Return the text with these in the places of the names."""
        of = dict(zip(self.names, values, strict=True))
        return "".join(
            part + (of[self.places[n]] if n < len(self.places) else "")
            for n, part in enumerate(self.parts)
        )


def next_token(text: str, at: int) -> re.Match[str] | None:
    """Return the next thing that is quoted, a name or a cast, behind comments."""
    while True:
        match = _TOKEN.search(text, at)
        comment = text.find("/*", at, match.start() if match else len(text))
        if comment < 0:
            return match
        at = end_of_comment(text, comment)


def end_of_comment(text: str, begin: int) -> int:
    """Return where a comment ends that begins here; comments of SQL nest."""
    depth = 0
    for mark in _COMMENT.finditer(text, begin):
        depth += 1 if mark[0] == "/*" else -1
        if not depth:
            return mark.end()
    return len(text)
