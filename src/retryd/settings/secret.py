"""Secrets, given as they are or by a reference: `env:NAME` or `file:/path`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, SecretStr, ValidationInfo

from retryd.domain.limits import KEY_BYTES
from retryd.settings.block import told
from retryd.settings.document import read_text


def is_reference(text: str) -> bool:
    """Tell whether it says where the secret is, not what."""
    return text.startswith(("env:", "file:"))


def resolve(text: str, environ: Mapping[str, str]) -> str:
    """Follow a reference, once; other text is the secret itself.

    The line break at the end of a file is no part of it. A ValueError names the reference, never
    the secret, in words that follow the key: " refers to env:NAME, …".
    """
    if not is_reference(text):
        return text
    scheme, _, rest = text.partition(":")
    try:
        found = environ.get(rest, "") if scheme == "env" else read_text(Path(rest))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f" refers to {text[:KEY_BYTES]!r}, which cannot be read: {why}") from None
    if not (secret := found.rstrip("\r\n")):
        why = "which is not set or empty" if scheme == "env" else "an empty file"
        raise ValueError(f" refers to {text[:KEY_BYTES]!r}, {why}: put the secret there")
    return secret


def _resolved(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    if not value:
        raise told(" is empty, leave it out or give a secret, env:NAME or file:/path")
    try:
        return resolve(value, (info.context or {}).get("environ", {}))
    except ValueError as error:
        raise told(str(error)) from None


Secret: TypeAlias = Annotated[SecretStr, BeforeValidator(_resolved)]
