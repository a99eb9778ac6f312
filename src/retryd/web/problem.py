"""Errors as RFC 9457 has them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi.responses import JSONResponse


def problem(
    status: int, headers: Mapping[str, str] | None = None, detail: str | None = None
) -> JSONResponse:
    """Return an error; without a detail its status says it all."""
    told = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    return JSONResponse(
        told if detail is None else {**told, "detail": detail},
        status,
        headers,
        media_type="application/problem+json",
    )
