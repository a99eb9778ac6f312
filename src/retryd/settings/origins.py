"""What was given where: for the words of a refusal, and for whoever prints the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from retryd.settings.schema import KeyPath
from retryd.settings.sources import Source


@dataclass(frozen=True, slots=True)
class Origins:
    """The sources of a configuration, the strongest first.

    They are no part of what a configuration says: all are equal.
    """

    sources: tuple[Source, ...] = field(default=(), compare=False, repr=False)

    def near(self, path: KeyPath) -> str | None:
        """Tell where the value at the path, a part of it or what is around it was given."""
        origins = [each for source in self.sources for each in source.origins.items()]
        return next(
            (
                label
                for given, label in origins
                if given == path[: len(given)] or path == given[: len(path)]
            ),
            None,
        )

    def of(self, path: KeyPath) -> str | None:
        """Tell where the value at the path was given; None: nowhere, it is a default."""
        for source in self.sources:
            if _at(source.document, path) is not _NOTHING:
                around = (given for given in source.origins if given == path[: len(given)])
                return source.origins[max(around, key=len)]
        return None

    def written(self, path: KeyPath) -> object:
        """Return the value at the path as it was written, references unresolved; else None."""
        found = (_at(source.document, path) for source in self.sources)
        return next((value for value in found if value is not _NOTHING), None)


_NOTHING = object()


def _at(document: object, path: KeyPath) -> object:
    for step in path:
        if not isinstance(document, Mapping) or step not in document:
            return _NOTHING
        document = document[step]
    return document
