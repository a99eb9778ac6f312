"""Brings each peer into an environment of its own under build/peers, by the ordinary installers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.peers.contenders import Contender

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "peers"
NODE = BUILD / "node"
MODULES = NODE / "node_modules"
INTERPRETERS = ("python3.13", "python3.12", "python3.14", "python3")


class NotInstalledError(Exception):
    """A peer cannot be had here; the message tells why."""


def command_of(contender: Contender) -> list[str]:
    """Install a contender where that is not done, and return the start of its command."""
    if contender.runtime == "own":
        return [sys.executable, "-m", contender.adapter]
    if contender.runtime == "node":
        install_node()
        return [str(MODULES / ".bin" / "node"), str(HERE / "adapters" / contender.adapter)]
    return [str(install_python(contender)), "-m", contender.adapter]


def install_python(contender: Contender) -> Path:
    """Make its virtual environment; returns the interpreter."""
    folder = BUILD / contender.name
    python = folder / "bin" / "python"
    wanted = HERE / f"requirements-{contender.name}.txt"
    stamp = folder / "installed.txt"
    if not up_to_date(stamp, wanted):
        print(f"installing {contender.name} into {folder.relative_to(ROOT)}", file=sys.stderr)
        run([interpreter(contender.python), "-m", "venv", "--clear", str(folder)])
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        run([*pip, "install", "-r", str(wanted)])
        shutil.copyfile(wanted, stamp)
    return python


def install_node() -> None:
    """Bring node and the peers that run on it."""
    wanted = HERE / "package.json"
    stamp = NODE / "installed.json"
    if up_to_date(stamp, wanted):
        return
    if shutil.which("npm") is None:
        message = "npm is not on the PATH"
        raise NotInstalledError(message)
    print(f"installing node's peers into {NODE.relative_to(ROOT)}", file=sys.stderr)
    shutil.rmtree(NODE, ignore_errors=True)
    NODE.mkdir(parents=True)
    shutil.copyfile(wanted, NODE / "package.json")
    # Its own node comes as a package, so that the version is that of package.json everywhere.
    run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], NODE)
    shutil.copyfile(wanted, stamp)


def up_to_date(stamp: Path, wanted: Path) -> bool:
    """Tell whether what is installed is what is wanted."""
    return stamp.exists() and stamp.read_bytes() == wanted.read_bytes()


def interpreter(oldest: tuple[int, int]) -> str:
    """Find a Python that is new enough: our own, one on the PATH, or one that pyenv keeps."""
    if sys.version_info >= oldest:
        return sys.executable
    for found in candidates():
        check = f"import sys, venv; sys.exit(sys.version_info < {oldest})"
        try:
            subprocess.run([found, "-c", check], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return found
    message = f"no Python {oldest[0]}.{oldest[1]} or newer was found"
    raise NotInstalledError(message)


def candidates() -> Iterator[str]:
    """Name places where an interpreter may be."""
    yield from filter(None, map(shutil.which, INTERPRETERS))
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from map(str, sorted(pyenv.glob("versions/3.1[2-9]*/bin/python"), reverse=True))


def run(command: Sequence[str], folder: Path = ROOT) -> None:
    """Run an installer; raises NotInstalledError with its last words."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise NotInstalledError(f"{' '.join(command)}: {said[-1] if said else 'failed'}")
