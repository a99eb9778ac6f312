"""The configuration as it counts, for people: every key, its value, and where that was given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from pydantic import SecretStr

from retryd.domain.policy import PRESETS, Policy
from retryd.settings.block import Block, Variable
from retryd.settings.database import DatabaseChoice
from retryd.settings.database_url import MASK, masked_url
from retryd.settings.document import decode
from retryd.settings.models import WHERE_NO_POLICY_SAYS, Configuration
from retryd.settings.origins import Origins
from retryd.settings.policies import said_by_preset
from retryd.settings.schema import KeyPath
from retryd.settings.secret import is_reference

DEFAULT: Final = "default"
POLICIES: Final = ("retry", "retry_policies")
URLS: Final = frozenset({("database", "url"), ("database", "listen_url")})


@dataclass(frozen=True, slots=True)
class Setting:
    """A key by its path, its value as JSON without secrets, and where that was given."""

    path: KeyPath
    value: object
    origin: str


def effective(
    configuration: Configuration, choice: DatabaseChoice | None = None
) -> Iterator[Setting]:
    """Yield every setting; policies with what their preset says, the database as it was chosen.

    A secret is masked, or shown as the reference that leads to it.
    """
    chosen = _chosen(choice) if choice else None
    for path, value in _leaves(configuration, (), configuration.policies()):
        if chosen and path == chosen.path and chosen.origin != ".".join(path):
            yield chosen
        else:
            shown = _shown(path, value, configuration.origins.written(path))
            yield Setting(path, shown, _origin(path, configuration.origins))


def nested(settings: Iterable[Setting]) -> dict[str, Any]:
    """Return their values as a document of the form of `config.json`."""
    document: dict[str, Any] = {}
    for setting in settings:
        block = document
        for step in setting.path[:-1]:
            block = block.setdefault(step, {})
        block[setting.path[-1]] = setting.value
    return document


def _chosen(choice: DatabaseChoice) -> Setting:
    if choice.url is None:
        return Setting(("database", "embedded"), True, choice.way)  # noqa: FBT003 - a value of JSON
    url = choice.reference or masked_url(choice.url.get_secret_value())
    return Setting(("database", "url"), url, choice.way)


def _leaves(
    value: object, path: KeyPath, policies: Mapping[str, Policy]
) -> Iterator[tuple[KeyPath, object]]:
    below: Mapping[str, object] = {}
    match policies if path == POLICIES else value:
        case Block() as block:
            below = {name: getattr(block, name) for name in type(block).model_fields}
        case Policy() as policy:
            below = {name: each for name, each in asdict(policy).items() if name != "name"}
        case Mapping() as named:
            below = named
    if not below:
        yield path, value
    for name, each in below.items():
        yield from _leaves(each, (*path, name), policies)


def _shown(path: KeyPath, value: object, written: object) -> object:
    match value:
        case SecretStr():
            if isinstance(written, str) and is_reference(written):
                return str(written)
            return masked_url(value.get_secret_value()) if path in URLS else MASK
        case tuple():
            if isinstance(written, Variable):
                written = decode(written)
            beside = written if isinstance(written, tuple) else (None,) * len(value)
            return [_shown(path, *pair) for pair in zip(value, beside, strict=True)]
        case _:
            return value


def _origin(path: KeyPath, origins: Origins) -> str:
    given = origins.of(path)
    match path:
        case (*around, policy, field) if tuple(around) == POLICIES and given is None:
            said = next((said_by_preset(each) for each in PRESETS if each.name == policy), {})
            if field in WHERE_NO_POLICY_SAYS and field not in said:
                given = origins.of(("retry", WHERE_NO_POLICY_SAYS[field]))
    return given or DEFAULT
