"""What the files of deploy/ agree with: how long a worker may take to end, and may block."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from retryd.cli.run import LAST_SECONDS, MARGIN_SECONDS
from retryd.settings.models import RetrySettings
from retryd.worker.plan import Plan

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def longest_end(shutdown_seconds: float | None = None) -> float:
    """Return the seconds from SIGTERM after which no worker is left, by default or as given."""
    if shutdown_seconds is None:
        shutdown_seconds = RetrySettings().shutdown_timeout_seconds
    return shutdown_seconds + MARGIN_SECONDS + LAST_SECONDS


def longest_block() -> float:
    """Return the seconds that a handler may block the event loop for and lose nothing."""
    settings = RetrySettings()
    [grace] = [float(str(each.default)) for each in fields(Plan) if each.name == "grace_seconds"]
    return max(settings.lease_seconds, settings.default_timeout_seconds + grace)


def documents(path: Path) -> list[Any]:
    """Return the documents of a YAML file."""
    return [each for each in YAML(typ="safe").load_all(path.read_text()) if each is not None]
