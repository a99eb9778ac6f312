"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def machine() -> dict[str, str]:
    """Describe processor, memory and system."""
    return {
        "processor": field("/proc/cpuinfo", "model name") or platform.processor(),
        "processors": str(os.cpu_count()),
        "memory": field("/proc/meminfo", "MemTotal"),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def field(path: str, name: str) -> str:
    """Return the first field of this name in a file of /proc; empty where there is none."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
