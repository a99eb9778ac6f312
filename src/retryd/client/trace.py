"""The trace that this code is part of, as text that travels: W3C Trace Context.

OpenTelemetry is not imported here: where nobody else has imported it, there is no trace.
"""

from __future__ import annotations

import sys
from typing import Any


def current_trace() -> dict[str, str]:
    """Return `traceparent`, and `tracestate` if there is one, of the current span, or nothing."""
    opentelemetry: Any = sys.modules.get("opentelemetry.trace")
    if not hasattr(opentelemetry, "get_current_span"):  # it may be half imported, too
        return {}
    context = opentelemetry.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    found = {
        "traceparent": f"00-{context.trace_id:032x}-{context.span_id:016x}"
        f"-{context.trace_flags:02x}"
    }
    if state := context.trace_state.to_header():
        found["tracestate"] = state
    return found
