"""What /openapi.json tells of the door for events: bodies, answers, examples."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from retryd.domain.limits import EVENT_TYPE_LENGTH, KEY_BYTES, LOWEST_PRIORITY
from retryd.web.events import EVENTS
from retryd.web.media import BATCH_TYPE, JSON_TYPE, STRUCTURED_TYPE
from retryd.web.problem import PROBLEM_TYPE, FaultModel, ProblemModel


class TakenEvent(BaseModel):
    """What became of one event."""

    index: int = Field(description="Its place among the events of the request, from 0.")
    event_id: str = Field(description="Its id, given or made here.")
    outcome: Literal["new", "duplicate", "loop", "spooled"]
    ids: list[str] = Field(description="Its retries; of a loop its dead letter.")


class TakenEvents(BaseModel):
    """What became of the events of a request."""

    ids: list[str] = Field(description="The ids of all retries; numbers, written as text.")
    durability: Literal["committed", "spool"] = Field(
        description="committed: in PostgreSQL; spool: on this host's disk, until that is back."
    )
    events: list[TakenEvent]


KEY: Final = {"type": ["string", "null"], "maxLength": KEY_BYTES}
TYPE: Final = {
    "type": "string",
    "pattern": "^[A-Za-z0-9_:-]([A-Za-z0-9_.:-]*[A-Za-z0-9_:-])?$",
    "maxLength": EVENT_TYPE_LENGTH,
}
PLAIN: Final = {
    "type": "object",
    "required": ["event_type"],
    "additionalProperties": False,
    "properties": {
        "event_type": TYPE,
        "payload": {"description": "Any JSON value; null means {}."},
        "event_id": {**KEY, "minLength": 1},
        "source": KEY,
        "correlation_id": KEY,
        "error_type": KEY,
        "error_message": {"type": ["string", "null"]},
        "error_stack": {"type": ["string", "null"]},
        "priority": {"type": ["integer", "null"], "minimum": 0, "maximum": LOWEST_PRIORITY},
        "ordering_key": {**KEY, "minLength": 1},
        "not_before": {"type": ["string", "null"], "format": "date-time"},
        "attributes": {"type": ["object", "null"]},
    },
}
CLOUDEVENT: Final = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "maxLength": KEY_BYTES},
        "source": {"type": "string", "minLength": 1, "maxLength": KEY_BYTES},
        "type": TYPE,
        "subject": {"type": ["string", "null"], "minLength": 1, "maxLength": KEY_BYTES},
        "time": {"type": ["string", "null"], "format": "date-time"},
        "datacontenttype": {"type": ["string", "null"]},
        "dataschema": {"type": ["string", "null"], "minLength": 1},
        "data": {"description": "Any JSON value, or text where datacontenttype is text/…"},
        "data_base64": {"type": ["string", "null"], "contentEncoding": "base64"},
        "errortype": KEY,
        "errormessage": {"type": ["string", "null"]},
        "priority": {"type": ["integer", "string", "null"]},
        "orderingkey": {**KEY, "minLength": 1},
        "notbefore": {"type": ["string", "null"], "format": "date-time"},
    },
}
PLAIN_EXAMPLE: Final = {
    "event_type": "invoice.email.failed",
    "event_id": "4711",
    "source": "billing",
    "payload": {"invoice": 4711},
}
CLOUDEVENT_EXAMPLE: Final = {
    "specversion": "1.0",
    "id": "4711",
    "source": "/billing",
    "type": "invoice.email.failed",
    "data": {"invoice": 4711},
}


TAKEN: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "The event_id of one plain event that has none; not with a signature.",
            "schema": {"type": "string", "minLength": 1, "maxLength": KEY_BYTES},
        },
        {
            "name": "retryd-hops",
            "in": "header",
            "description": "How often what failed came out of retryd; beyond 3 it is a loop.",
            "schema": {"type": "integer", "minimum": 0},
        },
    ],
    "requestBody": {
        "required": True,
        "content": {
            STRUCTURED_TYPE: {"schema": CLOUDEVENT, "example": CLOUDEVENT_EXAMPLE},
            BATCH_TYPE: {
                "schema": {"type": "array", "items": CLOUDEVENT, "maxItems": EVENTS},
                "example": [CLOUDEVENT_EXAMPLE],
            },
            JSON_TYPE: {
                "schema": {
                    "anyOf": [PLAIN, {"type": "array", "items": PLAIN, "maxItems": EVENTS}],
                    "description": "Plain events; with headers ce-… the data of a CloudEvent.",
                },
                "example": PLAIN_EXAMPLE,
            },
        },
    },
}


def answer(description: str) -> dict[str, Any]:
    """Describe an answer that says what became of the events."""
    return {"model": TakenEvents, "description": description}


def error(description: str, *headers: str) -> dict[str, Any]:
    """Describe an answer that is a problem, with these headers."""
    schema = ProblemModel.model_json_schema()
    schema["properties"]["errors"]["items"] = schema.pop("$defs")[FaultModel.__name__]
    return {
        "description": description,
        "content": {PROBLEM_TYPE: {"schema": schema}},
        "headers": {name: {"schema": {"type": "string"}} for name in headers},
    }


def takes_events() -> dict[str, Any]:
    """Describe the route, as FastAPI takes it."""
    return {
        "status_code": 201,
        "response_model": TakenEvents,
        "responses": {
            200: answer("All of them are here already."),
            201: answer("Committed in PostgreSQL; at least one is new."),
            202: answer(
                "PostgreSQL is away; on the disk of this host, and captured when it is back."
            ),
            400: error("The body is no JSON, or did not come whole."),
            401: error(
                "No token, or one that does not count; or a wrong signature.", "WWW-Authenticate"
            ),
            403: error("The token has not the scope `ingest`.", "WWW-Authenticate"),
            409: error("Another event has the source and id of one, with other content."),
            413: error("The body or the batch is too large."),
            415: error("A type, charset or encoding that is not taken."),
            422: error("An event that cannot be taken; `errors` tells which, and where."),
            429: error("The queue is full, or too much comes at once.", "Retry-After"),
            503: error(
                "PostgreSQL is away, or somebody is capturing the same event.", "Retry-After"
            ),
        },
        "openapi_extra": TAKEN,
    }
