"""The services of ``deploy/compose.yaml`` run together, as processes of this machine."""

import os
import re
import signal
import socket
from pathlib import Path

import httpx
import orjson
import pytest
import yaml

from tests.deploy.composed import FILE, compose_file
from tests.deploy.kubernetes import MANIFESTS
from tests.deploy.local import LocalContainers
from tests.deploy.schemas import compose_mistakes

USER = "00000000-0000-4000-8000-000000000001"
QUERY = {"query": f'{{ user(id: "{USER}") {{ displayName plan }} }}'}
TOKEN = "a-token-of-more-than-thirty-two-characters"
GATEWAYS = ("gateway-1", "gateway-2")


def test_the_file_is_one_by_the_schema_of_compose() -> None:
    assert compose_mistakes(FILE) == ""


def test_no_service_that_clients_reach_may_write_files_or_has_a_capability() -> None:
    services = compose_file().services

    for name in ("sources", *GATEWAYS, "proxy", "store"):
        assert (services[name].read_only, services[name].cap_drop) == (True, ["ALL"]), name


@pytest.mark.parametrize("file", [FILE, MANIFESTS / "components" / "store" / "store.yaml"])
def test_a_full_store_never_drops_the_log_of_invalidations(file: Path) -> None:
    # It is the one key without a time to live. A gateway that starts reads it.
    [policy] = re.findall(r"--maxmemory-policy\s+- (\S+)", file.read_text("utf-8"))
    assert policy == "volatile-ttl"


def test_both_gateways_answer_behind_the_proxy_and_one_alone_goes_on(tmp_path: Path) -> None:
    services = LocalContainers(compose_file({"ADMIN_TOKEN": TOKEN}).containers(), tmp_path)

    with (
        services.running("sources", "store", *GATEWAYS, "proxy") as said,
        httpx.Client(trust_env=False) as client,
    ):
        for name in ("sources", *GATEWAYS):
            assert services.health(name).startswith("0"), services.health(name)
        ports = [services.port(name, 8000) for name in GATEWAYS]
        proxy = f"http://127.0.0.1:{services.port('proxy', 8080)}/graphql"
        direct = [client.post(f"http://127.0.0.1:{one}/graphql", json=QUERY) for one in ports]
        through = [client.post(proxy, json=QUERY) for _ in range(4)]
        admin = f"http://127.0.0.1:{services.port('gateway-2', 9464)}"
        forgotten = client.post(
            f"{admin}/cache/invalidate",
            json={"users": [USER]},
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        events = [orjson.loads(line) for line in said["gateway-1"]]
        [opened] = [event for event in events if event["event"] == "gateway.opened"]
        os.kill(opened["pid"], signal.SIGKILL)
        later = [client.post(proxy, json=QUERY) for _ in range(4)]
        dead = services.health("gateway-1")
        with socket.create_connection(("127.0.0.1", services.port("store", 6379)), 5) as store:
            store.sendall(b"RANDOMKEY\r\n")
            key = store.recv(256)

    answers = [answer.json() for answer in (*direct, *through, *later)]
    assert answers == [answers[0]] * 10
    assert (answers[0].get("errors"), answers[0]["data"]["user"]["plan"]) == (None, "pro")
    assert forgotten.status_code == 200, forgotten.text
    assert dead.startswith("1 ")
    assert b"user-gateway" in key  # the prefix of all keys


def test_prometheus_finds_both_gateways_and_the_alerts(tmp_path: Path) -> None:
    services = LocalContainers(compose_file().containers(), tmp_path)

    with services.running("prometheus"), httpx.Client(trust_env=False) as client:
        api = f"http://127.0.0.1:{services.port('prometheus', 9090)}/api/v1"
        config = yaml.safe_load(client.get(f"{api}/status/config").json()["data"]["yaml"])
        groups = client.get(f"{api}/rules").json()["data"]["groups"]

    [job] = config["scrape_configs"]
    targets = [f"127.0.0.1:{services.port(name, 9464)}" for name in GATEWAYS]
    assert job["static_configs"] == [{"targets": targets}]
    assert {one["name"] for one in groups} >= {"gateway-thresholds"}
