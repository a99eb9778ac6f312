"""From what pydantic refuses to one problem per key: what stands there and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from retryd.settings.block import TOLD
from retryd.settings.schema import KeyPath, Place, Schema, shown

PATH_LENGTH: Final = 400
ALIKE: Final = 0.65
VERY_MUCH_ALIKE: Final = 0.9


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at a path; `message` goes on where its name ends, `meant` may be the remedy."""

    path: KeyPath
    message: str
    meant: KeyPath = ()


def problems_of(error: ValidationError, schema: Schema) -> list[Problem]:
    """Tell each refusal of the model that has this schema; a secret is never shown."""
    return [_problem(each, schema) for each in error.errors(include_url=False)]


def dotted(path: KeyPath) -> str:
    """Join the path with dots; a step that could not be read is quoted."""
    steps = (step if step and step.isprintable() else repr(step) for step in path)
    return ".".join(steps)[:PATH_LENGTH]


def closest(word: str, known: Iterable[str], alike: float = ALIKE) -> str | None:
    """Find the known word that was probably meant; `alike` is a ratio from 0 to 1."""
    return next(iter(difflib.get_close_matches(word, tuple(known), 1, alike)), None)


def _problem(error: ErrorDetails, schema: Schema) -> Problem:
    place = schema.locate(error["loc"])
    match error["type"]:
        case "extra_forbidden":
            return _unknown(place, schema)
        case "missing":
            purpose = place.schema.get("description", "").rstrip(".")
            wanted = schema.allowed(place.schema) + (f": {purpose}" if purpose else "")
            return Problem(place.path, f" is missing, give {wanted}")
        case "value_error" | "assertion_error":
            return Problem(place.path, f": {error['ctx']['error']}")
        case kind if kind == TOLD:
            return Problem(place.path, error["msg"])
        case _:
            seen = shown(error["input"], place.schema)
            return Problem(place.path, f" is {seen}, allowed is {schema.allowed(place.schema)}")


def _unknown(place: Place, schema: Schema) -> Problem:
    *around, key = place.path
    beside = {sibling: (*around, sibling) for sibling in place.siblings}
    anywhere = {} if around else schema.places()  # it may have lost its block
    for known, alike in ((anywhere, VERY_MUCH_ALIKE), (beside, ALIKE), (anywhere, ALIKE)):
        if found := closest(key, known, alike):
            return Problem(place.path, " is unknown", known[found])
    return Problem(place.path, f" is unknown, known are {', '.join(place.siblings)}")
