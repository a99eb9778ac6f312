"""The JSON schema of the configuration, asked what a key allows and how keys are called."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

SCHEMA_KEY: Final = "$schema"
SHOWN_LENGTH: Final = 60
SINGLE: Final = frozenset({"integer", "number", "boolean", "string"})

Json: TypeAlias = "Mapping[str, Any]"
KeyPath: TypeAlias = "tuple[str, ...]"


@dataclass(frozen=True, slots=True)
class Place:
    """A key by its path, its schema, and the keys that stand beside it."""

    path: KeyPath
    schema: Json
    siblings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of a whole configuration, and a document that should have it."""

    root: Json
    document: object

    def locate(self, location: Iterable[int | str]) -> Place:
        """Follow the location of an error of pydantic, by the kind where several are allowed."""
        path: list[str] = []
        around: Json = {}
        here, value = self.root, self.document
        for step in location:
            if step == "[key]":
                break
            path.append(str(step))
            around = self._of_kind(here, value)
            below = around.get("properties", {}).get(step)
            here = self._followed(below or around.get("additionalProperties", around.get("items")))
            value = value.get(step) if isinstance(value, dict) else None
        return Place(tuple(path), here, tuple(around.get("properties", ())))

    def places(self, here: Json | None = None, path: KeyPath = ()) -> dict[str, KeyPath]:
        """Map each key's name, alone and behind the names of its blocks, to its path."""
        found: dict[str, KeyPath] = {}
        for key, below in (self.root if here is None else here).get("properties", {}).items():
            found |= self.places(self._followed(below), (*path, key))
            found |= {key: (*path, key), "_".join((*path, key)): (*path, key)}
        return found

    def allowed(self, schema: Json) -> str:
        """Say what may stand at a key."""
        match schema:
            case {"const": value}:
                said = _word(value)
            case {"enum": values}:
                said = ", ".join(map(_word, values))
            case {"type": "integer" | "number" as kind}:
                said = _range("a whole number" if kind == "integer" else "a number", schema)
            case {"type": "boolean"}:
                said = "true, false"
            case {"type": "string"}:
                said = "text, env:NAME or file:/path" if _secret(schema) else "text"
            case {"type": "array"}:
                each = self.allowed(self._followed(schema.get("items")))
                said = f"a list, each {each}"
            case {"type": "object"}:
                said = "an object"
            case _:
                said = "something else"
        return f"{said} or null" if "nullable" in schema else said

    def _of_kind(self, schema: Json, value: object) -> Json:
        """Choose among the kinds of a plug as its document does."""
        kind = value.get("kind") if isinstance(value, dict) else None
        choices = map(self._followed, schema.get("anyOf", ()))
        return next((each for each in choices if _constant(each, "kind") == kind), schema)

    def _followed(self, schema: object) -> Json:
        """Follow a reference, and leave the null of what is optional aside."""
        match schema:
            case {"$ref": str(name)}:
                found: Json = self.root["$defs"][name.rpartition("/")[2]]
                return found
            case {"anyOf": [some, {"type": "null"}]}:
                return {**self._followed(some), "nullable": True}
            case Mapping():
                return schema
            case _:
                return {}


def shown(value: object, schema: Json) -> str:
    """Show a value where a single one that is no secret belongs, elsewhere only what it is."""
    open_ = not _secret(schema) and ("enum" in schema or schema.get("type") in SINGLE)
    match value:
        case dict():
            return "an object"
        case tuple() | list():
            return "a list" if value else "an empty list"
        case None | bool():
            return _word(value)
        case str() | int() | float() if open_:
            text = repr(value)
            return text if len(text) <= SHOWN_LENGTH else text[:SHOWN_LENGTH] + "…"
        case _:
            return "text" if isinstance(value, str) else "a number"


def _constant(schema: Json, key: str) -> object:
    return schema.get("properties", {}).get(key, {}).get("const")


def _secret(schema: Json) -> bool:
    return "writeOnly" in schema


def _range(noun: str, schema: Json) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    return noun if low is None or high is None else f"{noun}, {low:.15g} to {high:.15g}"


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
