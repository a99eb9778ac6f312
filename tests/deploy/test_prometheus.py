"""The rules of deploy/prometheus: checked by promtool, played by Prometheus on real workers."""

from __future__ import annotations

import math
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

import retryd
from retryd.cli.app import tree
from retryd.cli.manual import commands_of
from retryd.telemetry.metrics import Metrics
from tests.acceptance.running import Running, running
from tests.deploy.numbers import DEPLOY, ROOT, documents
from tests.deploy.prometheus import FOLDER, Prometheus, prometheus
from tests.deploy.test_grafana import expressions
from tests.faults.programs import program
from tests.postgres import Connection, Database
from tests.waiting import until

[RULES] = documents(FOLDER / "rules.yml")
[TESTS] = documents(FOLDER / "rules.test.yml")
[CONFIGURATION] = documents(FOLDER / "prometheus.yml")
ALL: list[dict[str, Any]] = [rule for group in RULES["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in ALL if "alert" in rule}
RECORDED = {rule["record"] for rule in ALL if "record" in rule}
PAGE = (ROOT / "docs" / "monitoring.md").read_text()
METRICS_PAGE = (ROOT / "docs" / "metrics.md").read_text()
VIEW = (ROOT / "sql" / "views" / "retry_queue_alerts.sql").read_text()

APP = """
import retryd

app = retryd.App()

@app.handler("mail.*")
async def mail(retry):
    if retry.payload["fail"] >= retry.attempt:
        raise ConnectionError("as asked")
    if retry.payload["reject"]:
        raise retryd.Reject("as asked")

@app.handler("hook.*")
async def hook(retry):
    pass
"""
QUICK = {
    "RETRYD_RETRY__POLL_INTERVAL_SECONDS": "0.2",
    "RETRYD_RETRY__RETRY_POLICIES": '{"default": {"initial_delay_seconds": 0.05}}',
}


def names_in(text: str) -> set[str]:
    """Return the metrics that an expression or a page names."""
    found = set(re.findall(r"\bretryd_[a-z_]+\b(?!\")", re.sub(r'"[^"]*"', "", text)))
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in found}


def promtool(*arguments: str | Path) -> str:
    """Run promtool; returns what it says when it is content."""
    argv = [program("promtool", "prometheus"), *map(str, arguments)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_the_rules_and_the_configuration() -> None:
    assert f"SUCCESS: {len(ALL)} rules found" in promtool("check", "rules", FOLDER / "rules.yml")
    promtool("check", "config", FOLDER / "prometheus.yml")


def test_each_alert_fires_when_it_should_and_not_before() -> None:
    promtool("test", "rules", FOLDER / "rules.test.yml")


def test_promtool_finds_an_alert_that_has_lost_its_sense(tmp_path: Path) -> None:
    (tmp_path / "rules.test.yml").write_text((FOLDER / "rules.test.yml").read_text())
    rules = (FOLDER / "rules.yml").read_text()
    (tmp_path / "rules.yml").write_text(rules.replace("retryd_ready == 0", "retryd_ready == 1"))
    with pytest.raises(AssertionError, match="RetrydNotReady"):
        promtool("test", "rules", tmp_path / "rules.test.yml")


def test_every_alert_is_tested_as_one_that_fires() -> None:
    fired = {
        name
        for test in TESTS["tests"]
        for check in test["promql_expr_test"]
        for sample in check.get("exp_samples", ())
        for name in re.findall(r'alertname="(\w+)"', sample["labels"])
    }
    assert fired == ALERTS.keys()


def test_every_alert_says_how_bad_it_is_what_it_means_and_where_to_go_on() -> None:
    for name, rule in ALERTS.items():
        assert rule["labels"].keys() == {"severity"}
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "description", "runbook"}
        assert rule["annotations"]["runbook"] == f"docs/monitoring.md#{name.lower()}"


def test_the_page_about_monitoring_has_a_section_for_each_alert() -> None:
    assert re.findall(r"(?m)^### (Retryd\w+)$", PAGE) == list(ALERTS)
    for name, rule in ALERTS.items():
        section = PAGE.partition(f"### {name}\n")[2].partition("\n#")[0]
        assert f"*{rule['labels']['severity'].capitalize()}" in section, name
        assert "`retryd " in section, name


def test_the_page_about_monitoring_names_commands_that_there_are() -> None:
    commands = {path for path, _ in commands_of(tree())}
    typed = re.findall(r"(?m)(?:`|^\$ )retryd ([a-z-]+(?: [a-z-]+)?)", PAGE)
    assert {name for name in typed if not commands & {name, name.partition(" ")[0]}} == set()


def test_every_kind_of_alert_that_postgresql_tells_is_on_the_page() -> None:
    kinds = set(re.findall(r"(?:select|all\n    select) '(\w+)'", VIEW))
    assert len(kinds) == 10
    assert {kind for kind in kinds if f"`{kind}`" in PAGE} == kinds
    asked = {kind for rule in ALL for kind in re.findall(r'kind="(\w+)"', rule["expr"])}
    assert asked < kinds


def test_rules_and_pages_name_metrics_that_there_are() -> None:
    made = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in Metrics().registry.collect()
    }
    asked = set[str]().union(*(names_in(rule["expr"]) for rule in ALL))
    assert asked <= made
    assert names_in(PAGE) <= made
    recorded = set(re.findall(r"retryd:\w+:\w+", "".join(rule["expr"] for rule in ALL)))
    assert recorded <= RECORDED


