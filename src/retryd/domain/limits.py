"""What may come in and how large: checked before anything is sent, and again by the SQL door."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, TypeAlias

from retryd.domain.errors import Refused
from retryd.domain.json_text import WrittenNumber, encode_plain, write_json

EVENT_TYPE_LENGTH: Final = 200
OWN_EVENTS: Final = "retryd."
"""How the types of retryd's own events begin: none is ever captured, or it would feed itself."""
KEY_BYTES: Final = 255
PAYLOAD_BYTES: Final = 1024 * 1024
ATTRIBUTES_BYTES: Final = 16 * 1024
JSON_DEPTH: Final = 64
NUMBER_DIGITS: Final = 308
ERROR_MESSAGE_BYTES: Final = 8 * 1024
ERROR_STACK_BYTES: Final = 64 * 1024
CAPTURE_EVENTS: Final = 10_000
LOWEST_PRIORITY: Final = 9
MAX_RETRIES: Final = 1_000_000
MAX_LOST_ATTEMPTS: Final = 1_000
MAX_SNOOZES: Final = 1_000
MAX_DELAY_SECONDS: Final = 366 * 86_400.0

CUT_MARK: Final = "… [cut]"

_EVENT_TYPE = re.compile(r"[A-Za-z0-9_.:-]+")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # neither text nor jsonb of PostgreSQL holds these
_NEVER_EMPTY = {"event_id", "ordering_key"}
_NUMBER_BOUND = 10**NUMBER_DIGITS
_TOO_MANY_DIGITS = f"has more than {NUMBER_DIGITS} digits written out: give text"

_BYTES_AT_MOST = 5  # of a character of JSON: four, and a space that PostgreSQL puts behind it
_ORDINARY_PARTS = 1_000
_ATOMS = frozenset({str, int, float, bool, type(None)})
_TEXT = frozenset({str})
_EXPONENT = re.compile("[0-9]e[-+][0-9]")
_STRIDE = 34  # 309 digits in a row have at least nine on each 34th place
_DIGITS = re.compile("[0-9]{9}")

_Trail: TypeAlias = "tuple[_Trail, str | int] | None"


def check_event_type(text: object) -> None:
    """Refuse what is no event type: 1 to 200 of `[A-Za-z0-9_.:-]`, no dot at either end.

    Those that begin with `retryd.` are retryd's own, and refused too.
    """
    if not isinstance(text, str):
        raise Refused(f"event_type is of type {type(text).__name__}: give text")
    _check_event_type(text)


@lru_cache
def _check_event_type(text: str) -> None:
    if not 0 < len(text) <= EVENT_TYPE_LENGTH:
        raise Refused(f"event_type has {len(text)} characters: give 1 to {EVENT_TYPE_LENGTH}")
    if not _EVENT_TYPE.fullmatch(text):
        raise Refused(f"event_type {text!r} has other characters than A-Z a-z 0-9 _ . : - in it")
    if text.startswith(".") or text.endswith("."):
        raise Refused(f"event_type {text!r} begins or ends with a dot: leave that dot out")
    if text.startswith(OWN_EVENTS):
        raise Refused(
            f"event_type begins with {OWN_EVENTS!r}, as retryd's own events do, which are never"
            " captured: give another name to what failed"
        )


def check_key(name: str, value: object) -> None:
    """Refuse what is no key (event_id, source, …): text of at most 255 bytes of UTF-8.

    An event_id or ordering_key that is empty would make strangers equal and is refused too.
    """
    if not isinstance(value, str):
        raise Refused(f"{name} is of type {type(value).__name__}: give text")
    if not value and name in _NEVER_EMPTY:
        raise Refused(f"{name} is empty: leave it out instead")
    if len(value) > KEY_BYTES or len(value.encode(errors="replace")) > KEY_BYTES:
        raise Refused(f"{name} is too long: give at most {KEY_BYTES} bytes")
    if fault := _text_fault(value):
        raise Refused(f"{name} {fault}")


