"""The manifests fit the schemas of Kubernetes and each other, and what they run works."""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from app.cli.serve import DRAIN_SECONDS
from app.main import load_settings
from app.server.admin import PATHS
from tests.deploy.files import DEPLOY
from tests.deploy.kubernetes import (
    BASE,
    MANIFESTS,
    OF_AN_OPERATOR,
    OVERLAYS,
    Deployment,
    Manifest,
    containers,
    documents,
    of_kind,
    rendered,
    written,
)
from tests.deploy.local import LocalContainers
from tests.deploy.schemas import kubernetes_mistakes

VERSIONS = ("1.31", "1.37")
"""The oldest Kubernetes that the files are for, and the newest whose schemas are there."""

QUERY = {"query": '{ user(id: "00000000-0000-4000-8000-000000000001") { displayName plan } }'}
[DEPLOYMENT] = [Deployment.model_validate(one) for one in documents(BASE / "deployment.yaml")]


def mistakes(manifests: Sequence[Manifest]) -> list[str]:
    """Check documents by the schemas of Kubernetes."""
    own = [one for one in manifests if not str(one["apiVersion"]).startswith(OF_AN_OPERATOR)]
    return [
        what for one in own for version in VERSIONS for what in kubernetes_mistakes(one, version)
    ]


def test_all_manifests_as_they_are_written_fit_the_schemas() -> None:
    manifests = [manifest for _, manifest in written()]

    assert {str(one["kind"]) for one in manifests} >= {
        *("Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"),
        *("NetworkPolicy", "Ingress", "ServiceMonitor"),
    }
    assert mistakes(manifests) == []


@pytest.mark.parametrize("overlay", sorted(one.name for one in OVERLAYS.iterdir()))
def test_each_overlay_as_it_is_rendered_fits_the_schemas(overlay: str) -> None:
    manifests = rendered(OVERLAYS / overlay)

    assert mistakes(manifests) == []
    assert len(of_kind("ConfigMap", manifests)) == 1


def test_the_autoscaler_can_count_operations_in_flight(tmp_path: Path) -> None:
    for source in (BASE, MANIFESTS / "components"):
        (tmp_path / source.name).symlink_to(source)
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [base]\ncomponents: [components/scale-on-operations]", "utf-8"
    )

    found = rendered(tmp_path)

    [autoscaler] = of_kind("HorizontalPodAutoscaler", found)
    assert mistakes(found) == []
    assert [one["type"] for one in _spec(autoscaler)["metrics"]] == ["Resource", "Pods"]


def _spec(manifest: Manifest) -> Any:  # noqa: ANN401 # tests compare it
    """Return what an object says."""
    return manifest["spec"]


def test_each_selector_selects_the_pods_of_the_gateway_by_labels_that_they_have() -> None:
    labels = DEPLOYMENT.spec.template.metadata.labels
    by_kind = {str(one["kind"]): _spec(one) for _, one in written() if "base" in str(_)}
    selectors = [
        DEPLOYMENT.spec.selector.match_labels,
        by_kind["Service"]["selector"],
        by_kind["PodDisruptionBudget"]["selector"]["matchLabels"],
        by_kind["NetworkPolicy"]["podSelector"]["matchLabels"],
    ]

    assert selectors == [labels] * 4
    assert by_kind["HorizontalPodAutoscaler"]["scaleTargetRef"]["name"] == DEPLOYMENT.metadata.name
    assert DEPLOYMENT.spec.replicas is None  # else each `apply` would undo the autoscaler


def test_the_monitor_of_prometheus_finds_the_admin_port() -> None:
    [monitor] = [one for _, one in written() if one["kind"] == "ServiceMonitor"]
    services: list[Any] = [*documents(BASE / "service.yaml")]
    labels = _spec(monitor)["selector"]["matchLabels"].items()

    found = [one for one in services if labels <= one["metadata"]["labels"].items()]

    assert [port["name"] for one in found for port in one["spec"]["ports"]] == [
        endpoint["port"] for endpoint in _spec(monitor)["endpoints"]
    ]
    assert found[0]["metadata"]["labels"][_spec(monitor)["jobLabel"]] == "user-gateway"


@pytest.mark.parametrize("name", ["base/deployment.yaml", "overlays/demo/sources.yaml"])
def test_no_container_can_write_to_its_root_or_get_more_rights(name: str) -> None:
    [manifest] = of_kind("Deployment", documents(MANIFESTS / name))
    [container] = Deployment.model_validate(manifest).spec.template.spec.containers
    context = container.security_context

    assert (context.read_only_root_filesystem, context.allow_privilege_escalation) == (True, False)
    assert context.capabilities.drop == ["ALL"]


