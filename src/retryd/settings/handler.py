"""Handlers in the configuration: what all have, and the choice of a class by the kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field, ValidationInfo

from retryd.settings.block import Block, told
from retryd.settings.schema import shown
from retryd.settings.values import Name, Pattern

_HANDLER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}")


def _handler_name(name: str) -> str:
    if not _HANDLER_NAME.fullmatch(name):
        raise told(
            ": a handler's name has 1 to 200 letters, digits and _ . : - and begins with a letter"
            " or digit"
        )
    return name


def _not_empty(patterns: tuple[str, ...]) -> tuple[str, ...]:
    if not patterns:
        raise told(" is an empty list, give one pattern or more, such as invoice.*")
    return patterns


HandlerName: TypeAlias = Annotated[str, AfterValidator(_handler_name)]
Patterns: TypeAlias = Annotated[tuple[Pattern, ...], AfterValidator(_not_empty)]


class HandlerSettings(Block):
    """What each handler has, of whatever kind; a kind adds its own keys."""

    kind: str = Field(description="What runs the operation again.")
    match: Patterns = Field(description="Patterns of the operations that it runs, one or more.")
    policy: Name | None = Field(
        default=None, description="The name of its policy; null: the one that matches best."
    )
    dependency: Name | None = Field(
        default=None, description="What outside thing it needs, by its name."
    )

    def definition(self, name: str) -> dict[str, object]:
        """Return what the registry keeps of the handler that has this name."""
        return {
            "name": name,
            "match": list(self.match),
            "policy": self.policy,
            "dependency": self.dependency,
            "kind": self.kind,
        }


def by_kind(
    kinds: Mapping[str, type[HandlerSettings]],
) -> Callable[[object, ValidationInfo], object]:
    """Make the validator that reads a handler by the class of its kind, and by no other."""

    def validate(value: object, info: ValidationInfo) -> object:
        match value:
            case {"kind": str(kind)} if kind in kinds:
                return kinds[kind].model_validate(value, context=info.context)
            case {"kind": kind}:
                seen = shown(kind, {"type": "string"})
                raise told(f".kind is {seen}, allowed is {', '.join(kinds)}")
            case dict():
                raise told(f".kind is missing, give {', '.join(kinds)}")
            case HandlerSettings():
                return value
            case _:
                raise told(f" is {shown(value, {})}, allowed is an object")

    return validate
