"""The JSON schema of `config.json`, for editors that complete keys and mark what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from retryd.settings.handler import HandlerSettings
from retryd.settings.models import Configuration
from retryd.settings.schema import SCHEMA_KEY

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
KIND: Final = HandlerSettings.model_fields["kind"].description


def editor_schema(model: type[Configuration]) -> dict[str, Any]:
    """Return the schema of a whole file; what is wrong across several keys only retryd knows."""
    made = model.model_json_schema()
    kinds = {
        block["properties"]["kind"]["const"]: name
        for name, block in made["$defs"].items()
        if "const" in block["properties"].get("kind", {})
    }
    for name in kinds.values():
        made["$defs"][name]["properties"]["kind"]["description"] = KIND
    made["properties"]["handlers"]["additionalProperties"] = _by_kind(kinds)
    own = {"type": "string", "description": "Where this schema is; retryd itself does not look."}
    return {
        SCHEMA_KEY: DIALECT,
        "title": "config.json of retryd",
        "description": "Every key has a default; handlers come from here or from an application.",
        "type": "object",
        "additionalProperties": False,
        "properties": {SCHEMA_KEY: own, **_plain(made["properties"])},
        "$defs": _plain(made["$defs"]),
    }


def _by_kind(kinds: Mapping[str, str]) -> dict[str, Any]:
    """Choose the definition by the kind, so that an editor complains in the words of that kind."""
    return {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"enum": list(kinds), "description": KIND}},
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": kind}}},
                "then": {"$ref": f"#/$defs/{name}"},
            }
            for kind, name in kinds.items()
        ],
    }


def _plain(schema: Any) -> Any:
    """Leave out what says nothing: titles, names of keys again, and defaults of whole blocks."""
    match schema:
        case {"$ref": _}:
            return {key: value for key, value in schema.items() if key != "default"}
        case dict():
            return {
                key: _plain(value)
                for key, value in schema.items()
                if key != "title" or not isinstance(value, str)
            }
        case list():
            return [_plain(each) for each in schema]
        case _:
            return schema
