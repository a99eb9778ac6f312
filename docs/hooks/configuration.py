"""The page of all keys of the configuration, from the JSON schema that its models make."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from docs.hooks.table import table
from retryd.compose.configuration import configuration_schema
from retryd.settings.schema import SCHEMA_KEY, Schema

INTRODUCTION: Final = """# Configuration

Every key of `config.json`, made from the code. No key is needed: what is not given has its
default, and a handler may come from the code of an application instead. `config.example.json` has
all of them in one file, `config.schema.json` lets editors complete them, and `retryd check
--print-config` shows what counts and where it was given.

A key can be given as a variable: `RETRYD_` and its path, nested by two underscores, such as
`RETRYD_RETRY__WORKER_COUNT=8`. Flags go before variables, variables before the file. Durations
are in seconds, fractions allowed. A secret may be given as `env:NAME` or `file:/path`. An unknown
key is refused.

"""


def page() -> str:
    """Write the page."""
    document = configuration_schema()
    schema = Schema(document, {})
    blocks = "".join(
        f"## `{title}`\n\n{block.get('description', '')}\n\n" + rows_of(block, schema)
        for title, block in blocks_of("", document, document)
    )
    return INTRODUCTION + blocks


def blocks_of(path: str, block: Any, document: Any) -> Iterator[tuple[str, Any]]:
    """Yield each block of keys with its path; the block that holds others comes first."""
    yield path or "config.json", block
    for key, schema in block["properties"].items():
        here = f"{path}.{key}".lstrip(".")
        each = schema.get("additionalProperties")
        if "$ref" in schema:
            yield from blocks_of(here, followed(schema, document), document)
        elif isinstance(each, dict) and "$ref" in each:
            yield from blocks_of(f"{here}.NAME", followed(each, document), document)
        elif isinstance(each, dict) and "allOf" in each:
            for kind in each["allOf"]:
                name = kind["if"]["properties"]["kind"]["const"]
                of_kind = followed(kind["then"], document)
                yield f'{here}.NAME, kind "{name}"', of_kind


def followed(schema: Any, document: Any) -> Any:
    """Follow a reference."""
    return document["$defs"][schema["$ref"].rpartition("/")[2]]


def rows_of(block: Any, schema: Schema) -> str:
    """Write the keys of a block."""
    return table(
        ("key", "allowed", "default", "is"),
        [
            (
                f"`{key}`",
                schema.allowed(schema._followed(each)),  # noqa: SLF001 - the words of its refusals
                default_of(each),
                each.get("description", ""),
            )
            for key, each in block["properties"].items()
            if key != SCHEMA_KEY
        ],
    )


def default_of(schema: Any) -> str:
    """Write what counts when the key is not given."""
    match schema:
        case {"$ref": _}:
            return ""
        case {"default": default} if "const" not in schema:
            whole = isinstance(default, float) and default.is_integer()
            return f"`{json.dumps(int(default) if whole else default)}`"
        case _:
            return "needed"
