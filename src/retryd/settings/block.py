"""What every block of the configuration is made of: strict, frozen, and closed to unknown keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic_core import PydanticCustomError

from retryd.domain.errors import Refused
from retryd.settings.document import decode

# The type of errors whose message continues the key's path: " is empty, …" or ": pattern …".
TOLD = "told"


class Variable(str):
    """The text of an environment variable: taken as it is where text is allowed, else as JSON."""

    __slots__ = ()


class Block(BaseModel):
    """The parent of all settings classes. Values have their JSON type; arrays come as tuples."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, protected_namespaces=()
    )

    @field_validator("*", mode="wrap")
    @classmethod
    def _read_variable(cls, value: object, validate: ValidatorFunctionWrapHandler) -> object:
        if not isinstance(value, Variable):
            return validate(value)
        try:
            return validate(str(value))
        except ValidationError as refusal:
            try:
                decoded = decode(value)
            except ValueError as error:
                if value.lstrip().startswith(("{", "[")):
                    raise told(f" is not JSON: {error}") from None
                raise refusal from None
            return validate(decoded)


def told(message: str) -> PydanticCustomError:
    """Make the error whose message follows the path of the key as it is."""
    return PydanticCustomError(TOLD, "{message}", {"message": message})


def refused_by(check: Callable[[str], None]) -> Callable[[str], str]:
    """Make a validator of a check of the domain; what it refuses is told behind the key."""

    def validate(value: str) -> str:
        try:
            check(value)
        except Refused as refused:
            raise told(f": {refused}") from None
        return value

    return validate


def _no_number(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        raise PydanticCustomError("switch", "a number is no switch")
    return value


# In Python 1 equals True, in JSON it does not.
Switch: TypeAlias = Annotated[Literal["auto", True, False], BeforeValidator(_no_number)]
