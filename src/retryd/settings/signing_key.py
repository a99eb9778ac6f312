"""Keys that sign and verify what goes over HTTP, as Standard Webhooks writes them."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, SecretStr

from retryd.settings.block import told
from retryd.settings.secret import Secret

PREFIX: Final = "whsec_"
SHORTEST, LONGEST = 24, 64
"""Bytes of a key, as the standard has it."""


def key_of(secret: SecretStr) -> bytes:
    """Return the bytes of a signing key. Raises ValueError."""
    try:
        return base64.b64decode(secret.get_secret_value().removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        message = "it is no base64"
        raise ValueError(message) from error


def _signing_key(secret: SecretStr) -> SecretStr:
    try:
        size = len(key_of(secret))
    except ValueError:
        size = 0
    if not SHORTEST <= size <= LONGEST:
        raise told(
            f" is no signing key: give {PREFIX} and {SHORTEST} to {LONGEST} bytes in base64, such"
            " as `echo whsec_$(openssl rand -base64 32)` makes"
        )
    return secret


SigningKey: TypeAlias = Annotated[Secret, AfterValidator(_signing_key)]
