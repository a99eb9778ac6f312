"""Programs of the machine that some faults need."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

PLACES = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))


def program(name: str, package: str | None = None) -> str:
    """Return the path of a program; without it the test is skipped, or fails where it must run."""
    path = shutil.which(name, path=PLACES)
    if path is None:
        lacking(f"{name} is not installed: apt-get install {package or name}")
    return path


def lacking(remedy: str) -> NoReturn:
    """Skip the test for what this machine has not, or fail where it must run."""
    if os.environ.get("RETRYD_TEST_PROGRAMS") == "required":
        pytest.fail(remedy)
    pytest.skip(remedy)
