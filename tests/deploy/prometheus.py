"""A Prometheus of a test's own, with the configuration and the rules of deploy/ in quick time."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.deploy.numbers import DEPLOY, documents
from tests.faults.programs import program
from tests.faults.server import quiet_port
from tests.waiting import until

FOLDER = DEPLOY / "prometheus"
EVERY = "1s"  # the longest that a scrape may take, too


@dataclass
class Prometheus:
    """Asked over its API."""

    folder: Path
    client: httpx.AsyncClient
    targets: list[str] = field(default_factory=list)

    def scrape(self, address: str) -> str:
        """Take one more worker, by the address that it logs; returns the label `instance`."""
        self.targets.append(address.removeprefix("http://"))
        new = self.folder / "targets.json.new"
        new.write_text(json.dumps([{"targets": self.targets}]))
        new.rename(self.folder / "targets.json")
        return self.targets[-1]

    async def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer."""
        answer = (await self.client.get(f"/api/v1/{path}", params=parameters)).json()
        assert answer["status"] == "success", (parameters, answer)
        return answer["data"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression, as it is now."""
        series: list[dict[str, Any]] = (await self.ask("query", query=expression))["result"]
        return series

    async def value(self, expression: str) -> float:
        """Return the sum over the series of an expression."""
        return sum(float(series["value"][1]) for series in await self.query(expression))

    async def summary(self, alert: str, **labels: str) -> str:
        """Return the summary of an alert with these labels, empty if it does not fire."""
        for each in (await self.ask("alerts"))["alerts"]:
            wanted = {"alertname": alert, **labels}
            if each["state"] == "firing" and wanted.items() <= each["labels"].items():
                return str(each["annotations"]["summary"])
        return ""

    async def is_silent(self, alert: str) -> bool:
        """Tell whether an alert does not fire."""
        return not await self.summary(alert)

    async def has_fired(self, alert: str) -> bool:
        """Tell whether an alert fires, or did."""
        series = f'ALERTS{{alertname="{alert}", alertstate="firing"}}'
        return bool(await self.query(f"max_over_time({series}[5m])"))

    async def answers(self) -> bool:
        """Tell whether it has started."""
        try:
            return (await self.client.get("/-/ready")).is_success
        except httpx.TransportError:
            return False


def in_quick_time(folder: Path) -> None:
    """Copy configuration and rules: every second, nothing waited for, targets from a file."""
    [configuration] = documents(FOLDER / "prometheus.yml")
    configuration["global"] = {"scrape_interval": EVERY, "evaluation_interval": EVERY}
    [workers] = configuration["scrape_configs"]
    del workers["dns_sd_configs"]
    workers["file_sd_configs"] = [{"files": ["targets.json"]}]
    (folder / "prometheus.yml").write_text(json.dumps(configuration))
    rules = (FOLDER / "rules.yml").read_text()
    rules = re.sub(r"(?m)^ +for: \w+\n", "", rules).replace("offset 15m", "offset 3s")
    (folder / "rules.yml").write_text(rules)


@asynccontextmanager
async def prometheus(folder: Path) -> AsyncIterator[Prometheus]:
    """Run one while the context lasts."""
    in_quick_time(folder)
    address = f"127.0.0.1:{quiet_port()}"
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program("prometheus"),
            *("--config.file=prometheus.yml", "--storage.tsdb.path=data"),
            f"--web.listen-address={address}",
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as client:
            server = Prometheus(folder, client)
            await until(server.answers)
            yield server
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
