"""README, changelog and contributing stand at the top of the repository; here they become pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
LINK: Final = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<target>[^)#:]+)(?P<anchor>#[^)]*)?\)")


def readme() -> str:
    """Return the first page."""
    return as_page("README.md")


def changelog() -> str:
    """Return the changelog."""
    return as_page("CHANGELOG.md")


def contributing() -> str:
    """Return how to contribute."""
    return as_page("CONTRIBUTING.md")


def as_page(name: str) -> str:
    """Return a file with its links as they are among the pages; what is no page is only named."""
    return LINK.sub(_link, (ROOT / name).read_text())


def _link(found: re.Match[str]) -> str:
    text, target, anchor = found["text"], found["target"], found["anchor"] or ""
    page = PAGES.get(target, target.removeprefix("docs/"))
    if target.startswith("docs/") or target in PAGES:
        return f"[{text.removeprefix('docs/')}]({page}{anchor})"
    return f"`{target}`"
