"""Traces, for who wants them: nothing of OpenTelemetry is loaded for anybody else."""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from opentelemetry.sdk.trace import TracerProvider

    from retryd.ports import Handler

SPOKEN: Final = "http/protobuf"
LAST_SECONDS: Final = 3.0
QUIET_SECONDS: Final = 60.0
LONGEST_REASON: Final = 300

logger = logging.getLogger("retryd.tracing")


def traced(handlers: Iterable[Handler], version: str) -> list[Handler]:
    """Return handlers that make a span of each attempt, if the process has a provider of traces."""
    opentelemetry: Any = sys.modules.get("opentelemetry.trace")
    if opentelemetry is None or isinstance(
        opentelemetry.get_tracer_provider(), opentelemetry.ProxyTracerProvider
    ):
        return list(handlers)
    from retryd.telemetry.spans import TracedHandler  # noqa: PLC0415 - an extra

    return [TracedHandler(handler, version) for handler in handlers]


@contextmanager
def exporting(environ: Mapping[str, str]) -> Iterator[None]:
    """Send spans as OTLP while the context lasts, if the variables of OpenTelemetry say whereto.

    The provider is that of the whole process: what handlers do becomes part of their attempts. One
    that the application has set stays, and is the application's to shut down. Nothing that is
    wrong with traces keeps a worker from its work: it is logged.
    """
    provider = open_provider(environ) if is_wanted(environ) else None
    if provider is None:
        yield
        return
    complaints = logging.getLogger("opentelemetry")
    complaints.addHandler(Complaints())
    complaints.propagate = False
    try:
        yield
    finally:
        # It waits for a collector that does not answer longer than anybody waits for us.
        ending = threading.Thread(target=provider.shutdown, name="traces-end", daemon=True)
        ending.start()
        ending.join(LAST_SECONDS)


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Tell whether the variables of OpenTelemetry name a receiver of traces."""
    named = any(environ.get(f"OTEL_EXPORTER_OTLP_{part}ENDPOINT") for part in ("TRACES_", ""))
    exporters = environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return named and "otlp" in exporters and not disabled


def open_provider(environ: Mapping[str, str]) -> TracerProvider | None:
    """Make the provider of this process; None, and a line in the log, where that cannot be."""
    protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get(
        "OTEL_EXPORTER_OTLP_PROTOCOL", SPOKEN
    )
    if protocol != SPOKEN:
        tell_off(f"OTLP as {protocol} is not spoken", f"name an endpoint for {SPOKEN}")
        return None
    try:
        from retryd.telemetry import otlp  # noqa: PLC0415 - an extra, and it takes long to import

        return otlp.open_provider()
    except ImportError as error:
        tell_off(f"{error.name} is not installed", "pip install 'retryd[otel]'")
    except Exception as error:  # noqa: BLE001 - whatever its variables say, a worker works
        tell_off(type(error).__name__, "look at the variables OTEL_…")
    return None


def tell_off(reason: str, remedy: str) -> None:
    """Tell that there will be no traces."""
    logger.warning("traces_off", extra={"reason": reason, "remedy": remedy})


class Complaints(logging.Handler):
    """Makes lines of ours of what OpenTelemetry complains about: one a minute."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told_at = -math.inf

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Tell it, unless there was a complaint a moment ago."""
        if time.monotonic() - self._told_at >= QUIET_SECONDS:
            self._told_at = time.monotonic()
            reason = record.getMessage()[:LONGEST_REASON]
            logger.warning("traces_not_sent", extra={"reason": reason})