def test_the_configuration_and_the_composition_fit_together() -> None:
    [composition] = documents(DEPLOY / "compose.yaml")
    services = composition["services"]
    mounted = [volume.split(":") for volume in services["prometheus"]["volumes"]]
    paths = {Path(inside) for outside, inside, *_ in mounted if outside.startswith("./prometheus/")}
    assert {path.name for path in paths} == {"prometheus.yml", *CONFIGURATION["rule_files"]}
    assert len({path.parent for path in paths}) == 1  # a rule file is looked for beside it
    [scraped] = CONFIGURATION["scrape_configs"]
    [found] = scraped["dns_sd_configs"]
    [name] = found["names"]
    assert str(found["port"]) in services[name]["expose"]


async def listening(worker: Running) -> str:
    """Wait until a worker listens; returns its address."""
    await until(lambda: worker.said("http_listening"), within=30)
    return str(worker.said("http_listening")[-1]["address"])


async def capture(connection: Connection, handler: str = "mail", **payload: object) -> None:
    """Capture a failure that is due at once."""
    now = await connection.fetchval("select retryd.now()")
    payload = {"fail": 0, "reject": False, **payload}
    await retryd.capture(connection, f"{handler}.send.failed", payload, not_before=now)


async def play(connection: Connection, server: Prometheus) -> None:
    """Let attempts succeed and fail and retries die, twice: a rate needs a before and an after."""
    for number in (1, 2):
        for _ in range(3):
            await capture(connection)
            await capture(connection, fail=2)
            await capture(connection, reject=True)

        async def counted(expected: int = number * 3) -> bool:
            return await server.value("sum(retryd_dead_letters_total)") == expected

        await until(counted, within=30)


async def check_rules(server: Prometheus) -> None:
    """Wait until each rule was evaluated; none may have failed."""

    async def rules() -> list[dict[str, Any]]:
        groups = (await server.ask("rules"))["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        return [] if any(rule["health"] == "unknown" for rule in found) else found

    found = await until(rules)
    assert len(found) == len(ALL)
    assert {rule["health"] for rule in found} == {"ok"}


async def check_dashboard(server: Prometheus) -> None:
    """Fail for an expression of the dashboard that is refused, or has nothing to show."""
    for expression in expressions():
        for name, value in {"job": "retryd", "handler": ".+", "__rate_interval": "1m"}.items():
            expression = expression.replace(f"${name}", value)  # noqa: PLW2901 - filled in
        values = [float(series["value"][1]) for series in await server.query(expression)]
        assert any(math.isfinite(value) for value in values), expression


async def check_exposition(address: str) -> None:
    """Fail unless a worker tells what the page about metrics says, and nothing else."""
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(f"{address}/metrics")).text
    told = set(re.findall(r"(?m)^# TYPE (\w+) ", text))
    told = {name for name in told if not name.endswith("_created")}
    assert told == set(re.findall(r"(?m)^\| `(\w+)", METRICS_PAGE))


async def test_a_prometheus_on_real_workers_evaluates_all_and_alerts(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    (tmp_path / "billing.py").write_text(APP)
    work = running(tmp_path, database.dsn, **QUICK)
    async with prometheus(tmp_path) as server, work as first:
        address = await listening(first)
        server.scrape(address)
        await until(lambda: server.query("up == 1"), within=30)
        await until(lambda: server.query("retryd:dead_letters:open == 0"), within=30)
        await check_exposition(address)
        await play(connection, server)
        await connection.execute("select retryd.pause_handler('hook')")
        await capture(connection, "hook")

        # Another worker reads the gauges as well, soon after it starts.
        async with running(tmp_path, database.dsn, **QUICK) as second:
            instance = server.scrape(await listening(second))
            await until(lambda: server.query("retryd:dead_letters:open == 6"), within=30)
            await until(lambda: server.has_fired("RetrydDeadLettersGrowing"))
            held = await until(lambda: server.summary("RetrydLaneHeld", handler="hook"))
            assert held == "hook has been paused for hours."
            await until(lambda: server.query("count(up == 1) == 2"))
            await check_rules(server)
            await check_dashboard(server)
            await until(lambda: server.is_silent("RetrydWorkerDown"))
            second.process.terminate()
            assert await second.process.wait() == 0
        down = await until(lambda: server.summary("RetrydWorkerDown", instance=instance))
        assert down == f"The worker at {instance} does not answer."
        await until(lambda: server.is_silent("RetrydNoWorker"))
        assert await server.query('{__name__=~"retryd_.+_created"}') == []
