"""What processes cost, read from /proc: nothing where there is none."""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
PARENT, USER, SYSTEM, ENDED_USER, ENDED_SYSTEM = 1, 11, 12, 13, 14  # fields behind the name


def stats() -> dict[int, list[str]]:
    """Return the fields of every process behind its name, by pid."""
    found = {}
    for path in PROC.glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:  # it has just ended
            continue
        found[int(path.parent.name)] = text.rpartition(") ")[2].split()
    return found


def family(pid: int, processes: dict[int, list[str]]) -> set[int]:
    """Return a process and all its descendants that live."""
    members = {pid} & processes.keys()
    grown = True
    while grown:
        more = {each for each, fields in processes.items() if int(fields[PARENT]) in members}
        grown = not more <= members
        members |= more
    return members


def cpu_seconds(*pids: int) -> float:
    """Return the time on a processor of these processes and all their descendants, ended too."""
    processes = stats()
    members = set().union(*(family(pid, processes) for pid in pids)) if pids else set()
    spent = (USER, SYSTEM, ENDED_USER, ENDED_SYSTEM)
    return sum(int(processes[each][at]) for each in members for at in spent) / TICKS


def peak_megabytes(*pids: int) -> float:
    """Return the largest resident size of these processes and their descendants, summed up."""
    processes = stats()
    members = set().union(*(family(pid, processes) for pid in pids)) if pids else set()
    return sum(map(_peak_kilobytes, members)) / 1024


def _peak_kilobytes(pid: int) -> int:
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
