"""Values of a payload by declared names: all that an event may put into what a handler does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator

from retryd.settings.block import told

FIELD_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_POINTER = re.compile(r"(/([^~/]|~[01])*)*")

PLACE: Final = re.compile(r"\{([^{}]*)\}")
"""Where a field stands in a text, in braces."""
MISSING: Final = object()


def _field_name(name: str) -> str:
    if not FIELD_NAME.fullmatch(name):
        raise told(": a field's name has 1 to 63 of a-z 0-9 _ and begins with no digit")
    return name


def _pointer(pointer: str) -> str:
    if not _POINTER.fullmatch(pointer):
        raise told(f" is {pointer[:255]!r}, give a JSON pointer into the payload, such as /user/id")
    return pointer


FieldName: TypeAlias = Annotated[str, AfterValidator(_field_name)]
Pointer: TypeAlias = Annotated[str, AfterValidator(_pointer)]
Fields: TypeAlias = Mapping[FieldName, Pointer]


def found_at(pointer: str, document: Any) -> Any:
    """Return what a JSON pointer (RFC 6901) leads to, MISSING if it leads nowhere."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        match document:
            case dict() if name in document:
                document = document[name]
            case list() if re.fullmatch("0|[1-9][0-9]{0,9}", name) and int(name) < len(document):
                document = document[int(name)]
            case _:
                return MISSING
    return document