def check_priority(value: object) -> None:
    """Refuse what is no priority: a whole number from 0, which runs first, to 9."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused(f"priority is of type {type(value).__name__}: give an integer")
    if not 0 <= value <= LOWEST_PRIORITY:
        raise Refused(f"priority is out of range: give 0 (runs first) to {LOWEST_PRIORITY}")


def cut(text: str, limit: int) -> str:
    """Make an error text storable in at most `limit` bytes of UTF-8, which hold at least the mark.

    A text that is too long ends with the mark; NUL and lone surrogates become U+FFFD. Cutting a
    cut text changes nothing.
    """
    head = text[: limit + 1]
    if len(head) <= limit and head.isascii() and "\x00" not in head:
        return head
    head = _UNSTORABLE.sub("\ufffd", head)
    encoded = head.encode()
    if len(encoded) <= limit:
        return head
    return encoded[: limit - len(CUT_MARK.encode())].decode(errors="ignore") + CUT_MARK


def encode_json(
    name: str, value: object, max_bytes: int = PAYLOAD_BYTES, max_depth: int = JSON_DEPTH
) -> str:
    """Encode a value as compact JSON, or refuse it with the JSON pointer of what is wrong.

    Its size is that of the text that PostgreSQL makes of it, with a space behind each `,` and `:`
    and all digits of `1e300` written out, so what passes here passes the SQL door.
    """
    if max_depth == JSON_DEPTH and (ordinary := ordinary_json(value, max_bytes)) is not None:
        return ordinary
    growth = check_json(name, value, max_bytes, max_depth)
    text = write_json(value, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) + growth > max_bytes:
        raise _too_large(name, max_bytes)
    return text


def ordinary_json(root: object, max_bytes: int) -> str | None:
    """Encode a small value of usual types that surely fits; None: it needs a closer look.

    Most values are such, and to look at each of their parts costs more than all else in a capture.
    """
    containers: list[Any] = [root]
    parts = 0
    for value in containers:  # which grows meanwhile
        kind = type(value)
        if kind is dict and _TEXT.issuperset(map(type, value)):
            children = value.values()
        elif kind is list:
            children = value
        elif value is root and kind in _ATOMS:
            break
        else:
            return None
        parts += len(value)
        if parts > _ORDINARY_PARTS:
            return None
        if not _ATOMS.issuperset(map(type, children)):
            containers += [child for child in children if type(child) not in _ATOMS]
    try:
        text = encode_plain(root)
    except (ValueError, RecursionError):  # NaN, or an integer of thousands of digits; or too deep
        return None
    fits = (
        _BYTES_AT_MOST * len(text) <= max_bytes
        and text.count("[") + text.count("{") <= JSON_DEPTH
        and "\\u0000" not in text
        and (text.isascii() or not _UNSTORABLE.search(text))
        and not _DIGITS.search(text[::_STRIDE])
        and not (("e-" in text or "e+" in text) and _EXPONENT.search(text))
    )
    return text if fits else None


def check_json(name: str, root: object, max_bytes: int, max_depth: int) -> int:
    """Check every value, without recursion; return the bytes that PostgreSQL's text has on top.

    The least size is summed on the way: lists that share their items can be small in memory and
    endless as text. Raises Refused with the JSON pointer of what is wrong.
    """
    growth = least = 0
    todo: list[tuple[object, _Trail, int]] = [(root, None, 1)]
    while todo:
        value, trail, depth = todo.pop()
        if fault := _fault(value, depth, max_depth):
            pointer = _pointer(trail)
            raise Refused(f"{name}{pointer and f' at {pointer}'} {fault}", pointer=pointer)
        children: Iterable[tuple[str | int, object]] = ()
        least += 1
        match value:
            case str():
                least += len(value)
            case WrittenNumber(text=text):
                growth += _written_out(value) - len(text)
            case float():
                growth += len(_plain(value)) - len(float.__repr__(value))
            case dict():
                least += len(value) + sum(map(len, value))
                growth += max(2 * len(value) - 1, 0)
                children = value.items()
            case list() | tuple():
                least += len(value)
                growth += max(len(value) - 1, 0)
                children = enumerate(value)
        if least > max_bytes:
            raise _too_large(name, max_bytes)
        todo.extend((child, (trail, step), depth + 1) for step, child in children)
    return growth


def _fault(value: object, depth: int, max_depth: int) -> str | None:
    """Say what is wrong with the value itself, whatever it contains."""
    match value:
        case None | bool():
            return None
        case str():
            return _text_fault(value)
        case int() | float():
            return _number_fault(value)
        case WrittenNumber():
            return _written_fault(value)
        case dict() | list() | tuple() if depth > max_depth:
            return f"is nested too deep: {max_depth} levels are allowed"
        case dict():
            return next(filter(None, map(_key_fault, value)), None)
        case list() | tuple():
            return None
        case _:
            return f"is of type {type(value).__name__}, which JSON does not have: give text"


def _key_fault(key: object) -> str | None:
    if not isinstance(key, str):
        return f"has a key of type {type(key).__name__}: JSON keys are text"
    fault = _text_fault(key)
    return fault and f"has a key that {fault}"


def _number_fault(value: float) -> str | None:
    if isinstance(value, int):
        fits = -_NUMBER_BOUND < value < _NUMBER_BOUND
    elif math.isfinite(value):
        fits = all(len(run) <= NUMBER_DIGITS for run in _plain(abs(value)).split("."))
    else:
        return "is NaN or infinite, which JSON does not have: give null or text"
    return None if fits else _TOO_MANY_DIGITS


def _written_fault(value: WrittenNumber) -> str | None:
    digits = value.digits()
    fits = digits is not None and max(digits) <= NUMBER_DIGITS
    return None if fits else _TOO_MANY_DIGITS


def _written_out(value: WrittenNumber) -> int:
    """Count the characters that PostgreSQL makes of a number that fits."""
    whole, fraction = value.digits() or (0, 0)
    return value.text.startswith("-") + whole + (fraction and fraction + 1)


def _text_fault(text: str) -> str | None:
    found = _UNSTORABLE.search(text)
    if not found:
        return None
    character = "a NUL character" if found[0] == "\x00" else "half of a surrogate pair"
    return f"contains {character}, which PostgreSQL cannot store: take it out"


def _plain(value: float) -> str:
    """Write all digits and no exponent, as PostgreSQL does."""
    text = float.__repr__(value)
    return format(Decimal(text), "f") if "e" in text else text


def _pointer(trail: _Trail) -> str:
    """Write the way to a value as a JSON pointer (RFC 6901), shortened where it is long."""
    steps: list[str] = []
    while trail:
        trail, step = trail
        steps.append("/" + str(step)[:KEY_BYTES].replace("~", "~0").replace("/", "~1"))
    return cut("".join(reversed(steps)), KEY_BYTES)


def _too_large(name: str, max_bytes: int) -> Refused:
    return Refused(f"{name} is larger than {max_bytes} bytes of JSON: send a reference to it")
