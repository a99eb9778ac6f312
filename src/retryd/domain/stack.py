"""Where an exception came from, as text: the `traceback` of the library, remembered per place."""

from __future__ import annotations

import traceback
from itertools import islice
from types import CodeType, TracebackType
from typing import Final, TypeAlias
from weakref import ref

FRAMES: Final = 100
PLACES: Final = 1_024
PLACE_LENGTH: Final = 2_000

_SHOWN_REPEATS = 3  # the library counts further frames of the same line instead of showing them
_HEADER = "Traceback (most recent call last):\n"
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"

# The library tells more of these than type and message: members, source, or a suggestion.
_ELABORATE = (BaseExceptionGroup, SyntaxError, ImportError, NameError, AttributeError)

# A code object as it is, since equal ones may stand in different files; the instruction in it; and
# the line where the instruction does not tell it, as in compiled extensions.
_Key: TypeAlias = tuple[int, int, int | None]
_Place: TypeAlias = tuple[ref[CodeType], str, str]

_places: dict[_Key, _Place] = {}


def stack_of(exc: BaseException) -> str:
    """Return what `traceback.format_exception` makes of it, with the last 100 frames of each.

    Reading source and pointing at the expression in it costs the library most of its time, so the
    text of a frame is made once per place and shows the source as it was then. Nothing of the
    exception, its frames or their code is kept. Raises what the library raises on broken ones.
    """
    try:
        text = _ordinary(exc)
    except Exception:  # noqa: BLE001 - broken in some way: the library knows best what to make of it
        text = None
    return "".join(traceback.format_exception(exc, limit=-FRAMES)) if text is None else text


def _ordinary(exc: BaseException) -> str | None:
    """Return the text of an exception and what led to it; None if the library has to do it."""
    parts: list[str] = []
    seen: set[int] = set()
    following: BaseException | None = exc
    while following is not None:
        exc = following
        frames = _frames(exc.__traceback__)
        last_line = _last_line(exc)
        # To some versions of the library, an exception that is false has no cause.
        if frames is None or last_line is None or id(exc) in seen or not bool(exc):
            return None
        seen.add(id(exc))
        parts += (last_line, frames)
        if (following := exc.__cause__) is not None:
            parts.append(_CAUSE)
        elif not exc.__suppress_context__ and (following := exc.__context__) is not None:
            parts.append(_CONTEXT)
    parts.reverse()
    return "".join(parts)


def _last_line(exc: BaseException) -> str | None:
    if isinstance(exc, _ELABORATE) or getattr(exc, "__notes__", None) is not None:
        return None
    kind = type(exc)
    name, module = kind.__qualname__, kind.__module__
    try:
        said = str(exc)
    except BaseException:  # noqa: BLE001 - the library writes that it failed, whatever was raised
        return None
    if not type(name) is type(module) is type(said) is str:
        return None
    if module not in {"__main__", "builtins"}:
        name = f"{module}.{name}"
    return f"{name}: {said}\n" if said else f"{name}\n"


def _frames(tb: TracebackType | None) -> str | None:
    if tb is None:
        return ""
    texts = [_HEADER]
    last_head, repeats = "", 0
    while tb is not None:
        code = tb.tb_frame.f_code
        at = tb.tb_lasti
        key = (id(code), at, None if at >= 0 else tb.tb_lineno)
        place = _places.get(key)
        if place is None or place[0]() is not code:
            place = _described(tb, code, key)
        _, text, head = place
        repeats = repeats + 1 if head == last_head else 1
        if repeats > _SHOWN_REPEATS or len(texts) > FRAMES:
            return None
        last_head = head
        texts.append(text)
        tb = tb.tb_next
    return "".join(texts)


def _described(tb: TracebackType, code: CodeType, key: _Key) -> _Place:
    """Let the library describe one frame, and remember what it says."""
    text = "".join(traceback.format_tb(tb, limit=1))
    place = ref(code), text, text.partition("\n")[0]
    if len(text) <= PLACE_LENGTH and _tells_its_line(tb, code):
        if len(_places) >= PLACES:
            _places.clear()
        _places[key] = place
    return place


def _tells_its_line(tb: TracebackType, code: CodeType) -> bool:
    """Tell whether the key has all that the text is made of, in tracebacks made by hand too."""
    at = tb.tb_lasti
    return at < 0 or next(islice(code.co_positions(), at // 2, None))[0] is not None
