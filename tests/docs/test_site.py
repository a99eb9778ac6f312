"""Builds the site as `make docs` does: nothing of the code is missing, and nothing is fetched."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

import retryd
from docs.hooks import life
from retryd import testing
from retryd.cli.app import tree
from retryd.cli.manual import commands_of
from retryd.compose.configuration import configuration_schema
from retryd.domain.life import TRANSITIONS
from retryd.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning, such as a broken link, would have stopped it."""
    folder = tmp_path_factory.mktemp("site")
    command = (sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def words(site: Path, page: str) -> str:
    """Return the text of a page without its markup."""
    return unescape(re.sub(r"<[^>]+>", "", (site / page).read_text()))


def keys(schema: Any) -> Iterator[str]:
    """Yield each key of the configuration, however deep it stands."""
    for name, block in [("", schema), *schema["$defs"].items()]:
        yield from (key for key in block["properties"] if name or key != "$schema")


def test_every_key_of_the_configuration_is_on_its_page(site: Path) -> None:
    page = (site / "reference/configuration.html").read_text()
    cells = re.findall(r"<tr>\s*<td><code>(\w+)</code></td>", page)
    assert set(cells) == set(keys(configuration_schema()))


def test_every_command_and_option_is_on_its_page(site: Path) -> None:
    page = words(site, "reference/commands.html")
    for path, command in commands_of(tree()):
        section = page.partition(f"retryd {path}¶")[2].partition("¶")[0]
        assert section, path
        for parameter in command.params:
            if not getattr(parameter, "hidden", False):
                last = parameter.opts[-1]
                name = last if last.startswith("-") else parameter.metavar or last.upper()
                assert name.lower() in section.lower(), f"{path}: {name}"


def test_every_function_and_view_is_on_its_page(site: Path) -> None:
    headings = re.findall(r'<h3 id="(\w+)">', (site / "reference/functions.html").read_text())
    sql = ROOT / "sql"
    files = [*(sql / "functions").glob("*.sql"), *(sql / "views").glob("*.sql")]
    assert sorted(headings) == sorted(path.stem for path in files)


def test_every_metric_is_on_its_page(site: Path) -> None:
    page = words(site, "reference/metrics.html")
    for family in Metrics().registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert re.search(rf"^{name}$", page, re.MULTILINE), name


def test_every_name_of_python_is_on_its_page_with_what_it_promises(site: Path) -> None:
    page = words(site, "reference/python.html")
    for module in (retryd, testing):
        for name in module.__all__:
            section = page.partition(f"\n{module.__name__}.{name}¶")[2].partition("¶")[0]
            assert promise_of(getattr(module, name)) in section, name


def promise_of(named: object) -> str:
    """Return the first line of a docstring; text has none of its own."""
    doc = "The version" if isinstance(named, str) else named.__doc__ or ""
    return "The module for tests" if named is testing else doc.partition("\n")[0].replace("`", "")


def test_the_picture_has_every_step_of_the_life(site: Path) -> None:
    page = (site / "life.html").read_text()
    drawn = re.findall(r"<text [^>]*>([^<]+)</text>", page)
    assert {step.target_state for step in TRANSITIONS} - {"nowhere"} <= set(drawn)
    assert sorted(", ".join(events) for events in life.arrows().values()) == sorted(
        label for label in drawn if label not in life.PLACES
    )


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    loads = re.compile(r'<(?:script|img|iframe)[^>]*\bsrc="([^"]+)"|<link[^>]*\bhref="([^"]+)"')
    for page in site.rglob("*.html"):
        for found in loads.findall(page.read_text()):
            assert not re.match(r"(?:https?:)?//", "".join(found)), page
