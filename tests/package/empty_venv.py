"""An environment with the built wheel and nothing but what that requires, made without a network.

The wheel is installed as anywhere; the distributions that its metadata names, and those that they
name, are linked from the environment of the tests. What is not named is not there.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
KEPT = ("PATH", "LANG", "TZ", "TMPDIR", "RETRYD_PG_BIN")


def build(source: Path, folder: Path, *targets: str) -> list[Path]:
    """Build the targets `sdist` and `wheel` of a source tree; returns their files."""
    options = [word for target in targets for word in ("--target", target)]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", folder, *options],
        cwd=source,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return sorted(folder.iterdir())


@dataclass(frozen=True)
class EmptyVenv:
    """A virtual environment in which every warning is an error."""

    folder: Path

    @classmethod
    def with_wheel(cls, folder: Path, wheel: Path, *extras: str) -> EmptyVenv:
        """Make one with the wheel, its requirements and those of these extras."""
        venv.create(folder, symlinks=True)
        made = cls(folder)
        pip = [sys.executable, "-m", "pip", "--quiet", "--python", str(folder / "bin" / "python")]
        subprocess.run([*pip, "install", "--no-index", "--no-deps", wheel], check=True)
        [installed] = distributions(path=[str(made.site)])
        for needed in requirements_of(installed, extras):
            link(needed, made.site)
        return made

    @property
    def site(self) -> Path:
        """Where its packages lie."""
        base = {"base": str(self.folder), "platbase": str(self.folder)}
        return Path(sysconfig.get_path("purelib", "venv", base))

    async def __call__(self, *command: str, **variables: str) -> tuple[int | None, str, str]:
        """Run a program of it to its end; returns its status and what it printed."""
        given = {name: os.environ[name] for name in KEPT if name in os.environ}
        process = await asyncio.create_subprocess_exec(
            self.folder / "bin" / command[0],
            *command[1:],
            cwd=self.folder,
            env={**given, "PYTHONWARNINGS": "error", **variables},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()


def requirements_of(root: Distribution, extras: tuple[str, ...]) -> Iterator[Distribution]:
    """Yield what a distribution requires, what that requires, and so on; each once."""
    seen: set[tuple[str, str]] = set()
    waiting = [(root, extra) for extra in ("", *extras)]
    while waiting:
        parent, wanted = waiting.pop()
        for requirement in map(Requirement, parent.requires or ()):
            if requirement.marker and not requirement.marker.evaluate({"extra": wanted}):
                continue
            found = distribution(requirement.name)
            for extra in ("", *requirement.extras):
                if (found.name, extra) not in seen:
                    seen.add((found.name, extra))
                    waiting.append((found, extra))
            yield found


def link(needed: Distribution, site: Path) -> None:
    """Make what a distribution has brought importable from there too."""
    tops = {path.parts[0] for path in needed.files or () if path.parts[0] != ".."}
    for top in tops - {"__pycache__"}:
        if not (site / top).exists():
            (site / top).symlink_to(str(needed.locate_file(top)))
