"""What `make docs` adds to the pages that people wrote: those that the code writes itself.

MkDocs calls the functions here by their names. Nothing is fetched, and docs/ stays as it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from mkdocs.structure.files import File

from docs.hooks import commands, configuration, life, metrics, names, root, sql

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

MADE: Final = {
    "index.md": root.readme,
    "changelog.md": root.changelog,
    "contributing.md": root.contributing,
    "reference/commands.md": commands.page,
    "reference/configuration.md": configuration.page,
    "reference/functions.md": sql.page,
    "reference/metrics.md": metrics.page,
    "reference/python.md": names.page,
}
"""Each made page, and what writes it."""

DIAGRAM: Final = re.compile(r"^```mermaid\n.*?^```$", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the made pages."""
    for path, write in MADE.items():
        files.append(File.generated(config, path, content=write()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Draw the diagram of the life as a picture, so that no script has to be fetched for it."""
    if page.file.src_uri != "life.md":
        return markdown
    return DIAGRAM.sub(lambda _: life.picture(), markdown) + life.steps()
