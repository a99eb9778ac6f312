"""Errors as RFC 9457 has them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi.responses import JSONResponse


def problem(status: int, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an error whose status says it all."""
    return JSONResponse(
        {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status},
        status,
        headers,
        media_type="application/problem+json",
    )
