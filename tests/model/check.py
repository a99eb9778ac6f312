"""Checks the protocol with Spin: the right one must hold, and each wrong one must be found out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MODEL: Final = Path(__file__).with_name("retryd.pml")
PROPERTIES: Final = ("place", "onecopy", "filed", "absorb", "once", "bounds")
DEEPEST: Final = 1_000_000
SECONDS: Final = 120
MEGABYTES: Final = 2_000
"""A model that grew too large fails, and takes nobody's machine along."""

ATTEMPTS_ONLY: Final = ("RENEWALS=0", "RELEASES=0")
ONE_LIFE: Final = ("REPLAYS=0",)
TWO_RESCUERS: Final = ("RESCUERS=2", "LAPSES=3", *ATTEMPTS_ONLY, *ONE_LIFE)


@dataclass(frozen=True, slots=True)
class Check:
    """One run of Spin: `guard`, the assertions of the model, or the name of an ltl property."""

    name: str
    property: str
    holds: bool
    defines: tuple[str, ...] = ()


def right() -> Iterator[Check]:
    """The protocol as it is, in several sizes: one that has everything is too large."""
    for name in ("guard", *PROPERTIES):
        yield Check("a replay, two workers", name, True, ATTEMPTS_ONLY)
    for name in ("guard", "place", "bounds"):
        yield Check("renewals and releases, two workers", name, True, ONE_LIFE)
    yield Check("a replay, renewals and releases", "guard", True, ("WORKERS=1",))
    yield Check("three workers", "guard", True, ("WORKERS=3", *ATTEMPTS_ONLY, *ONE_LIFE))
    yield Check("two rescuers", "guard", True, TWO_RESCUERS)
    yield Check("renewals, two workers", "ending", True, ("RELEASES=0", *ONE_LIFE))
    yield Check("a replay", "ending", True, ("WORKERS=1", *ATTEMPTS_ONLY))
    yield Check("a retry that kills its workers", "ending", True, ("POISON", *ATTEMPTS_ONLY))


def wrong() -> Iterator[Check]:
    """Each mistake, and what it breaks."""
    yield Check("NOFENCE", "guard", False, ATTEMPTS_ONLY)
    yield Check("TOKEN_RESET", "guard", False, ATTEMPTS_ONLY)
    yield Check("RESCUE_KEEPS_TOKEN", "guard", False, ATTEMPTS_ONLY)
    yield Check("RESCUE_STALE", "guard", False, TWO_RESCUERS)
    yield Check("RESCUE_COUNTS", "bounds", False, (*ATTEMPTS_ONLY, *ONE_LIFE))
    yield Check("RENEW_BY_NAME", "guard", False, ONE_LIFE)
    yield Check("ENDLESS_RENEWAL", "ending", False, (*ATTEMPTS_ONLY, *ONE_LIFE))
    yield Check("SPLIT_MOVE", "ending", False, (*ATTEMPTS_ONLY, *ONE_LIFE))
    yield Check("RACY_REPLAY", "onecopy", False, ("WORKERS=1", *ATTEMPTS_ONLY))
    yield Check("RESOLVE_RETRYING", "filed", False, ATTEMPTS_ONLY)
    yield Check("COUNT_ON_FAIL", "ending", False, ("POISON", *ATTEMPTS_ONLY, *ONE_LIFE))


def run(check: Check) -> tuple[bool, str]:
    """Make the verifier of one check and run it; tells whether all is as expected, and a line."""
    began = time.monotonic()
    defines = check.defines if check.holds else (check.name, *check.defines)
    with tempfile.TemporaryDirectory(prefix="retryd-model-") as folder:
        found = verify(Path(folder), check.property, defines)
    verdict = {True: "holds", False: "broken", None: "NOT DECIDED"}
    good = found is check.holds
    line = (
        f"{'ok  ' if good else 'FAIL'} {check.name:34} {check.property:8}"
        f" {verdict[found]:7} {time.monotonic() - began:5.1f} s"
    )
    return good, line


def verify(folder: Path, name: str, defines: tuple[str, ...]) -> bool | None:
    """Tell whether the property holds; None when Spin could not look at every state."""
    others = re.compile(rf"^ltl (?!{name} ).*$", re.MULTILINE)
    (folder / "model.pml").write_text(others.sub("", MODEL.read_text()))
    flags = ["-DSAFETY"] if name == "guard" else ["-DNFAIR=3"] if name == "ending" else []
    options = {"guard": ["-E"], "ending": ["-a", "-f"]}.get(name, ["-a"])
    work(folder, "spin", "-a", *(f"-D{define}" for define in defines), "model.pml")
    work(folder, "gcc", "-O1", "-w", f"-DMEMLIM={MEGABYTES}", *flags, "-o", "pan", "pan.c")
    try:
        told = work(folder, "./pan", *options, f"-m{DEEPEST}", within=SECONDS)
    except subprocess.TimeoutExpired:
        return None
    if "Search not completed" in told and "errors: 0" in told:
        return None
    return "errors: 0" in told


def work(folder: Path, *command: str, within: float | None = None) -> str:
    """Run a program to its end; what it printed."""
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=within
    )
    if ended.returncode or "error: " in ended.stdout:
        raise SystemExit(f"{' '.join(command)}: {ended.stdout}{ended.stderr}")
    return ended.stdout


def main() -> int:
    """Run all checks, as many at once as there are processors."""
    lacking = [name for name in ("spin", "gcc") if shutil.which(name) is None]
    if lacking:
        raise SystemExit(f"lacking {' and '.join(lacking)}: apt-get install {' '.join(lacking)}")
    began = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = []
        for good, line in pool.map(run, [*right(), *wrong()]):
            print(line, flush=True)  # noqa: T201
            results.append(good)
    print(  # noqa: T201
        f"{sum(results)} of {len(results)} as expected, {time.monotonic() - began:.0f} s"
    )
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
