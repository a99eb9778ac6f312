"""Where settings come from: code, variables and a file, each a nested document over the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from typing_extensions import override

from retryd.domain.errors import ConfigurationError
from retryd.settings.block import Variable
from retryd.settings.document import decode, frozen, read_text
from retryd.settings.schema import KeyPath

PREFIX: Final = "RETRYD_"
NESTING: Final = "__"
CONFIG: Final = "RETRYD_CONFIG"
# Read elsewhere, and no keys of the configuration.
NO_KEYS: Final = frozenset({CONFIG, "RETRYD_DATABASE_URL", "RETRYD_PG_BIN"})
NO_KEYS_PREFIX: Final = "RETRYD_TEST_"


class Source(PydanticBaseSettingsSource):
    """A nested document; `origins` tells by the path of a key where it was given."""

    def __init__(self, document: Mapping[str, Any], origins: Mapping[KeyPath, str]) -> None:
        super().__init__(BaseSettings)
        self.document = document
        self.origins = origins

    @override
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return a value of the top level, its key, and that it needs no decoding."""
        return self.document.get(field_name), field_name, False

    @override
    def __call__(self) -> dict[str, Any]:
        """Return the document."""
        return dict(self.document)


def code_source(given: Mapping[str, object]) -> Source:
    """Take what a program gives, in the form of the file; its lists will do as arrays."""
    return Source(
        {key: frozen(value) for key, value in given.items()},
        {(key,): "given in code" for key in given},
    )


def environment_source(environ: Mapping[str, str]) -> Source:
    """Read `RETRYD_…` variables: `__` leads one level down, an object may be given as JSON."""
    names = {
        tuple(name.removeprefix(PREFIX).lower().split(NESTING)): name
        for name in sorted(environ)
        if name.startswith(PREFIX) and name not in NO_KEYS and not name.startswith(NO_KEYS_PREFIX)
    }
    return Source(_nested({path: _value(environ[name]) for path, name in names.items()}), names)


def variable_name(path: KeyPath) -> str:
    """Name the variable that gives the key at this path."""
    return PREFIX + NESTING.join(path).upper()


def file_source(path: Path | None, environ: Mapping[str, str]) -> Source:
    """Read the JSON file at this path, else at RETRYD_CONFIG; with neither there is nothing.

    Raises ConfigurationError with one problem when the file holds no JSON object.
    """
    named = path or environ.get(CONFIG)
    if not named:
        return Source({}, {})
    where = f"configuration file {named} (from {'--config' if path else CONFIG})"
    try:
        document = decode(read_text(Path(named)))
    except OSError as error:
        raise ConfigurationError(f"{where} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{where} cannot be used: {error}") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f'{where} must hold a JSON object, such as {{"retry": {{}}}}')
    return Source(document, {(key,): f"file {named}" for key in document})


def merge(sources: Sequence[Source]) -> dict[str, Any]:
    """Lay the documents over one another, key by key; the first source wins."""

    class Merged(BaseSettings, extra="allow"):
        @classmethod
        @override
        def settings_customise_sources(
            cls, *_: object, **__: object
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return tuple(sources)

    return dict(Merged().model_extra or {})


def _nested(given: Mapping[KeyPath, object]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for path in sorted(given, key=len):
        block = document
        for step in path[:-1]:
            block = block.setdefault(step, {})
            if not isinstance(block, dict):
                break  # it stands where an object belongs, and is refused for that
        else:
            block[path[-1]] = given[path]
    return document


def _value(text: str) -> object:
    """Take an object at once, so that other variables add to it; other text waits for its key."""
    if text.lstrip().startswith("{"):
        try:
            return decode(text)
        except ValueError:
            return Variable(text)  # refused with its key, unless that takes any text
    return Variable(text)
