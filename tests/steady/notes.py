"""What the application did, read from the notes of its processes, and whether that was right."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

MAX_RETRIES = 3
ENDS = {
    "ok": ("ok",),
    "snooze": ("ok",),
    "twice": ("fail", "fail", "ok"),
    "reject": ("reject",),
    "fail": ("fail",) * MAX_RETRIES,
}
"""The attempts of a first life by its fate, those that were put off left out."""


@dataclass(slots=True)
class Notes:
    """The notes in a folder; each process writes a file."""

    folder: Path
    attempts: dict[tuple[int, int], list[str]] = field(default_factory=lambda: defaultdict(list))
    """What came of each attempt, by retry and life."""
    _read: Counter[Path] = field(default_factory=Counter)

    def read(self) -> list[float]:
        """Take in what is new; returns the seconds from due to start of what was started."""
        delays = []
        for path in self.folder.iterdir():
            with path.open() as lines:
                lines.seek(self._read[path])
                for line in iter(lines.readline, ""):
                    if not line.endswith("\n"):
                        break
                    id_, life, what, waited = line.split()
                    if what != "snooze":
                        self.attempts[int(id_), int(life)].append(what)
                    if float(waited) >= 0:
                        delays.append(float(waited))
                    self._read[path] = lines.tell()
        return delays

    def wrong(self, fates: Mapping[int, str], replayed: Mapping[int, int]) -> Iterator[str]:
        """Compare the attempts with the fates of what was accepted and the lives it was given."""
        meant = {(id_, 1): ENDS[fate] for id_, fate in fates.items()}
        for id_, lives in replayed.items():
            meant |= {(id_, life): ENDS["ok"] for life in range(2, lives + 1)}
        for key in sorted(meant.keys() | self.attempts.keys()):
            # Two processes wrote them: in which order, the files do not tell.
            found, wanted = sorted(self.attempts.get(key, ())), sorted(meant.get(key, ()))
            if found != wanted:
                yield f"retry {key[0]}, life {key[1]}: {found} instead of {wanted}"
