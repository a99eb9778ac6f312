"""From the options of a command to the database that is meant, and a store open for a question."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from retryd.compose import Store
    from retryd.settings import Configuration, DatabaseChoice

Answer = TypeVar("Answer")

# ruff: noqa: PLC0415 - drivers and models take longer to import than `retryd --help` may


class Asking(Protocol):
    """Asks the open store; Ctrl-C cuts the question off."""

    def __call__(self, question: Callable[[Store], Awaitable[Answer]]) -> Answer:
        """Return the answer. Raises what the store raises."""


@dataclass(frozen=True, slots=True)
class Database:
    """The database that the options of a command mean, beside variables and configuration."""

    config: Path | None
    url: str | None
    embedded: bool

    def find(self, app_url: str | None = None) -> tuple[Configuration, DatabaseChoice]:
        """Load the configuration and choose the database. Raises ConfigurationError."""
        from retryd.compose import load_configuration
        from retryd.settings import find_database

        configuration = load_configuration(self.config, os.environ, {})
        choice = find_database(configuration, os.environ, self.url, self.embedded, app_url)
        return configuration, choice

    def ask(self, question: Callable[[Store], Awaitable[Answer]]) -> Answer:
        """Open the store, ask, close it. Raises ConfigurationError and what the store raises."""
        with self.asking() as ask:
            return ask(question)

    @contextmanager
    def asking(self) -> Iterator[Asking]:
        """Open the store for questions one after the other; raises as `ask` does."""
        from retryd.compose import open_database, open_store

        _, choice = self.find()
        with asyncio.Runner() as runner:

            def ask(question: Callable[[Store], Awaitable[Answer]]) -> Answer:
                async def answer() -> Answer:
                    return await question(store)

                return runner.run(answer())

            opened = AsyncExitStack()
            try:
                dsn = runner.run(opened.enter_async_context(open_database(choice)))
                store = runner.run(opened.enter_async_context(open_store(dsn)))
                yield ask
            finally:
                runner.run(opened.aclose())
