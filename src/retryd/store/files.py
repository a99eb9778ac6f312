"""Where the SQL lies: the files of `sql/` and `migrations/`, in a checkout or inside the wheel."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def home(name: str) -> Path:
    """Return the folder `sql` or `migrations`: inside the wheel, or at the root of a checkout."""
    packaged = Path(str(files("retryd"))) / f"_{name}"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / name
