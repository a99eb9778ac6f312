"""The image and the composition, as far as tools can tell without a container runtime."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

import retryd
from retryd.embedded import EmbeddedPostgres
from retryd.settings.models import HttpSettings
from retryd.store.schema import migrate
from tests.deploy.numbers import DEPLOY, ROOT, documents, longest_end
from tests.faults.programs import program
from tests.postgres import FAST, open_directory

BIN = Path(sys.executable).parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = DEPLOY / "compose.yaml"
[COMPOSITION] = documents(COMPOSE)
SERVICES: dict[str, dict[str, Any]] = COMPOSITION["services"]
OURS = {"migrate", "worker"}


def instructions(name: str) -> list[str]:
    """Return the arguments of an instruction of the Dockerfile, in its order."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return [" ".join(found.split()) for found in re.findall(rf"(?m)^{name} (.*)$", joined)]


def checked(*argv: str | Path) -> str:
    """Run a checker; returns what it found."""
    done = subprocess.run([str(each) for each in argv], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr or "something"


def test_hadolint_finds_nothing_in_the_dockerfile(tmp_path: Path) -> None:
    assert checked(BIN / "hadolint", ROOT / "Dockerfile") == ""
    careless = tmp_path / "Dockerfile"
    careless.write_text(DOCKERFILE.replace("WORKDIR /app", "WORKDIR app"))
    assert "DL3000" in checked(BIN / "hadolint", careless)


def test_the_image_is_run_by_a_numeric_user_who_is_not_root() -> None:
    assert instructions("USER") == ["10001:10001"]
    assert DOCKERFILE.index("\nUSER ") < DOCKERFILE.index("\nENTRYPOINT ")


def test_the_image_starts_programs_without_a_shell_and_ends_them_as_they_expect() -> None:
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert json.loads(*instructions("ENTRYPOINT")) == ["retryd"]
    assert json.loads(*instructions("CMD")) == ["run"]
    [health] = instructions("HEALTHCHECK")
    assert json.loads(health.partition(" CMD ")[2]) == ["retryd", "health", "--live"]
    assert all(json.loads(run) for run in instructions("RUN"))


def test_the_image_is_pinned_and_names_no_package_index() -> None:
    [base] = {line for line in instructions("ARG") if line.startswith("BASE=")}
    assert re.search(r":\d+\.\d+\.\d+-", base)
    assert {line.split()[0] for line in instructions("FROM")} == {"${BASE}"}
    assert not re.search(r"index|find-links|trusted-host", DOCKERFILE)
    assert not re.search(r"index-url|find-links|trusted", (DEPLOY / "install.sh").read_text())


def test_the_build_sees_what_the_dockerfile_copies_and_nothing_else() -> None:
    first, second = instructions("COPY")
    copied = set(first.split()[:-1])
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules[1:]} == copied
    assert second.startswith("--from=build ")


def test_every_image_of_ours_has_the_version_of_the_package() -> None:
    assert f"VERSION={retryd.__version__}" in instructions("ARG")
    text = "\n".join(path.read_text() for path in (ROOT / "Dockerfile", *DEPLOY.rglob("*.yaml")))
    named = re.findall(r"\bretryd:(\d[\w.]*)", text)
    assert len(named) > 3
    assert set(named) == {retryd.__version__}


