"""The text of a scrape, in the format that the scraper asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from prometheus_client.registry import Collector


def expose(metrics: Collector, accept: str) -> tuple[bytes, str]:
    """Return the text and its content type; `accept` is the header of that name, or empty."""
    encoder, content_type = choose_encoder(accept)
    return encoder(metrics), content_type
