"""Reads the manifests of ``deploy/kubernetes/``: as written, and as kustomize renders them."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tests.deploy.files import DEPLOY
from tests.deploy.local import Container

MANIFESTS = DEPLOY / "kubernetes"
BASE = MANIFESTS / "base"
OVERLAYS = MANIFESTS / "overlays"
OF_KUSTOMIZE = "kustomize.config.k8s.io"
OF_AN_OPERATOR = "monitoring.coreos.com"
"""The group of `ServiceMonitor`, which Kubernetes itself does not have."""

Manifest = Mapping[str, object]
"""A document as it is in the file, for a check by its schema."""


class _Read(BaseModel):
    """What we read of an object: a part of what Kubernetes knows."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True)


class Metadata(_Read):
    """Which object it is."""

    name: str = Field(description="Its name.")
    labels: dict[str, str] = Field(default_factory=dict[str, str], description="Its labels.")


class Labels(_Read):
    """Selects objects."""

    match_labels: dict[str, str] = Field(description="The labels that they have.")


class Port(_Read):
    """A port of a container."""

    name: str = Field(description="Its name.")
    container_port: int = Field(description="Its number.")


class Request(_Read):
    """A request of a probe."""

    path: str = Field(description="Its path.")
    port: str = Field(description="The name of its port.")


class Probe(_Read):
    """How the kubelet asks a container."""

    http_get: Request | None = Field(default=None, description="The request.")


class Variable(_Read):
    """A variable of a container."""

    name: str = Field(description="Its name.")
    value: str = Field(description="Its value.")


class Mount(_Read):
    """A mount of a volume."""

    name: str = Field(description="The name of the volume.")
    mount_path: str = Field(description="Where it is mounted.")
    sub_path: str | None = Field(default=None, description="The one file that is mounted.")


class Capabilities(_Read):
    """The capabilities of a container."""

    drop: Sequence[str] = Field(default=(), description="Those that it lacks.")


class SecurityContext(_Read):
    """What a container may do."""

    allow_privilege_escalation: bool = Field(description="Whether it can get more rights.")
    read_only_root_filesystem: bool = Field(description="Whether it writes to volumes only.")
    capabilities: Capabilities = Field(description="Its capabilities.")


class PodContainer(_Read):
    """A container of a pod."""

    image: str = Field(description="Its image.")
    args: Sequence[str] = Field(description="Its command line after the entry point.")
    env: Sequence[Variable] = Field(default=(), description="Its variables.")
    ports: Sequence[Port] = Field(description="Its ports.")
    startup_probe: Probe = Field(default=Probe(), description="Whether it has started.")
    liveness_probe: Probe = Field(default=Probe(), description="Whether it lives.")
    readiness_probe: Probe = Field(default=Probe(), description="Whether it gets requests.")
    security_context: SecurityContext = Field(description="What it may do.")
    volume_mounts: Sequence[Mount] = Field(default=(), description="Its mounts.")

    @property
    def probes(self) -> Sequence[Request]:
        """The requests of its probes: at start, whether it lives, whether it is ready."""
        probes = (self.startup_probe, self.liveness_probe, self.readiness_probe)
        return [one.http_get for one in probes if one.http_get is not None]

    def port(self, name: str) -> int:
        """Return the number of a port."""
        [found] = [one.container_port for one in self.ports if one.name == name]
        return found


class Named(_Read):
    """The name of an object that has the content of a volume."""

    name: str = Field(default="", description="Its name.")


class Volume(_Read):
    """A volume of a pod."""

    name: str = Field(description="Its name.")
    config_map: Named | None = Field(default=None, description="The object with its files.")


class PodSpec(_Read):
    """A pod."""

    containers: Sequence[PodContainer] = Field(description="Its containers.")
    volumes: Sequence[Volume] = Field(default=(), description="Its volumes.")
    termination_grace_period_seconds: int = Field(default=30, description="Before it is killed.")


class PodTemplate(_Read):
    """How pods are made."""

    metadata: "PodMetadata" = Field(description="Their labels.")
    spec: PodSpec = Field(description="The pod.")


class PodMetadata(_Read):
    """The labels of a pod."""

    labels: dict[str, str] = Field(description="The labels.")


class DeploymentSpec(_Read):
    """What a deployment says."""

    selector: Labels = Field(description="Its pods.")
    template: PodTemplate = Field(description="How they are made.")
    replicas: int | None = Field(default=None, description="How many; an autoscaler's if absent.")


class Deployment(_Read):
    """A deployment."""

    metadata: Metadata = Field(description="Its name.")
    spec: DeploymentSpec = Field(description="What it says.")

    def container(self, files: Mapping[str, Mapping[str, str]]) -> Container:
        """Say what the kubelet would run.

        Args:
            files: The files of each ConfigMap.

        Returns:
            The container, with an empty folder in the place of each other volume.
        """
        pod = self.spec.template.spec
        [one] = pod.containers
        texts = {
            volume.name: files[volume.config_map.name]
            for volume in pod.volumes
            if volume.config_map is not None
        }
        mounts: list[tuple[str | None, str]] = []
        for mount in one.volume_mounts:
            if mount.name in texts:
                mounts += [
                    (text, f"{mount.mount_path}/{name}") for name, text in texts[mount.name].items()
                ]
            mounts.append((None, mount.mount_path))
        return Container(
            image=one.image.rpartition("/")[2].partition(":")[0],
            command=one.args,
            ports=[port.container_port for port in one.ports],
            environment={variable.name: variable.value for variable in one.env},
            mounts=mounts,
        )


class ConfigMap(_Read):
    """Files for pods."""

    metadata: Metadata = Field(description="Its name.")
    data: dict[str, str] = Field(description="The text of each file, by name.")


def documents(path: Path) -> Sequence[Manifest]:
    """Read the documents of a file."""
    return [*yaml.safe_load_all(path.read_text("utf-8"))]


def written() -> Iterator[tuple[Path, Manifest]]:
    """List all manifests as they are written, with their files."""
    for path in sorted(MANIFESTS.rglob("*.yaml")):
        for document in documents(path):
            if not str(document["apiVersion"]).startswith(OF_KUSTOMIZE):
                yield path, document


def rendered(folder: Path) -> Sequence[Manifest]:
    """Render an overlay; skip the test where there is no program for it.

    Args:
        folder: The folder of its `kustomization.yaml`.

    Returns:
        The documents.
    """
    programs = ("kustomize", "build"), ("kubectl", "kustomize")
    found = next((one for one in programs if shutil.which(one[0])), None)
    if found is None:
        pytest.skip("there is neither kustomize nor kubectl on the PATH")
    done = subprocess.run(  # noqa: S603 # our own command
        (*found, str(folder)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [*yaml.safe_load_all(done.stdout)]


def of_kind(kind: str, manifests: Sequence[Manifest]) -> Sequence[Manifest]:
    """Choose the documents of a kind."""
    return [one for one in manifests if one["kind"] == kind]


def containers(manifests: Sequence[Manifest]) -> Mapping[str, Container]:
    """Say what kubelets would run, by the name of the deployment."""
    maps = [ConfigMap.model_validate(one) for one in of_kind("ConfigMap", manifests)]
    files = {one.metadata.name: one.data for one in maps}
    deployments = [Deployment.model_validate(one) for one in of_kind("Deployment", manifests)]
    return {one.metadata.name: one.container(files) for one in deployments}
