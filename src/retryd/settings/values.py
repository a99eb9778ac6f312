"""The kinds of values that keys have, each with what is refused."""

from __future__ import annotations

import re
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, Field, SecretStr

from retryd.domain.limits import KEY_BYTES, check_key
from retryd.domain.patterns import check_pattern
from retryd.domain.policy import SHORTEST_SECONDS
from retryd.settings.block import refused_by, told
from retryd.settings.database_url import clean_url
from retryd.settings.secret import Secret

MAX_DAYS: Final = 36_500

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # what RFC 6750 lets stand behind `Bearer`
_HOST = re.compile(r"[A-Za-z0-9.:%_-]{1,255}")


def _database_url(url: SecretStr) -> SecretStr:
    try:
        return SecretStr(clean_url(url.get_secret_value()))
    except ValueError as error:
        raise told(str(error)) from None


def _key(name: str) -> str:
    if not name:
        raise told(f" is empty, give a name of 1 to {KEY_BYTES} bytes")
    return refused_by(lambda text: check_key("the name", text))(name)


def _token(token: SecretStr) -> SecretStr:
    if not _TOKEN.fullmatch(token.get_secret_value()):
        raise told(" has other characters than a bearer token may have: A-Z a-z 0-9 - . _ ~ + / =")
    return token


def _host(host: str) -> str:
    if not _HOST.fullmatch(host):
        raise told(f" is {host[:KEY_BYTES]!r}, allowed is a name or an address, such as 127.0.0.1")
    return host


def _directory(path: str) -> str:
    if not path or "\0" in path:
        raise told(" is no directory, give a path, such as /var/lib/retryd/spool")
    return path


Directory: TypeAlias = Annotated[str, AfterValidator(_directory)]
Token: TypeAlias = Annotated[Secret, AfterValidator(_token)]
Host: TypeAlias = Annotated[str, AfterValidator(_host)]
DatabaseUrl: TypeAlias = Annotated[Secret, AfterValidator(_database_url)]
Pattern: TypeAlias = Annotated[str, AfterValidator(refused_by(check_pattern))]
Name: TypeAlias = Annotated[str, AfterValidator(_key)]
Days: TypeAlias = Annotated[float, Field(ge=SHORTEST_SECONDS, le=MAX_DAYS)]
