"""What a use of retryd needs is what its code calls."""

from __future__ import annotations

import inspect
import re

from retryd.client import calls
from retryd.store import intake, queue, tokens
from retryd.store.rights import NEEDS


def called_in(module: object) -> set[str]:
    """Return the functions of the schema that the text of a module calls."""
    return set(re.findall(r"\bretryd\.(\w+)\(", inspect.getsource(module)))  # type: ignore[arg-type]


def test_working_and_capturing_need_what_they_call() -> None:
    assert NEEDS["work"] == set.union(*map(called_in, (queue, intake, tokens)))
    assert NEEDS["capture"] == called_in(calls)
