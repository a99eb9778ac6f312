"""A claimed retry, as handlers get it: made by the claimer, carried to the settlement."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias

from retryd.domain.errors import PayloadUndecodable

Json: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """An error that was recorded: its type, such as `httpx.ConnectError`, and its message."""

    type: str
    message: str = ""


# No slots: cached_property keeps what it computed in __dict__.
@dataclass(frozen=True, eq=False)
class Retry:
    """One operation to run again, held under a lease: the columns of a claim, in their order.

    `payload` and `attributes` are decoded when first asked for, and raise `PayloadUndecodable` if
    what is stored is no JSON. `original_error` is the failure that came in, `last_error` that of
    the last ended attempt in this life. `attempt` counts from 1; `life` grows with each replay.
    Payload and error texts are kept out of `repr`, which ends up in logs.
    """

    id: int
    claim_token: int
    event_id: str
    event_type: str
    operation: str
    handler: str
    policy: str | None
    source: str
    correlation_id: str | None
    payload_text: str = field(repr=False)
    attributes_text: str = field(repr=False)
    error_type: str | None = field(repr=False)
    error_message: str | None = field(repr=False)
    last_error_type: str | None = field(repr=False)
    last_error_message: str | None = field(repr=False)
    priority: int
    attempt: int
    lost_attempts: int
    snoozes: int
    max_retries: int
    life: int
    created_at: datetime
    lease_expires_at: datetime

    is_retry: ClassVar[Literal[True]] = True

    @classmethod
    def of_row(cls, row: Iterable[Any]) -> Self:
        """Make one of a row of a claim, which may have more columns behind those of a retry.

        There are many: it costs a third of a call with as many arguments.
        """
        retry = cls.__new__(cls)
        retry.__dict__.update(zip(COLUMNS, row, strict=False))
        return retry

    @cached_property
    def original_error(self) -> ErrorInfo | None:
        """The failure that came in."""
        if not self.error_type and not self.error_message:
            return None
        return ErrorInfo(self.error_type or "", self.error_message or "")

    @cached_property
    def last_error(self) -> ErrorInfo | None:
        """The failure of the last ended attempt in this life."""
        if not self.last_error_type:
            return None
        return ErrorInfo(self.last_error_type, self.last_error_message or "")

    @cached_property
    def payload(self) -> Json:
        """What the failed operation was called with."""
        return self._decoded("payload", self.payload_text)

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """What the producer noted beside the payload, trace context for one."""
        decoded: dict[str, Any] = self._decoded("attributes", self.attributes_text)
        return decoded

    def _decoded(self, name: str, text: str) -> Json:
        try:
            return json.loads(text)
        except (ValueError, TypeError, RecursionError) as error:
            message = f"retry {self.id}: its {name} cannot be decoded: {error}"
            raise PayloadUndecodable(message, self.id) from error


COLUMNS: Final = tuple(column.name for column in fields(Retry))
