"""The manifests of Kubernetes fit their schemas, the program and each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from retryd.compose import load_configuration
from retryd.settings.models import Configuration, HttpSettings
from tests.deploy.numbers import DEPLOY, documents, longest_end

FOLDER = DEPLOY / "kubernetes"
FILES = sorted(FOLDER.rglob("*.yaml"))
KUBERNETES_VALIDATE = Path(sys.executable).with_name("kubernetes-validate")


def manifest(name: str) -> dict[str, Any]:
    """Return the object of a file."""
    [found] = documents(FOLDER / f"{name}.yaml")
    return dict(found)


def pod(name: str) -> dict[str, Any]:
    """Return the pod that a file describes."""
    return dict(manifest(name)["spec"]["template"]["spec"])


def container(name: str) -> dict[str, Any]:
    """Return its one container."""
    [found] = pod(name)["containers"]
    return dict(found)


def validated(version: str, *files: Path) -> subprocess.CompletedProcess[str]:
    """Check files against the schemas of a version of Kubernetes."""
    return subprocess.run(
        [KUBERNETES_VALIDATE, "--strict", "--quiet", "--kubernetes-version", version, *files],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("version", ["1.29", "1.32", "1.35", "1.37"])
def test_every_manifest_fits_the_schemas_of_kubernetes(version: str) -> None:
    checked = validated(version, *FILES)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_a_misspelt_key_would_be_found(tmp_path: Path) -> None:
    text = (FOLDER / "deployment.yaml").read_text()
    misspelt = tmp_path / "deployment.yaml"
    misspelt.write_text(text.replace("readOnlyRootFilesystem", "readonlyRootFilesystem"))
    assert validated("1.37", misspelt).returncode != 0


def test_the_configuration_is_one_that_retryd_takes(tmp_path: Path) -> None:
    assert workers_configuration(tmp_path).retry.worker_count == 8


def workers_configuration(folder: Path) -> Configuration:
    path = folder / "config.json"
    path.write_text(manifest("configuration")["data"]["config.json"])
    return load_configuration(path, {}, {})


def test_a_pod_has_the_time_to_drain(tmp_path: Path) -> None:
    shutdown_seconds = workers_configuration(tmp_path).retry.shutdown_timeout_seconds
    assert pod("deployment")["terminationGracePeriodSeconds"] > longest_end(shutdown_seconds)


def test_the_probes_ask_what_the_program_answers() -> None:
    worker = container("deployment")
    paths = {name: worker[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness")}
    assert paths == {"startup": "/livez", "liveness": "/livez"}
    assert worker["readinessProbe"]["httpGet"]["path"] == "/readyz"
    [port] = worker["ports"]
    assert port == {"name": "http", "containerPort": HttpSettings().port}
    assert {worker[f"{name}Probe"]["httpGet"]["port"] for name in ("startup", "readiness")} == {
        "http"
    }


@pytest.mark.parametrize("name", ["deployment", "migrate"])
def test_the_pods_meet_the_restricted_standard(name: str) -> None:
    context, own = pod(name)["securityContext"], container(name)["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod(name)["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", ["deployment", "migrate"])
def test_passwords_come_from_a_secret(name: str) -> None:
    [variable] = container(name)["env"]
    assert variable["name"] == "RETRYD_DATABASE_URL"
    assert variable["valueFrom"]["secretKeyRef"]["name"] == "retryd-database"
    assert not any("postgresql://" in path.read_text() for path in FILES)


def test_everything_means_the_workers() -> None:
    labels = manifest("deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        manifest("deployment")["spec"]["selector"]["matchLabels"],
        manifest("service")["spec"]["selector"],
        manifest("disruption-budget")["spec"]["selector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in spread()),
    ]
    assert all(selector == labels for selector in selectors)
    for name in ("autoscaler", "by-backlog/autoscaler"):
        target = manifest(name)["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) == ("Deployment", "retryd")
    [mounted, _] = pod("deployment")["volumes"]
    assert mounted["configMap"]["name"] == manifest("configuration")["metadata"]["name"]


def spread() -> list[dict[str, Any]]:
    return list(pod("deployment")["topologySpreadConstraints"])


def test_the_autoscaler_alone_says_how_many_and_a_rollout_never_has_fewer() -> None:
    spec = manifest("deployment")["spec"]
    assert "replicas" not in spec
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert manifest("autoscaler")["spec"]["minReplicas"] >= 2


def test_the_autoscaler_by_backlog_asks_for_a_metric_that_exists() -> None:
    [metric] = manifest("by-backlog/autoscaler")["spec"]["metrics"]
    name = metric["external"]["metric"]["name"]
    assert f"`{name}{{handler}}`" in (DEPLOY.parent / "docs" / "metrics.md").read_text()
