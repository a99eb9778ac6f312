"""Kind `http`: a POST of the failure event, signed, to one address that the configuration names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from ipaddress import ip_network
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from retryd.domain.errors import ConfigurationError
from retryd.handlers.fields import PLACE, Fields
from retryd.settings.block import told
from retryd.settings.handler import HandlerSettings
from retryd.settings.secret import Secret
from retryd.settings.signing_key import SigningKey

if TYPE_CHECKING:
    from retryd.handlers.delivery import HttpHandler

MOST_CONNECTIONS: Final = 1_000
SCHEMES: Final = frozenset({"http", "https"})
OURS: Final = re.compile(
    r"(?i)ce-|webhook-|content-|transfer-|host$|connection$|accept-encoding$|retryd-|trace"
)
"""Headers that we write ourselves."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\x80-\xff\t]*")


def _http_url(secret: SecretStr) -> SecretStr:
    url = secret.get_secret_value()
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - which raises
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in SCHEMES or not parts.hostname or not re.fullmatch(r"[\x21-\x7e]+", url):
        raise told(" is no address, give one such as https://billing.example/retry")
    if parts.username is not None or parts.password is not None:
        raise told(" has a user or password in it, give them in headers as a reference instead")
    if PLACE.search(parts.netloc):
        raise told(" takes a field in its host, allowed is the path and what follows it")
    if parts.fragment:
        raise told(" has a fragment, which no server gets to see: leave out # and the rest")
    return secret


def _header_name(name: str) -> str:
    if not _HEADER_NAME.fullmatch(name):
        raise told(": a header's name has letters, digits and - in it, such as authorization")
    if OURS.match(name):
        raise told(": this header is written by retryd")
    return name


def _header_value(value: SecretStr) -> SecretStr:
    if not _HEADER_VALUE.fullmatch(value.get_secret_value()):
        raise told(" has characters that no header may have")
    return value


def _network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError:
        raise told(f" is {text[:255]!r}, give a network such as 10.1.2.0/24") from None
    return text


class HttpHandlerSettings(HandlerSettings):
    """Where the failure event is posted, and how."""

    kind: Literal["http"] = "http"
    url: Annotated[Secret, AfterValidator(_http_url)] = Field(
        description="Where to, or a reference to it: env:NAME, file:/path; {name} in the path or"
        " query stands for a field."
    )
    fields: Fields = Field(
        default={}, description="Fields of the address: names, each with a JSON pointer."
    )
    content_mode: Literal["binary", "structured"] = Field(
        default="binary",
        description="binary: the payload is the body and headers tell of the event; structured:"
        " the body has both.",
    )
    headers: Mapping[
        Annotated[str, AfterValidator(_header_name)],
        Annotated[Secret, AfterValidator(_header_value)],
    ] = Field(default={}, description="More headers; best as references: env:NAME, file:/path.")
    signing_keys: tuple[SigningKey, ...] = Field(
        default=(),
        description="Keys of Standard Webhooks, which begin with whsec_; several while they are"
        " exchanged.",
    )
    allow_cidrs: tuple[Annotated[str, AfterValidator(_network)], ...] = Field(
        default=(), description="Networks that are not public and may be reached all the same."
    )
    connections: int = Field(
        default=100, ge=1, le=MOST_CONNECTIONS, description="Connections at once, at most."
    )

    @model_validator(mode="after")
    def _fields_are_declared(self) -> Self:
        used = set(PLACE.findall(self.url.get_secret_value()))
        if unknown := sorted(used - self.fields.keys()):
            raise told(f".url takes the field {unknown[0]!r}, which fields does not declare")
        if idle := sorted(self.fields.keys() - used):
            raise told(f".fields.{idle[0]} is not in the url: leave it out")
        return self


def from_settings(name: str, settings: HttpHandlerSettings) -> HttpHandler:
    """Make the handler, which connects when it is used. Raises ConfigurationError."""
    if find_spec("aiohttp") is None:
        message = f"handlers.{name}.kind: http needs a client: pip install 'retryd[http]'"
        raise ConfigurationError(message)
    from retryd.handlers.delivery import HttpHandler  # noqa: PLC0415 - an extra

    return HttpHandler(name, settings)
