"""The dashboard of deploy/grafana, as far as it can be told without Grafana."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any
from urllib.parse import urlsplit

from retryd.telemetry.metrics import Metrics
from tests.deploy.numbers import DEPLOY, documents

FOLDER = DEPLOY / "grafana"
DASHBOARD = json.loads((FOLDER / "dashboards" / "retryd.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
BUILT_IN = {"__rate_interval"}
[COMPOSITION] = documents(DEPLOY / "compose.yaml")
[DATA] = documents(FOLDER / "provisioning" / "datasources" / "prometheus.yml")
[FOLDERS] = documents(FOLDER / "provisioning" / "dashboards" / "retryd.yml")


def expressions() -> list[str]:
    """Return what the panels ask, with their variables."""
    return [target["expr"] for panel in PANELS for target in panel.get("targets", ())]


def test_every_panel_asks_the_chosen_source_something_of_its_own() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    asked = [panel for panel in PANELS if panel["type"] != "row"]
    assert len({panel["title"] for panel in asked}) == len(asked)
    for panel in asked:
        assert panel["targets"], panel["title"]
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert all(each == {"type": "prometheus", "uid": "${datasource}"} for each in sources)
    assert len(set(expressions())) == len(expressions())


def test_every_variable_that_is_used_is_there() -> None:
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD)))
    assert used - {"__all"} == variables | BUILT_IN


def test_no_panel_lies_on_another_or_beside_the_board() -> None:
    cells = [
        (column, line)
        for position in (panel["gridPos"] for panel in PANELS)
        for column, line in itertools.product(
            range(position["x"], position["x"] + position["w"]),
            range(position["y"], position["y"] + position["h"]),
        )
    ]
    assert len(set(cells)) == len(cells)
    assert {column for column, _ in cells} == set(range(24))


def test_the_dashboard_shows_every_metric() -> None:
    text = "".join(expressions()) + json.dumps(DASHBOARD["templating"])
    families = {family.name for family in Metrics().registry.collect()}
    assert {name for name in families if not re.search(rf"\b{name}(_\w+)?\b", text)} == set()
    assert set(re.findall(r"\bretryd_[a-z_]+", "".join(expressions()))) <= {
        sample
        for name in families
        for sample in (name, *(f"{name}_{end}" for end in ("total", "bucket", "count", "sum")))
    }


def test_provisioning_and_composition_fit_together() -> None:
    mounted = dict(
        volume.split(":")[:2]
        for volume in COMPOSITION["services"]["grafana"]["volumes"]
        if volume.startswith("./")
    )
    assert mounted["./grafana/provisioning"] == "/etc/grafana/provisioning"
    [provider] = FOLDERS["providers"]
    assert mounted["./grafana/dashboards"] == provider["options"]["path"]
    [source] = DATA["datasources"]
    address = urlsplit(source["url"])
    prometheus = COMPOSITION["services"][address.hostname]
    assert any(port.endswith(f":{address.port}") for port in prometheus["ports"])
    [scrape] = documents(DEPLOY / "prometheus" / "prometheus.yml")
    assert source["jsonData"]["timeInterval"] == scrape["global"]["scrape_interval"]
