"""The door of the command `retryd` and of `python -m retryd`."""

from __future__ import annotations

from retryd.cli.app import main

if __name__ == "__main__":
    raise SystemExit(main())
