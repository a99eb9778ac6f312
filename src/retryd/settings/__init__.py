"""Configuration: from a file, variables and flags to frozen models that all above is built from."""

from __future__ import annotations

from retryd.settings.block import Block
from retryd.settings.database import DatabaseChoice, find_database
from retryd.settings.handler import HandlerSettings
from retryd.settings.load import load
from retryd.settings.models import Configuration, configuration_model
from retryd.settings.secret import Secret

__all__ = [
    "Block",
    "Configuration",
    "DatabaseChoice",
    "HandlerSettings",
    "Secret",
    "configuration_model",
    "find_database",
    "load",
]
