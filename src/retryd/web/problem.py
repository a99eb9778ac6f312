"""Errors as RFC 9457 has them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from fastapi import Response
from pydantic import BaseModel, Field

from retryd.domain.errors import RetrydError

PROBLEM_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one event: its index, a JSON pointer into it (RFC 6901), and words."""

    index: int
    pointer: str
    detail: str

    def shown(self) -> dict[str, Any]:
        """Return it as it stands in an answer."""
        return {"index": self.index, "pointer": self.pointer, "detail": self.detail}


class RequestRefused(RetrydError):
    """A request is answered with an error: its status, what is wrong, with which event."""

    def __init__(
        self,
        status: int,
        detail: str,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.faults = faults
        self.headers = headers

    def answer(self) -> Response:
        """Return the answer."""
        return problem(self.status, self.headers, str(self), self.faults)


def problem(
    status: int,
    headers: Mapping[str, str] | None = None,
    detail: str | None = None,
    faults: Sequence[Fault] = (),
) -> Response:
    """Return an error; without a detail its status says it all."""
    said: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
    }
    if detail is not None:
        said["detail"] = detail
    if faults:
        said["errors"] = [fault.shown() for fault in faults]
    # In ASCII: what a client sent may be half of a surrogate pair, which UTF-8 has not.
    return Response(json.dumps(said), status, headers, media_type=PROBLEM_TYPE)


class FaultModel(BaseModel):
    """What is wrong with one event."""

    index: int = Field(description="Its place among the events of the request, from 0.")
    pointer: str = Field(description="A JSON pointer (RFC 6901) into the event.")
    detail: str


class ProblemModel(BaseModel):
    """An error (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str | None = None
    errors: list[FaultModel] = Field(default=[], description="What is wrong with which event.")
