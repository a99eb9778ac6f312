"""Metrics of several processes as one: each keeps its values in files, the parent adds them up."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from retryd.telemetry.exposition import expose

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import Metric

OURS = "retryd_"
DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"


@contextmanager
def shared_values(directory: Path, number: int) -> Iterator[None]:
    """Let the Metrics that is made inside keep its values in files of `directory`.

    Files are named after the child's number, not after its process: whoever takes the place of a
    dead child goes on where that one stopped. So no counter goes back, and any number of restarts
    leaves as many files as there are places. Of one number only one process may live at a time.
    """
    mapped = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]
    private = values.ValueClass

    def value(kind: str, metric: str, *rest: Any, **options: Any) -> Any:
        """Share what is ours; metrics of the application stay as they are in a lone process."""
        made = mapped if metric.startswith(OURS) else private
        return made(kind, metric, *rest, **options)

    values.ValueClass = value
    # The library takes the directory from the environment, when it opens a file. Metrics opens
    # all of its files at once; programs that handlers start must not find the variable.
    before = os.environ.get(DIRECTORY)
    os.environ[DIRECTORY] = str(directory)
    try:
        yield
    finally:
        if before is None:
            del os.environ[DIRECTORY]
        else:
            os.environ[DIRECTORY] = before


class MergedMetrics:
    """What the children that share `directory` have counted, the dead ones included."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        """Return the sum of all files, but for those that a child is just making."""
        files = [str(path) for path in self._directory.glob("*.db") if has_content(path)]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return merged

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Return the text of a scrape and its content type."""
        return expose(self, accept)

    def gone(self, number: int) -> None:
        """Forget what was true only while this child lived: its threads, its connections."""
        mark_process_dead(number, str(self._directory))  # type: ignore[no-untyped-call]


def has_content(path: Path) -> bool:
    """Tell whether a file is there and not empty."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