def test_an_ingress_repeats_requests_at_another_pod_as_the_proxy_of_compose_does() -> None:
    [ingress] = documents(OVERLAYS / "production" / "ingress.yaml")
    metadata: Any = ingress["metadata"]  # any YAML
    proxy = (DEPLOY / "compose" / "nginx" / "nginx.conf").read_text("utf-8")

    for name in ("proxy-next-upstream", "proxy-next-upstream-tries"):
        value = metadata["annotations"][f"nginx.ingress.kubernetes.io/{name}"]
        assert f"{name.replace('-', '_')} {value};" in proxy


def test_mounted_files_can_change_because_none_is_mounted_alone() -> None:
    [container] = DEPLOYMENT.spec.template.spec.containers

    assert [mount.sub_path for mount in container.volume_mounts] == [None, None]


@pytest.mark.parametrize("overlay", sorted(one.name for one in OVERLAYS.iterdir()))
def test_the_configuration_of_each_overlay_can_be_used(
    overlay: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (OVERLAYS / overlay / "gateway.toml").read_text("utf-8")
    [secrets] = [
        mount.mount_path
        for mount in DEPLOYMENT.spec.template.spec.containers[0].volume_mounts
        if mount.name == "secrets"
    ]
    for name in re.findall(rf"{secrets}/([\w-]+)", text):
        (tmp_path / name).write_text("a-secret-of-the-test", "utf-8")
    file = tmp_path / "gateway.toml"
    file.write_text(text.replace(secrets, str(tmp_path)), "utf-8")

    settings = load_settings(None, config=file, serving=True)

    [container] = DEPLOYMENT.spec.template.spec.containers
    assert settings.admin.port == container.port("admin")
    assert settings.admin.host == "0.0.0.0"  # noqa: S104 # the kubelet asks from outside
    grace = DEPLOYMENT.spec.template.spec.termination_grace_period_seconds
    assert DRAIN_SECONDS + settings.shutdown_timeout < grace
    assert settings.reload.watch


def has_said(lines: Sequence[str], words: str) -> bool:
    """Wait until a program says something, ten seconds at most."""
    for _ in range(100):
        if any(words in line for line in lines):
            break
        time.sleep(0.1)
    return any(words in line for line in lines)


def last_status(client: httpx.Client, address: str) -> int:
    """Probe until the status is 200, at most a hundred times, as the kubelet does."""
    for _ in range(100):
        if client.get(address).status_code == 200:
            break
        time.sleep(0.1)
    return client.get(address).status_code


def test_the_demo_runs_answers_its_probes_and_reads_a_changed_file(tmp_path: Path) -> None:
    manifests = rendered(OVERLAYS / "demo")
    local = LocalContainers(containers(manifests), tmp_path)
    [container] = DEPLOYMENT.spec.template.spec.containers

    def address(port: str, path: str) -> str:
        number = local.port("user-gateway", container.port(port))
        return f"http://127.0.0.1:{number}{path}"

    [conf] = [one.mount_path for one in container.volume_mounts if one.name == "conf"]
    file = Path(f"{tmp_path}/user-gateway{conf}/gateway.toml")

    with (
        local.running("sources", "user-gateway") as said,
        httpx.Client(trust_env=False) as client,
    ):
        # The admin port knows of a process when that has first reported.
        statuses = [last_status(client, address(one.port, one.path)) for one in container.probes]
        graphql = address("http", "/graphql")
        answer = client.post(graphql, json=QUERY, headers={"Host": "localhost"}).json()
        file.write_text(f"max_ids = 7\n{file.read_text('utf-8')}", "utf-8")
        reloaded = has_said(said["user-gateway"], '"gateway.reloaded"')

    assert reloaded
    assert statuses == [200, 200, 200]
    assert {one.path for one in container.probes} < {*PATHS}
    assert (answer.get("errors"), answer["data"]["user"]["plan"]) == (None, "pro")


def test_a_mistake_in_a_manifest_is_found() -> None:
    text = (BASE / "deployment.yaml").read_text("utf-8").replace("livenessProbe", "livenesProbe")

    [first, *_] = kubernetes_mistakes(yaml.safe_load(text), VERSIONS[0])

    assert "livenesProbe" in first