def test_the_composition_fits_its_schema(tmp_path: Path) -> None:
    schema = (BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec")
    assert checked(*schema, COMPOSE) == ""
    misspelt = tmp_path / "compose.yaml"
    misspelt.write_text(COMPOSE.read_text().replace("stop_grace_period", "stop_grace_perid"))
    assert "stop_grace_perid" in checked(*schema, misspelt)


def test_our_services_may_do_nothing_that_they_need_not() -> None:
    for name in OURS:
        service = SERVICES[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service


def test_no_password_stands_in_the_composition() -> None:
    kept = set(COMPOSITION["secrets"])
    for service in SERVICES.values():
        assert set(service.get("secrets", [])) <= kept
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or value.startswith("/run/secrets/")
            assert "URL" not in name or value.startswith("file:/run/secrets/")


def test_workers_wait_for_the_schema_and_are_given_the_time_to_drain() -> None:
    worker = SERVICES["worker"]
    assert worker["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert worker["deploy"]["replicas"] == 2
    assert float(worker["stop_grace_period"].removesuffix("s")) > longest_end()
    assert worker["expose"] == instructions("EXPOSE") == [str(HttpSettings().port)]
    assert "ports" not in worker  # two of them cannot have the same one


def test_everything_that_is_mounted_is_there() -> None:
    volumes = [each for service in SERVICES.values() for each in service.get("volumes", [])]
    sources = {volume.split(":")[0] for volume in volumes}
    folders = {source for source in sources if source.startswith(".")}
    assert len(folders) >= 5
    assert all((DEPLOY / folder).exists() for folder in folders)
    assert sources - folders == set(COMPOSITION["volumes"])


def test_every_service_that_stays_tells_its_health() -> None:
    ours = {name for name in SERVICES if "build" in SERVICES[name]}
    assert ours == OURS  # whose health check is the image's
    told = {name for name in SERVICES if "test" in SERVICES[name].get("healthcheck", {})}
    assert told == set(SERVICES) - ours
    assert SERVICES["migrate"]["healthcheck"] == {"disable": True}


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.sh")), ids=lambda path: path.name)
def test_every_script_is_plain_shell_that_may_be_run(path: Path) -> None:
    assert path.read_text().startswith("#!/bin/sh\n")
    assert os.access(path, os.X_OK)
    assert checked("sh", "-n", path) == ""


def make_secrets(folder: Path) -> dict[str, str]:
    """Run the script that makes the secrets, in a copy; returns them."""
    script = folder / "secrets.sh"
    script.write_text((DEPLOY / "compose" / "secrets.sh").read_text())
    subprocess.run(["sh", script], check=True)
    return {path.name: path.read_text().strip() for path in (folder / "secrets").iterdir()}


def test_the_secrets_are_those_of_the_composition_and_are_made_once(tmp_path: Path) -> None:
    made = make_secrets(tmp_path)
    wanted = {Path(each["file"]).name for each in COMPOSITION["secrets"].values()}
    assert set(made) == wanted
    assert len({made[f"{name}-password"] for name in ("postgres", "worker", "grafana")}) == 3
    assert all(len(made[name]) >= 32 for name in made)
    assert make_secrets(tmp_path) == made
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0


async def test_the_login_of_the_workers_is_a_worker_and_no_more(tmp_path: Path) -> None:
    psql = program("psql", "postgresql-client")
    make_secrets(tmp_path)
    with open_directory() as directory:
        async with EmbeddedPostgres(directory, FAST) as server:
            parts = urlsplit(server.dsn)
            process = await asyncio.create_subprocess_exec(
                *("sh", DEPLOY / "compose" / "logins.sh"),
                env={
                    "PATH": f"{Path(psql).parent}:/usr/bin:/bin",
                    "PGHOST": str(parts.hostname),
                    "PGPORT": str(parts.port),
                    "PGPASSWORD": str(parts.password),
                    "POSTGRES_USER": str(parts.username),
                    "POSTGRES_DB": "postgres",
                    "WORKER_PASSWORD_FILE": str(tmp_path / "secrets" / "worker-password"),
                },
            )
            assert await process.wait() == 0
            await migrate(server.dsn)
            owner = await asyncpg.connect(server.dsn)
            rows = await owner.fetch(
                "select r.rolname, m.rolcanlogin, m.rolsuper from pg_auth_members a"
                " join pg_roles m on m.oid = a.member join pg_roles r on r.oid = a.roleid"
                " where m.rolname = 'shop_worker'"
            )
            assert [tuple(row) for row in rows] == [("retryd_worker", True, False)]
            await owner.execute("set role shop_worker")
            await owner.fetch("select * from retryd.acquire_retry_batch('ann', 1)")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await owner.execute("delete from retryd.retry_queue")
            await owner.close()
