"""Who takes part: retryd, the floor and the peers, and how large a drain each can take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Runtime = Literal["own", "python", "node"]


@dataclass(frozen=True, slots=True)
class Contender:
    """A queue and its adapter."""

    name: str
    runtime: Runtime
    adapter: str
    """A module of this repository, or a file of `adapters/` for node."""
    items: int = 20_000
    """The most that one drain takes: slow ones get some seconds' worth."""
    python: tuple[int, int] = (3, 11)
    """The oldest Python that it runs on."""
    one_parent: bool = False
    """One command runs several processes, and has metrics to scrape."""
    held: Mapping[str, Any] = field(default_factory=dict)
    """Settings for the drains under a held snapshot, over its best ones."""

    @property
    def is_peer(self) -> bool:
        """It is neither retryd nor the floor."""
        return self.runtime != "own"


ADAPTERS: Final = "benchmarks.peers.adapters"
FLOOR: Final = Contender("floor", "own", "benchmarks.floor_rows")
OURS: Final = Contender(
    "retryd", "own", f"{ADAPTERS}.retryd", one_parent=True, held={"batch_size": 100}
)
PEERS: Final = (
    Contender("pgqueuer", "python", f"{ADAPTERS}.pgqueuer"),
    Contender("procrastinate", "python", f"{ADAPTERS}.procrastinate", items=3_000),
    Contender("oban", "python", f"{ADAPTERS}.oban", items=12_000, python=(3, 12)),
    Contender("chancy", "python", f"{ADAPTERS}.chancy"),
    Contender("awa", "python", f"{ADAPTERS}.awa"),
    Contender("graphile-worker", "node", "graphile_worker.mjs"),
    Contender("pg-boss", "node", "pg_boss.mjs"),
)
